"""Validation and test over the data sets of several sources."""

import os.path as osp
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import Evaluator
from mmengine.registry import EVALUATOR
from mmengine.runner.amp import autocast
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import DataLoader

from allinone.config.build_errors import named, scoped
from allinone.config.sources import labels_of, sources_of
from allinone.data.loaders import batch_timeout, build_loader
from allinone.data.shared_sample import is_shared, labelled, labelled_batch
from allinone.data.task_loaders import TaskLoaders, is_labelled
from allinone.errors import ConfigError
from allinone.evaluation import labelled_results
from allinone.evaluation.names import check_metric_names, metric_names
from allinone.evaluation.score import combined_score, short_names
from allinone.registry import LOOPS
from allinone.tasks.wrapped import wrapped_data_sets


def build_loaders(
    runner, key: str, cfg: Mapping[str, dict], train: bool, check: bool
) -> TaskLoaders:
    """The loaders of all sources, in the order of the tasks that they serve.

    Args:
        runner: Its model and seed are read.
        key: Where ``cfg`` stands.
        cfg: ``{source: dataloader config}``.
        train: As in :func:`build_loader`.
        check: As in :func:`build_loader`.
    """
    model = getattr(runner.model, 'module', runner.model)
    order = list(model.tasks)
    tasks = sources_of(cfg)
    sources = sorted(cfg, key=lambda source: min(map(order.index, tasks[source])))
    timeouts = {source: batch_timeout(f'{key}.{source}', cfg[source]) for source in sources}
    numbers = {task: model.kinds[task].num_classes(model.tasks[task]) for task in order}
    loaders = {
        source: build_loader(
            f'{key}.{source}',
            source,
            cfg[source],
            runner.seed,
            numbers,
            train,
            check,
            model.kinds,
            model.min_labelled if train and labels_of(cfg[source].get('dataset')) else None,
        )
        for source in sources
    }
    return TaskLoaders(loaders, timeouts, {source: tasks[source] for source in sources})


class BrokenOff(Exception):
    """A validation was left for a signal."""


class References:
    """Batches that are read before an evaluation.

    Args:
        loader: Of the batches.
        before_each: Called before each batch.

    Attributes:
        dataset: Their data set, of which a process may read a part.
    """

    def __init__(self, loader: DataLoader, before_each: Callable[[], None]):
        self.loader, self.before_each = loader, before_each
        self.dataset = loader.dataset

    def __iter__(self) -> Iterator[Mapping]:
        for batch in self.loader:
            self.before_each()
            yield batch


class _EvalLoop(BaseLoop):
    """What :class:`MultiTaskValLoop` describes, for a stage."""

    stage = ''

    def __init__(
        self,
        runner,
        dataloader: Mapping[str, dict],
        evaluator: Mapping[str, dict | list[dict]],
        score: Mapping[str, float] | None = None,
        fp16: bool = False,
        check_data: bool = True,
        references: Mapping[str, dict] | None = None,
    ):
        super().__init__(
            runner,
            build_loaders(runner, f'{self.stage}_dataloader', dataloader, False, check_data),
        )
        model = getattr(runner.model, 'module', runner.model)
        self.kinds = model.kinds
        self.references = self._reference_loaders(references or {}, check_data)
        self.fp16 = fp16
        self.score = dict(score or {})
        self.evaluators: dict[str, Evaluator] = {}
        self.parts = {part.task: part for part in self.dataloader.parts}
        for task in filter(self.parts.__contains__, model.tasks):
            dataset = self.parts[task].dataset
            metrics = evaluator[task]
            metrics = metrics if isinstance(metrics, (list, tuple)) else [metrics]
            with named(f'{self.stage}_evaluator.{task}', evaluator[task]):
                self.evaluators[task] = EVALUATOR.build(
                    dict(type='Evaluator', metrics=[scoped(metric) for metric in metrics])
                )
            for metric in self.evaluators[task].metrics:
                kind = self.kinds[task]
                classes = kind.num_classes(model.tasks[task])
                with named(f'{self.stage}_evaluator.{task}'):
                    kind.prepare_metric(metric, dataset, classes)
                loader = self.references.get(task)
                kind.prepare_references(
                    f'{self.stage}_cfg.references.{task}',
                    metric,
                    dataset,
                    None if loader is None else loader.dataset,
                )
            self._compare_annotations(task, metrics, dataset)
            self.evaluators[task].dataset_meta = getattr(dataset, 'metainfo', None)
        for member in self.score:
            if member.split('/')[0] not in evaluator:
                raise ConfigError(
                    f'{self.stage}_cfg.score has {member!r}, but '
                    f'{self.stage}_evaluator has only {sorted(evaluator)}'
                )
        check_metric_names(f'{self.stage}_cfg.score', self.score, self.metric_names())
        self.evaluator = self.evaluators
        if self.stage == 'val':
            self._check_best()

    def _reference_loaders(self, cfg: Mapping[str, dict], check: bool) -> dict[str, DataLoader]:
        key = f'{self.stage}_cfg.references'
        evaluated = [task for tasks in self.dataloader.tasks.values() for task in tasks]
        for task in cfg:
            if task not in evaluated:
                raise ConfigError(
                    f'{key} has {task!r}, but {self.stage}_dataloader has only {evaluated}'
                )
            if sources_of(cfg)[task] != (task,) or labels_of(cfg[task].get('dataset')):
                raise ConfigError(
                    f'{key}.{task} serves {list(sources_of(cfg)[task])}, but references are of one '
                    "task: give it a data set of this task's library, without tasks"
                )
            if not self.kinds[task].takes_references:
                raise ConfigError(
                    f'{key} has {task!r}, but nothing of the kind {self.kinds[task].name!r} runs '
                    'before an evaluation; leave it out'
                )
        return build_loaders(self.runner, key, cfg, False, check).loaders if cfg else {}

    def _compare_annotations(self, task: str, metrics: Sequence, dataset) -> None:
        parts = list(wrapped_data_sets(dataset))
        # A concatenation is compared with the file of all its images.
        read = getattr(parts[0], 'ann_file', None) if len(parts) == 1 else None
        for metric in metrics:
            compared = metric.get('ann_file') if isinstance(metric, Mapping) else None
            if read and compared and osp.realpath(compared) != osp.realpath(read):
                self.runner.logger.warning(
                    f'{self.stage}_evaluator.{task} compares with the boxes of {compared}, but '
                    f'{self.stage}_dataloader.{self.parts[task].key} reads the images of {read}'
                )

    def _check_best(self) -> None:
        """``save_best`` would fail at the end of the first validation."""
        key = 'default_hooks.checkpoint.save_best'
        for hook in self.runner.hooks:
            best = set(getattr(hook, 'save_best', None) or ()) - {'auto'}
            if 'score' in best and not self.score:
                raise ConfigError(
                    f"{key} is 'score', but val_cfg has no score; give its members there, as "
                    "{'TASK/metric': factor}, or name a TASK/metric"
                )
            check_metric_names(key, best - {'score'}, self.metric_names())

    def metric_names(self) -> dict[str, set[str] | None]:
        """Short names of each task's values; None where nothing tells them beforehand."""
        return {
            task: metric_names(evaluator, self.kinds[task])
            for task, evaluator in self.evaluators.items()
        }

    def _call(self, name: str, **kwargs) -> None:
        before_or_after, _, rest = name.partition('_')
        self.runner.call_hook(f'{before_or_after}_{self.stage}{rest and "_" + rest}', **kwargs)

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        """Metrics of all tasks, keyed ``'TASK/metric'``, and ``'score'``."""
        self._call('before')
        self._call('before_epoch')
        self.runner.model.eval()
        for task, loader in self.references.items():
            model = getattr(self.runner.model, 'module', self.runner.model).tasks[task]
            with autocast(enabled=self.fp16):
                self.kinds[task].before_evaluation(
                    model, References(loader, self._stop_if_asked), self.evaluators[task]
                )
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
            self._stop_if_asked()
        metrics: dict[str, float] = {}
        for task, evaluator in self.evaluators.items():
            found = self._evaluate(task, evaluator)
            metrics |= {
                f'{task}/{name}': value
                for name, value in short_names(
                    found, [metric.prefix for metric in evaluator.metrics]
                ).items()
            }
        metrics |= combined_score(metrics, self.score, f'{self.stage}_cfg.score')
        self._call('after_epoch', metrics=metrics)
        self._call('after')
        return metrics

    def _evaluate(self, task: str, evaluator: Evaluator) -> dict:
        part = self.parts[task]
        if self._marks(part.source):
            return labelled_results.evaluate(evaluator, self.dataloader.sizes[part.source])
        return evaluator.evaluate(part.images)

    def _marks(self, source: str) -> bool:
        """Whether results of unlabelled images are marked, by which processes agree on places."""
        return get_world_size() > 1 and is_labelled(self.dataloader.loaders[source].dataset)

    def _stop_if_asked(self) -> None:
        signals = self.runner.stop_signals
        # Several processes meet again in the evaluators only, so there all go on.
        if signals.received and signals.deferring and get_world_size() == 1:
            raise BrokenOff

    def run_iter(self, index: int, batch: Mapping[str, dict]) -> None:
        self._call('before_iter', batch_idx=index, data_batch=batch)
        step = getattr(self.runner.model, f'{self.stage}_step')
        with autocast(enabled=self.fp16):
            outputs = step(self.for_model(batch))
        for source, data in batch.items():
            for task in self.dataloader.tasks[source]:
                if task in self.evaluators:
                    self._process(source, task, data, outputs.get(task) or [])
        self._call('after_iter', batch_idx=index, data_batch=batch, outputs=outputs)

    def for_model(self, batch: Mapping[str, dict]) -> dict[str, dict]:
        """``{source: batch}`` as the model takes it: that of one task by the name of the task."""
        tasks = self.dataloader.tasks
        return {
            source if is_shared(data) else tasks[source][0]: data for source, data in batch.items()
        }

    def _process(self, source: str, task: str, batch: Mapping, samples: Sequence) -> None:
        evaluator = self.evaluators[task]
        if self._marks(source):
            images, chosen = len(batch['inputs']), labelled(batch, task)
            part = labelled_batch(batch, task)
            labelled_results.process(evaluator, chosen, images, samples, part)
        elif samples:
            data = labelled_batch(batch, task) if is_shared(batch) else batch
            evaluator.process(data_samples=samples, data_batch=data)


@LOOPS.register_module()
class MultiTaskValLoop(_EvalLoop):
    """Each task's data set through its own evaluator, and one combined score.

    Args:
        runner: The runner.
        dataloader: ``{source: dataloader config}``, where a source without ``tasks`` is named like
            its task. Images of a shared source are read once, and pass the backbone once.
        evaluator: ``{task: metric config or list of them}``.
        score: ``{'TASK/metric': factor}``; the combined score is the mean of the products, with
            factors that turn each into percent. None: no score.
        fp16: Evaluate under autocast.
        check_data: Compare annotations, images and label maps first.
        references: ``{task: dataloader config}`` of what the task's kind reads before each
            evaluation, such as a gallery.
    """

    stage = 'val'


@LOOPS.register_module()
class MultiTaskTestLoop(_EvalLoop):
    """As :class:`MultiTaskValLoop`, with the test data sets."""

    stage = 'test'


@LOOPS.register_module()
class PredictLoop(MultiTaskTestLoop):
    """Each task's data set through the model, for hooks to take what is predicted.

    Nothing is evaluated, so the data sets need no annotations.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.evaluators = self.evaluator = {}
        self.score = {}
