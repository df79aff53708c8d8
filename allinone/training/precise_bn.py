"""Batch norm's running statistics estimated again, over a mix of the tasks' images."""

import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

from allinone.data.loaders import training_batches
from allinone.data.shared_sample import is_shared, labelled
from allinone.distributed.processes import is_sharded
from allinone.errors import ConfigError
from allinone.io.program import program
from allinone.io.seeding import seeded
from allinone.models.allinone import AllInOne
from allinone.models.batch_norm import norms_of
from allinone.models.shared_backbone import run_backbone
from allinone.models.shared_images import SharedImages
from allinone.registry import HOOKS
from allinone.registry.options import check_count

SEED = 1 << 20  # Other draws of the augmentation than those of the training


@torch.no_grad()
def reestimate(
    model: AllInOne,
    batches: Iterable[Mapping[str, dict]],
    sources: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """Replace the backbone's statistics, and those of heads, which its new maps change.

    Training moves the backbone's statistics with batches of one data set at a time, so they belong
    to the last of them. Here each mixed batch normalises the images of all sources together: its
    mean is that of the sources' means, its variance that of the mixture of equal shares, at every
    layer, whatever sizes the sources' images have. Means and second moments are then averaged over
    the batches, as in `Rethinking "Batch" in BatchNorm <https://arxiv.org/abs/2105.07576>`_ (3.1),
    and over processes.

    Args:
        model: A joint model without adapters; its mode is left as it was.
        batches: Mixed batches ``{source: batch}``, gone through twice. Tasks that are in none keep
            their statistics, as frozen ones do.
        sources: ``{source: tasks that it serves}``. Default: each serves the task of its name.

    Returns:
        The number of norms with new statistics.

    Raises:
        ConfigError: As :func:`check_reestimable`.
    """
    check_reestimable(model)
    norms = norms_of(model.backbone)
    batches = list(batches)
    served = {source: (source,) for batch in batches for source in batch} | dict(sources or {})
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        # Augmentation of batches draws, too.
        with seeded('statistics'):
            _reestimate_backbone(model, norms, batches, served)
            heads = _reestimate_heads(model, batches, served)
    finally:
        for module, mode in training.items():
            module.training = mode
    return len(norms) + heads


def check_reestimable(model: AllInOne) -> None:
    """Refuse a joint model whose backbone has no statistics to estimate again.

    Raises:
        ConfigError: If it has no batch norm, its statistics are frozen, a task sees it with values
            of its own, or its parameters are sharded.
    """
    norms = norms_of(model.backbone)
    if not norms:
        raise ConfigError('model.backbone has no batch norm, so there is nothing to estimate again')
    own = [name for name in model.tasks if model.view(name).adapter is not None]
    if own:
        raise ConfigError(
            f'the tasks {own} see the backbone with values of their own (adapter, or bn='
            "'per_task'), and have no statistics in common"
        )
    if model.bn == 'frozen' or 'backbone' in model.frozen:
        raise ConfigError(
            f'model.bn is {model.bn!r} and model.frozen is {list(model.frozen)}: the statistics of '
            'the backbone are to stay as they are, so leave out estimating them again'
        )
    if any(is_sharded(param) for param in model.shared_part().parameters()):
        raise ConfigError(
            'the backbone is sharded, and the tasks cannot go through it together; estimate the '
            f'statistics afterwards, by {program("precise_bn")}'
        )


def _reestimate_backbone(model: AllInOne, norms: list[_BatchNorm], batches, served) -> None:
    totals = {norm: torch.zeros(2, norm.num_features, dtype=torch.float64) for norm in norms}
    for batch in batches:
        images = [_images(model, served[source], data) for source, data in batch.items()]
        _run_together(model.backbone, images, norms, totals)
    for norm, total in totals.items():
        mean, square = _over_processes(total) / len(batches)
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(square - mean**2)


def _images(model: AllInOne, tasks: Sequence[str], batch: Mapping) -> Tensor:
    """The images of a source ``(N, 3, H, W)``, normalised and padded."""
    if is_shared(batch):
        return SharedImages(model, tasks, batch).images
    return model.tasks[tasks[0]].data_preprocessor(batch, True)['inputs']


def _run_together(
    backbone: nn.Module,
    images: list[Tensor],
    norms: list[_BatchNorm],
    totals: Mapping[_BatchNorm, Tensor],
) -> None:
    """The backbone on each source's images in a thread of its own, which meet at every norm."""
    meet = threading.Barrier(len(images))
    thread = threading.local()
    brought: dict[int, Tensor] = {}

    def normalise(norm: _BatchNorm, x: Tensor) -> Tensor:
        exact = x.double()
        others = [i for i in range(x.dim()) if i != 1]
        brought[thread.number] = torch.stack([exact.mean(others), exact.square().mean(others)])
        meet.wait()
        mean, square = pooled = torch.stack([brought[i] for i in range(len(images))]).mean(0)
        if thread.number == 0:
            totals[norm].add_(pooled.cpu())
        meet.wait()  # Before the next norm is brought more
        return batch_norm(
            x, mean.to(x), (square - mean**2).to(x), norm.weight, norm.bias, False, 0.0, norm.eps
        )

    def run(number: int) -> None:
        thread.number = number
        try:
            with torch.no_grad():  # A setting of each thread
                run_backbone(backbone, images[number])
        except BaseException:
            meet.abort()
            raise

    for norm in norms:
        norm.forward = partial(normalise, norm)  # type: ignore[method-assign]  # taken back below
    try:
        with _uncompiled(backbone), ThreadPoolExecutor(len(images)) as pool:
            runs = [pool.submit(run, number) for number in range(len(images))]
    finally:
        for norm in norms:
            del norm.forward
    errors = [error for error in (run.exception() for run in runs) if error is not None]
    # First what made the others stop waiting.
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error


def _uncompiled(backbone: nn.Module):
    """Compiled layers would be traced anew for what the norms do meanwhile."""
    if any(module._compiled_call_impl is not None for module in backbone.modules()):
        return torch.compiler.set_stance('force_eager')
    return nullcontext()


def _reestimate_heads(model: AllInOne, batches, served) -> int:
    sources = {source for batch in batches for source in batch}
    tasks = {task for source in sources for task in served[source]} - set(model.frozen)
    norms = [norm for name, task in model.tasks.items() if name in tasks for norm in norms_of(task)]
    if model.shared_neck is not None and not tasks.isdisjoint(model.neck_tasks):
        norms += norms_of(model.shared_neck)  # It sees the images of its tasks alone.
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # The mean over all batches
        norm.train()
    for batch in batches if norms else ():
        for source, data in batch.items():
            for task in served[source]:
                if task in tasks and labelled(data, task):
                    model.task_losses(task, data)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        for statistic in (norm.running_mean, norm.running_var):
            assert statistic is not None
            statistic.copy_(_over_processes(statistic))
    return len(norms)


def _over_processes(total: Tensor) -> Tensor:
    if get_world_size() > 1:
        total = total.clone()
        all_reduce(total, 'mean')
    return total


@HOOKS.register_module()
class PreciseBNHook(Hook):
    """Estimates batch norm's statistics again, after the last step or before a late one.

    After the last step, evaluation gets the statistics of all tasks, but the backbone was trained
    with those of one task's batch at a time. Estimated before step ``begin`` and kept from there,
    the last steps train what evaluation sees (`Rethinking "Batch" in BatchNorm
    <https://arxiv.org/abs/2105.07576>`_, on population statistics in training); heads' norms go on
    as they did. Averaged weights (EMA) take the kept statistics unless ``update_buffers=True``,
    with which they average them, too.

    Args:
        batches: How many batches of each task.
        begin: Estimate before this step (from 0), and keep the statistics from there. None: after
            the last one, before it is saved.

    Raises:
        ConfigError: As :func:`check_reestimable`, if the training has no step ``begin``, or there
            is another such hook; before the first step.
    """

    # After averages of weights (EMA) have been taken: of the last step they keep their statistics.
    priority = 'LOW'

    def __init__(self, batches: int = 50, begin: int | None = None):
        self.batches = check_count('custom_hooks.batches', batches)
        self.begin = None if begin is None else check_count('custom_hooks.begin', begin, 0)

    def before_train(self, runner) -> None:
        if sum(isinstance(hook, PreciseBNHook) for hook in runner.hooks) > 1:
            raise ConfigError('custom_hooks has PreciseBNHook more than once; leave one')
        if self.begin is not None and self.begin >= runner.max_iters:
            raise ConfigError(
                f'custom_hooks.begin of PreciseBNHook is {self.begin}, but the training has '
                f'{runner.max_iters} steps (train_cfg.max_iters), numbered from 0'
            )
        if self.begin is not None and runner.iter > self.begin:  # Resumed after a checkpoint
            self._keep(runner)
        else:
            # Not only when all steps are made.
            check_reestimable(_bare(runner.model))

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.begin:
            self._reestimate(runner)
            self._keep(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.begin is None and runner.iter + 1 == runner.max_iters:
            self._reestimate(runner)

    def _reestimate(self, runner) -> None:
        model, sources = _bare(runner.model), runner.train_dataloader.tasks
        seed = runner.seed + SEED
        mixed = training_batches(runner.cfg, sources, seed, model.min_labelled)
        count = reestimate(model, itertools.islice(mixed, self.batches), sources)
        runner.logger.info(
            f'statistics of {count} batch norms estimated again from {self.batches} batches a task'
        )

    @staticmethod
    def _keep(runner) -> None:
        runner.logger.info("the backbone's statistics of batch norm stay as they are from here")
        _bare(runner.model).freeze_statistics()


def _bare(model) -> AllInOne:
    return model.module if is_model_wrapper(model) else model
