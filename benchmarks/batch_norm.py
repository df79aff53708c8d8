"""How far evaluation is from training after batches of one data set at a time."""

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
KEPT = 0.5  # of the steps, with statistics that are estimated before them
LOOKED_AT = 8  # batches of each task, to compare on and to estimate from


def measure_batch_norm(cfg, steps: int) -> dict:
    """Train with each kind of batch norm, and compare losses of the same training images.

    The tasks take turns in blocks of :data:`BLOCK` steps, which is the hazard: running statistics
    belong to the last tasks. The learning rate falls to zero, as in a whole training: else the
    statistics of a task that waits also lag behind the weights, which is not the hazard. Seed,
    order and augmentation are the same for all.

    Args:
        cfg: A config of a joint model whose backbone has batch norm.
        steps: Training steps of each kind.

    Returns:
        ``{kind: {task: {'training', 'evaluation'}}}``: the mean loss with the backbone's batch
        norms as in training, and as in evaluation. ``'shared, estimated again'`` is ``'shared'``
        after :func:`reestimate`; ``'shared, estimated and kept'`` was estimated again when
        :data:`KEPT` of the steps were left, which then trained with these statistics.
    """
    found = {}
    with DefaultScope.overwrite_default_scope('allinone'):
        # Images of the training set, by draws that the training did not make
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
    """A model of ``kind``; with mixed batches, its statistics are of them and kept at the end."""
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
    # The backbone's share only: a head's norms see its own task alone, and stay as in training.
    adapters = [view.adapter for view in model.views() if view.adapter is not None]
    norms = [norm for part in (model.backbone, *adapters) for norm in norms_of(part)]
    found = {task: {} for task in model.tasks}
    for name, mode in dict(training=True, evaluation=False).items():
        model.train()
        for norm in norms:
            norm.train(mode and norm.training)
        for task in found:
            seed_all('losses')  # The same dropout and mixed images for both
            losses = [
                model.parse_losses(model.task_losses(task, copy.deepcopy(batch[task])))[0]
                for batch in batches
            ]
            found[task][name] = float(torch.stack(losses).mean())
        model.load_state_dict(state)  # Training mode moves the statistics.
    return found


def batch_norm_table(found: Mapping) -> str:
    """What :func:`measure_batch_norm` found, a line for each kind and task."""
    lines = [f'{"model.bn":<28}{"task":<8}{"training":>10}{"evaluation":>12}{"ratio":>8}']
    for kind, tasks in found.items():
        for task, loss in tasks.items():
            ratio = loss['evaluation'] / loss['training']
            lines.append(
                f'{kind:<28}{task:<8}{loss["training"]:>10.3f}{loss["evaluation"]:>12.3f}'
                f'{ratio:>8.2f}'
            )
    return '\n'.join(lines)
