"""One PyTorch loader for each source, its data set checked and its draws seeded."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from mmdet.datasets.transforms import CachedMixUp, CachedMosaic
from mmengine.logging import print_log
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from allinone.config.build_errors import named, places
from allinone.config.data_sets import map_inner, scoped_dataset
from allinone.config.sources import LABEL_WEIGHTS, LABELS, MIN_LABELLED, TASKS, labels_of, tasks_of
from allinone.errors import ConfigError, DataError
from allinone.registry.kinds import kind_of_dataset_class
from allinone.tasks import TaskKind
from allinone.tasks.coco import reading_normalised

from .annotation_errors import empty, explained
from .checks import check_dataset
from .datasets.shared_parts import library_of, scoped_steps
from .identity_sampler import log_repeated, with_identity_sampler
from .partly_annotated import PartlyAnnotated, marks_by_task
from .pipeline_probe import check_pipeline
from .seeded import MapDataset, SeededDataset
from .shared_pipeline import check_loading, refuse_mixing, refuse_views
from .shared_sample import SharedDataSample
from .shared_source import (
    check_evaluated,
    check_kinds,
    default_sampler,
    log_replaced,
    set_min_labelled,
)
from .task_loaders import TIMEOUT
from .workers import start_worker

CUTTING = ('drop_last', 'num_batch_per_epoch')  # They leave out a part of the data set.
SHARED_PACKER = 'PackSharedInputs'


def build_loader(
    key: str,
    source: str,
    cfg: dict,
    seed: int,
    num_classes: int | None | Mapping[str, int | None],
    train: bool,
    check: bool,
    kind: TaskKind | None | Mapping[str, TaskKind] = None,
    min_labelled: Mapping[str, int] | None = None,
) -> DataLoader:
    """An upstream DataLoader of one source, its data set checked and its draws seeded.

    Args:
        key: Where the config stands, for messages: ``train_dataloader.det``.
        source: Name of the source, which without ``tasks`` is that of its task.
        cfg: mmengine's dataloader config, with ``tasks``, and for training ``skip_corrupt`` and
            ``min_labelled`` and ``label_weights``; its ``timeout`` is read by
            :func:`batch_timeout`.
        seed: The run's seed.
        num_classes: Of the task's head; None where it has no such number. Of several tasks
            ``{task: number}``.
        train: Draw endlessly in a random order (``SeededInfiniteSampler``, or ``SharedSampler`` for
            a shared source) unless ``cfg`` has a sampler.
        check: Compare annotations, images and label maps before the first batch.
        kind: Of the task, of several ``{task: kind}``. Default: by the data set's class, for checks
            alone.
        min_labelled: ``{task: number}`` of labelled images that the model needs in each batch of a
            shared source. Default: 1.

    Raises:
        ConfigError: If it cannot be built, or a sample would depend on what was drawn before it.
        DataError: If the data cannot be read.
    """
    cfg = dict(cfg)
    skip_corrupt = cfg.pop('skip_corrupt', False)
    tasks = tasks_of(source, cfg)
    minima = cfg.pop(MIN_LABELLED, None) or {}
    cfg.pop(TASKS, None)
    cfg.pop(LABEL_WEIGHTS, None)  # Read by the training loop.
    if skip_corrupt and not train:
        raise ConfigError(
            f'{key}.skip_corrupt={skip_corrupt}: it would change the metrics, so it '
            'is for train_dataloader alone; remove it here'
        )
    for option in CUTTING:
        if cfg.get(option) and not train:
            raise ConfigError(
                f'{key}.{option} is {cfg[option]!r}: metrics would be of a part of the data set, '
                'so it is for train_dataloader alone; remove it here'
            )
    dataset_cfg = cfg.get('dataset')
    if not isinstance(dataset_cfg, dict):
        raise ConfigError(f'{key}.dataset is {dataset_cfg!r}; give the config of a data set')
    numbers = num_classes if isinstance(num_classes, Mapping) else dict.fromkeys(tasks, num_classes)
    kinds = kind if isinstance(kind, Mapping) else dict.fromkeys(tasks, kind)
    shared = labels_of(dataset_cfg) is not None
    if train and not shared:
        _refuse_caches(f'{key}.dataset', dataset_cfg)
    if shared:
        refuse_views(f'{key}.dataset.pipeline', dataset_cfg.get('pipeline'))
        dataset = _build_shared(f'{key}.dataset', dataset_cfg, kinds, numbers)
        if train:
            # The library of transforms without a prefix follows from the labels.
            steps = scoped_steps(dataset_cfg.get('pipeline', ()), library_of(dataset.kinds))
            _refuse_caches(f'{key}.dataset', dict(pipeline=steps), shared=True)
        refuse_mixing(f'{key}.dataset.pipeline', dataset)
        check_kinds(f'{key}.dataset.{LABELS}', dataset, kinds)
        if check:
            print_log(f'{key}: {dataset.coverage()}', 'current')
            for task, part in dataset.parts.items():
                with named(f'{key}.dataset.{LABELS}.{task}'):
                    check_dataset(part, numbers[task], skip_corrupt, kinds[task])
    else:
        (task,) = tasks
        with named(f'{key}.dataset', dataset_cfg):
            dataset = _build_dataset(_with_defaults(dataset_cfg, kinds[task], numbers[task]))
            if check:
                check_dataset(dataset, numbers[task], skip_corrupt, kinds[task])
    what = 'task' if tasks == (source,) else 'source'
    marks = marks_by_task(f'{key}.dataset', dataset, tasks)
    if train and marks:
        dataset = PartlyAnnotated(dataset, marks)
    cfg['dataset'] = SeededDataset(dataset, source, seed, skip_corrupt, train, what)
    if check:
        pipeline = f'{key}.dataset.pipeline'
        packer = SHARED_PACKER if shared else getattr(kinds[tasks[0]], 'packer', None)
        if shared:
            check_loading(pipeline, dataset)
        if shared and train:
            check_pipeline(pipeline, cfg['dataset'])
        _check_pipeline(pipeline, cfg['dataset'], packer, shared, train)
    cfg.setdefault('sampler', default_sampler(train, shared))
    if shared and train:
        needed = dict.fromkeys(tasks, 1) | dict(min_labelled or {})
        needed = {task: needed[task] for task in tasks}
        set_min_labelled(key, cfg, minima, needed, dataset)
    if cfg.get('num_workers'):
        cfg.setdefault('persistent_workers', True)
    cfg.pop('timeout', None)  # That of PyTorch is for workers only; see TaskLoaders.
    with named(key, {name: part for name, part in cfg.items() if name != 'dataset'}):
        cfg = with_identity_sampler(key, cfg, seed, train, check)
        loader = Runner.build_dataloader(cfg, seed=seed)
    sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
    if shared and train and check:
        log_replaced(key, sampler, needed)
    if check:
        log_repeated(key, sampler)
    loader.worker_init_fn = partial(start_worker, loader.worker_init_fn)
    return loader


def batch_timeout(key: str, cfg: Mapping) -> float:
    """The longest that a batch may take, in seconds, with or without workers; 0: any time.

    Args:
        key: Where the config stands, for messages.
        cfg: A dataloader's, whose ``timeout`` is read.

    Raises:
        ConfigError: If that is no such number.
    """
    timeout = cfg.get('timeout', TIMEOUT)
    if not isinstance(timeout, (int, float)) or timeout < 0:
        raise ConfigError(f'{key}.timeout is {timeout!r}; give seconds, or 0 for any time')
    return timeout


def training_batches(
    cfg: Mapping,
    sources: Iterable[str],
    seed: int = 0,
    min_labelled: Mapping[str, int] | None = None,
) -> Iterator[dict[str, dict]]:
    """Endless ``{source: batch}`` of a config's training data, loaded in this process.

    Args:
        cfg: The joint config.
        sources: Of which sources.
        seed: Of order and augmentation.
        min_labelled: As in :func:`build_loader`.
    """
    loaders = {
        source: _endless(
            build_loader(
                f'train_dataloader.{source}',
                source,
                in_this_process(cfg['train_dataloader'][source]),
                seed,
                None,
                True,
                False,
                min_labelled=min_labelled,
            )
        )
        for source in sources
    }
    while True:
        yield {source: next(loader) for source, loader in loaders.items()}


def in_this_process(cfg: Mapping) -> dict:
    """A dataloader's config without workers, and without the options that only they have."""
    options = ('persistent_workers', 'prefetch_factor')
    return {key: value for key, value in cfg.items() if key not in options} | dict(num_workers=0)


def _refuse_caches(key: str, cfg: dict, shared: bool = False) -> None:
    remedy = 'leave it out, or use {} for a source of one task' if shared else 'use {}'
    for path, name in places(key, cfg, (CachedMixUp, CachedMosaic)):
        plain = name.removeprefix('Cached')
        other = f"{plain!r} in the pipeline of type='mmdet.MultiImageMixDataset'"
        raise ConfigError(
            f'{path}.type is {name!r}, which mixes images that its worker happens to have read, '
            f'so a resumed run would be another; {remedy.format(other)}'
        )


def _endless(loader: Iterable) -> Iterator:
    """A finite sampler of the user's own goes round again."""
    while True:
        yield from loader


def _build_shared(
    key: str,
    cfg: dict,
    kinds: Mapping[str, TaskKind | None],
    numbers: Mapping[str, int | None],
) -> Any:
    """A shared source's data set, in which each task's labels are read by a data set of its own."""
    labels = {
        task: _with_defaults(part, kinds.get(task), numbers.get(task))
        if isinstance(part, dict)
        else part
        for task, part in (labels_of(cfg) or {}).items()
    }
    with named(key, cfg):
        return _build_dataset(dict(cfg, labels=labels))


def _build_dataset(cfg: dict) -> MapDataset:
    if not isinstance(cfg.get('pipeline', []), (list, tuple)):
        raise ConfigError(f'pipeline is {cfg["pipeline"]!r}; give a list of transforms')
    with reading_normalised(), explained(cfg):
        dataset = MMENGINE_DATASETS.build(scoped_dataset(cfg))
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        size = len(dataset)
    if size == 0:
        raise empty(cfg)
    return dataset


def _with_defaults(cfg: dict, kind: TaskKind | None, num_classes: int | None) -> dict:
    cfg = map_inner(cfg, lambda part: _with_defaults(dict(part), kind, num_classes))
    cls = cfg.get('type')
    cls = MMENGINE_DATASETS.get(cls) if isinstance(cls, str) else cls
    kind = kind or (kind_of_dataset_class(cls) if inspect.isclass(cls) else None)
    if kind is None or num_classes is None:
        return cfg
    return kind.dataset_defaults(cfg, cls, num_classes)


def _check_pipeline(
    key: str, dataset: SeededDataset, packer: str | None, shared: bool, train: bool
) -> None:
    """Whether a sample comes out as models take it; else each loader fails at its first batch."""
    # A broken image is met again in training, where skip_corrupt has its say.
    with suppress(DataError):
        try:
            sample = dataset[0]
        except ConfigError as error:
            raise ConfigError(f'{key}: {error}') from error
        except RuntimeError as error:
            raise ConfigError(f'{key} fails: {" ".join(str(error).split())}; fix it') from error
        if not isinstance(sample, Mapping) or 'inputs' not in sample:
            found = sorted(sample) if isinstance(sample, Mapping) else type(sample).__name__
            raise ConfigError(
                f"{key} ends with {found}, but models take 'inputs' and 'data_samples'; end it "
                f'with {packer or "a packing transform"}'
            )
        if shared and not isinstance(sample.get('data_samples'), SharedDataSample):
            raise ConfigError(
                f'{key} gives a {type(sample.get("data_samples")).__name__}, but a shared source '
                f'has data samples of each of its tasks; end it with {packer}'
            )
        if shared and not train:
            check_evaluated(key, sample['data_samples'], dataset.kinds)
