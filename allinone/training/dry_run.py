"""What runs later is run once before the first step, on two images of each task.

What a config gets wrong shows where it is first executed: a validation may come hours after the
start. So a training runs, task by task, a forward and backward pass on a small batch, a prediction,
the evaluator, and what draws, and then is as if nothing had run (:mod:`.snapshot`).
"""

import logging
import os
import os.path as osp
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from tempfile import TemporaryDirectory
from typing import NoReturn

import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub
from mmengine.runner.amp import autocast

from allinone.data.shared_sample import labelled_batch
from allinone.data.task_loaders import TaskLoaders
from allinone.errors import AllInOneError, ConfigError
from allinone.evaluation.names import check_metric_names
from allinone.evaluation.score import short_names
from allinone.io.seeding import seed_all
from allinone.models.image_sizes import explain_size

from .hooks.prediction_visualization import PredictionVisualizationHook
from .snapshot import Snapshot, unchanged

SAMPLES = 2
SKIPPING = 'or start with --no-dry-run, which leaves this out'
# Attributes of metrics by which they write files, as the libraries name them
OUTPUTS = ('output_dir', 'outfile_prefix', 'outfile_path', 'out_file_path', 'out_dir')
METRIC_DEPTH = 2  # No deeper: a metric may hold all annotations.


def dry_run(runner) -> None:
    """Try a training step and a validation of each task, leaving no trace of them.

    With several processes all of them do it, for models communicate within their losses.

    Args:
        runner: The runner of a training, whose loops are built and whose weights are loaded.

    Raises:
        ConfigError: If a part fails; the traceback goes to the log file.
        DataError: If the first images of a task cannot be read.
    """
    started = time.perf_counter()
    model = getattr(runner.model, 'module', runner.model)
    try:
        with unchanged(model), _same_hub(runner.message_hub), TemporaryDirectory() as folder:
            seed_all(runner.seed, 'dry run')
            loaders = runner.train_loop.dataloader
            for source, tasks in loaders.tasks.items():
                for task in tasks:
                    _train(runner, model, source, task)
                if len(tasks) > 1:
                    batch = loaders.first(source, loaders.smallest_batch(source, 1))
                    model.check_shared_batch(source, batch)
            if runner.val_loop is not None:
                for source, tasks in runner.val_loop.dataloader.tasks.items():
                    for task in tasks:
                        _validate(runner, source, task, folder)
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        if get_world_size() > 1:
            raise ConfigError(f'the dry run needs more memory than there is: {SKIPPING}') from error
        runner.logger.warning('The dry run stopped early, for it needs more memory than there is')
        return
    took = time.perf_counter() - started
    runner.logger.info(f'Dry run: a step and a validation of each task passed in {took:.1f} s')


def _train(runner, model, source: str, task: str) -> None:
    """A forward and backward pass, with two images or else with the smallest batch to come."""
    loop = runner.train_loop
    loaders = loop.dataloader
    draws = (loop.max_iters - loop.iter) * loop.micro_batches.get(source, 1)
    smallest = loaders.smallest_batch(source, draws)
    # What fails with two images may work with a whole batch. One process can try again; several
    # would no longer agree on what they communicate.
    sizes = [smallest] if get_world_size() > 1 else sorted({min(SAMPLES, smallest), smallest})
    for size in sizes:
        batch = labelled_batch(loaders.first(source, size, task), task)
        try:
            model.train()
            with runner.optim_wrapper.optim_context(runner.model):
                loss, _ = model.parse_losses(model.task_losses(task, batch))
            if loss.requires_grad:
                loss.backward()
            return
        except (AllInOneError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if size == sizes[-1]:
                what = f'model.tasks.{task}: a training step with a batch of {size}'
                _refuse(runner, what, error, _advice(source, task, runner.cfg, error))


def _validate(runner, source: str, task: str, folder: str) -> None:
    """A prediction of two images, the evaluation of it, and a drawing where there will be any."""
    loop = runner.val_loop
    model = getattr(runner.model, 'module', runner.model)
    model.eval()
    kind, evaluator = loop.kinds[task], loop.evaluators[task]
    batch = loop.dataloader.first(source, SAMPLES, task)
    with torch.no_grad(), _tried(evaluator, osp.join(folder, 'results')):
        with _stage(runner, f'val_dataloader.{task}: a prediction'), autocast(enabled=loop.fp16):
            if task in loop.references:
                references = TaskLoaders(loop.references).first(task, SAMPLES)
                kind.before_evaluation(model.tasks[task], iter([references]), evaluator)
            samples = runner.model.val_step(loop.for_model({source: batch}))[task]
        with _stage(runner, f'val_evaluator.{task}: the metric of a prediction'):
            evaluator.process(data_samples=samples, data_batch=labelled_batch(batch, task))
        found = _evaluate(runner, task, evaluator, len(batch['inputs']))
    if found:
        _check_names(runner, task, found, evaluator)
    for hook in runner.hooks:
        if isinstance(hook, PredictionVisualizationHook) and hook.during_val:
            with _stage(runner, f'PredictionVisualizationHook: a drawing of task {task}'):
                hook.into(osp.join(folder, 'drawings')).draw(loop, {task: samples[:1]})


def _evaluate(runner, task: str, evaluator: Evaluator, images: int) -> Mapping[str, float]:
    """The metrics of these images; a metric that the task's kind does not know may need more."""
    failures: list[Exception] = []
    for metric in evaluator.metrics:
        metric.compute_metrics = partial(_or_none, metric.compute_metrics, failures)
    with _quiet():
        found = evaluator.evaluate(images * get_world_size())
    if not failures:
        return found
    what = f'val_evaluator.{task}: the evaluation of {images} image{"s" * (images != 1)}'
    kind = runner.val_loop.kinds[task]
    if all(kind.metric_names(metric) is not None for metric in evaluator.metrics):
        _refuse(runner, what, failures[0])
    runner.logger.warning(
        f'{what} fails: {_words(failures[0])}. Unless the metric needs more images, the first '
        'validation will fail, too'
    )
    return {}


def _or_none(compute: Callable[[list], dict], failures: list[Exception], results: list) -> dict:
    """Metrics, or none if they fail: the first process computes them, and the others wait."""
    try:
        return compute(results)
    except AllInOneError:
        raise
    except Exception as error:
        failures.append(error)
        return {}


def _check_names(runner, task: str, found: Mapping[str, float], evaluator: Evaluator) -> None:
    """The members of the score and of ``save_best``, for metrics that do not tell their names."""
    given = set(short_names(found, [metric.prefix for metric in evaluator.metrics]))
    names = [name for name in runner.val_loop.score if name.split('/')[0] == task]
    check_metric_names('val_cfg.score', names, {task: given | set(found)})


@contextmanager
def _tried(evaluator: Evaluator, folder: str) -> Iterator[None]:
    """An evaluator whose metrics write into ``folder``, and afterwards are as before."""
    snapshots = [Snapshot(metric, METRIC_DEPTH) for metric in evaluator.metrics]
    for number, metric in enumerate(evaluator.metrics):
        metric.results = []
        _redirect(metric, osp.join(folder, str(number)))
    try:
        yield
    finally:
        for snapshot in snapshots:
            snapshot.restore()


def _redirect(metric, folder: str) -> None:
    """Let a metric write below ``folder``, by attributes that hold an output or begin with one."""
    attributes = vars(metric)
    texts = {name: text for name, text in attributes.items() if isinstance(text, str)}
    for output in (texts[name] for name in OUTPUTS if texts.get(name)):
        place = osp.join(folder, osp.basename(osp.normpath(output)))
        for name, text in texts.items():
            if text.startswith(output):
                attributes[name] = place + text.removeprefix(output)
                # Some make their folders when they are built.
                os.makedirs(attributes[name] if name.endswith('_dir') else folder, exist_ok=True)


@contextmanager
def _same_hub(hub: MessageHub) -> Iterator[None]:
    """What the models tell the log and each other meanwhile is forgotten."""
    info, scalars = dict(hub.runtime_info), dict(hub.log_scalars)
    try:
        yield
    finally:
        for now, before in ((hub.runtime_info, info), (hub.log_scalars, scalars)):
            now.clear()
            now.update(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tables of metrics, which would be of two images; pycocotools prints."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(before)


@contextmanager
def _stage(runner, what: str) -> Iterator[None]:
    try:
        yield
    except (AllInOneError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        _refuse(runner, what, error)


def _refuse(runner, what: str, error: Exception, remedy: str = 'fix it') -> NoReturn:
    """Raise a sentence, with the place of the error; the traceback goes to the log file.

    Raises:
        ConfigError: Always.
    """
    text = ''.join(traceback.format_exception(error))
    for handler in runner.logger.handlers:
        if isinstance(handler, logging.FileHandler):
            record = (runner.logger.name, logging.ERROR, '', 0, f'Dry run: {what} fails\n{text}')
            handler.emit(logging.LogRecord(*record, (), None))
    if size := explain_size(runner.cfg.model.backbone, error):
        raise ConfigError(f'{what} fails: {size}') from error
    raise ConfigError(f'{what} fails: {_words(error)}{_place(error)}; {remedy}, {SKIPPING}') from (
        error
    )


def _words(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())}'.removesuffix(': ')


def _place(error: Exception) -> str:
    """The innermost line that is not PyTorch's."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if f'{osp.sep}torch{osp.sep}' not in frame.filename
    ]
    return f' ({osp.basename(frames[-1].filename)}, line {frames[-1].lineno})' if frames else ''


def _advice(source: str, task: str, cfg, error: Exception) -> str:
    """The next step, for what users meet most."""
    words = str(error)
    if 'more than 1 value per channel' in words:
        return (
            'batch norm has a single value a channel there: raise '
            f'train_dataloader.{source}.batch_size to 2 or more, or give that part another '
            "norm_cfg such as dict(type='GN', num_groups=32)"
        )
    if 'weight tensor should be defined' in words:
        found = ', '.join(
            f'{path} has {len(value)} numbers'
            for path, value in _lists(f'model.tasks.{task}', cfg.model.tasks[task], 'class_weight')
        )
        return f'give a class weight for each class ({found or "class_weight of its loss"})'
    return 'fix it'


def _lists(path: str, part, name: str) -> Iterator[tuple[str, list]]:
    """Path and value of each list of this name in a config."""
    members = (
        part.items()
        if isinstance(part, Mapping)
        else enumerate(part)
        if isinstance(part, (list, tuple))
        else ()
    )
    for key, value in members:
        if key == name and isinstance(value, (list, tuple)):
            yield f'{path}.{key}', list(value)
        else:
            yield from _lists(f'{path}.{key}', value, name)
