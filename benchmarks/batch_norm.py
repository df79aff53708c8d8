"""Difference of evaluation and training losses after training on one data set at a time."""

import copy
import itertools
from collections.abc import Iterator, Mapping

import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch.optim.lr_scheduler import LinearLR

from allinone.data.loaders import training_batches
from allinone.io.seeding import seed_all
from allinone.models.batch_norm import norms_of
from allinone.registry import MODELS
from allinone.training.precise_bn import SEED, reestimate

from .measure import device

KINDS = ('shared', 'frozen', 'per_task')
BLOCK = 10  # steps of one task; its statistics then weigh 1 - 0.9**10 = 0.65
KEPT = 0.5  # fraction of the steps with fixed, re-estimated statistics
LOOKED_AT = 8  # batches per task for the comparison, and as many for the estimate


def measure_batch_norm(cfg, steps: int) -> dict:
    """Train with each kind of batch norm, and compare losses on the same training images.

    The tasks alternate in blocks of :data:`BLOCK` steps, so that running statistics are those of
    the last tasks. The learning rate falls to zero, as in a full training; otherwise the statistics
    of a waiting task would also lag behind the weights, a different effect. Seed, order and
    augmentation are the same for all kinds.

    Args:
        cfg: A config of a joint model whose backbone has batch norm.
        steps: Training steps of each kind.

    Returns:
        ``{kind: {task: {'training', 'evaluation'}}}``: the mean loss with the backbone's batch
        norms in training mode and in evaluation mode. ``'shared, estimated again'`` is ``'shared'``
        after :func:`reestimate`; ``'shared, estimated and kept'`` re-estimates the statistics
        before the last fraction :data:`KEPT` of the steps, and trains with them unchanged.
    """
    found = {}
    with DefaultScope.overwrite_default_scope('allinone'):
        # Images of the training set, sampled with a seed that the training does not use
        batches = training_batches(cfg, cfg.model.tasks, SEED)
        batches = list(itertools.islice(batches, 2 * LOOKED_AT))
        mixed = batches[LOOKED_AT:]

        def look(kind: str, model) -> None:
            found[kind] = _losses(model, batches[:LOOKED_AT])

        for kind in KINDS:
            model = _trained(cfg, kind, steps)
            look(kind, model)
            if kind == 'shared':
                reestimate(model, copy.deepcopy(mixed))
                look('shared, estimated again', model)
                look('shared, estimated and kept', _trained(cfg, kind, steps, copy.deepcopy(mixed)))
    return found


def _trained(cfg, kind: str, steps: int, mixed: list | None = None):
    """Train a model of ``kind``; statistics of ``mixed`` batches are fixed for the last steps."""
    seed_all('training')
    cfg = copy.deepcopy(cfg)
    cfg.model.update(bn=kind, grad_similarity_interval=0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.to(device()).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    schedule = LinearLR(wrapper.optimizer, start_factor=1, end_factor=0, total_iters=steps)
    alone = _in_blocks(training_batches(cfg, model.tasks))
    for step, batch in enumerate(itertools.islice(alone, steps)):
        if mixed is not None and step == steps - max(1, round(KEPT * steps)):
            reestimate(model, mixed)
            model.freeze_statistics()
        model.train_step(batch, wrapper)
        schedule.step()
    return model


def _in_blocks(batches: Iterator[dict[str, dict]]) -> Iterator[dict[str, dict]]:
    """Batches of one task each."""
    while block := list(itertools.islice(batches, BLOCK)):
        for task in block[0]:
            for batch in block:
                yield {task: batch[task]}


@torch.no_grad()
def _losses(model, batches) -> dict[str, dict[str, float]]:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    # Only the backbone's norms change mode: a head's norms see only their task.
    adapters = [view.adapter for view in model.views() if view.adapter is not None]
    norms = [norm for part in (model.backbone, *adapters) for norm in norms_of(part)]
    found = {task: {} for task in model.tasks}
    for name, mode in dict(training=True, evaluation=False).items():
        model.train()
        for norm in norms:
            norm.train(mode and norm.training)
        for task in found:
            seed_all('losses')  # The same dropout and mixed images for both modes
            losses = [
                model.parse_losses(model.task_losses(task, copy.deepcopy(batch[task])))[0]
                for batch in batches
            ]
            found[task][name] = float(torch.stack(losses).mean())
        model.load_state_dict(state)  # Training mode updates the statistics.
    return found


def batch_norm_table(found: Mapping) -> str:
    """The result of :func:`measure_batch_norm`, one line for each kind and task."""
    lines = [f'{"model.bn":<28}{"task":<8}{"training":>10}{"evaluation":>12}{"ratio":>8}']
    for kind, tasks in found.items():
        for task, loss in tasks.items():
            ratio = loss['evaluation'] / loss['training']
            lines.append(
                f'{kind:<28}{task:<8}{loss["training"]:>10.3f}{loss["evaluation"]:>12.3f}'
                f'{ratio:>8.2f}'
            )
    return '\n'.join(lines)
