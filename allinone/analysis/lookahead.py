"""Effect of a backbone step for one task on the losses of the others."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from allinone.errors import ConfigError
from allinone.io.seeding import seed_of, seeded
from allinone.models.allinone import AllInOne
from allinone.step.backbone_gradients import BackboneGradients


def lookahead_affinity(
    model: AllInOne,
    batches: Iterable[Mapping[str, dict]],
    rates: float | Sequence[float],
    seed: int = 0,
) -> np.ndarray:
    r"""Relative decrease of each task's loss after a backbone step for one task.

    .. math:: Z_{i \to j} = 1 - \frac{L_j(X_j, \theta_s^i, \theta_j)}{L_j(X_j, \theta_s, \theta_j)},
              \quad \theta_s^i = \theta_s - \eta \nabla_{\theta_s} L_i(X_i, \theta_s, \theta_i)

    `TAG <https://arxiv.org/abs/2109.04617>`_, equations 1 and 2. The step is plain SGD on the
    trainable backbone parameters, for any optimizer of the training; heads do not change. Losses
    are not weighted. TAG has one batch X for all tasks; here each task has a separate batch.

    The model is in training mode. Both losses of a task are measured with the same dropout, and
    batch norm statistics are not updated. Afterwards, parameters, buffers, modes and random
    generators are restored bit for bit; gradients are cleared.

    Args:
        model: An :class:`AllInOne`, or an object with its ``shared_part``, ``tasks``,
            ``task_losses`` and ``parse_losses``.
        batches: N dictionaries ``{task: batch}`` with all K tasks.
        rates: Learning rate, or one for each trainable parameter of the backbone.
        seed: Seed of the dropout.

    Returns:
        ``[N, K, K]``, float64; element ``[n, i, j]`` is the affinity of task i onto task j in batch
        n; NaN if the loss before is 0 or one of the two losses is non-finite.

    Raises:
        ConfigError: If the backbone has no trainable parameter.
    """
    names = list(model.tasks)
    params = [param for param in model.shared_part().parameters() if param.requires_grad]
    if not params:
        raise ConfigError('model.backbone has no trainable parameter, so no task moves it')
    rates = [rates] * len(params) if isinstance(rates, (int, float)) else rates
    found = []
    with _left_as_it_is(model):
        model.train()
        model.zero_grad(set_to_none=True)
        for number, batch in enumerate(batches):
            draws = {task: (seed, 'affinity', number, task) for task in names}
            gradients = BackboneGradients(params, len(names))
            before = []
            for index, task in enumerate(names):
                with _same_conditions(model, *draws[task]):
                    loss = _loss(model, task, batch[task])
                    loss.backward()
                before.append(loss.item())
                gradients.take(index)
                model.zero_grad(set_to_none=True)
            after = [
                _losses_after(model, batch, params, rates, views, draws)
                for views in gradients.views
            ]
            found.append(_relative_fall(np.array(before), np.array(after)))
    return np.stack(found)


@torch.no_grad()
def _losses_after(
    model, batch: Mapping[str, dict], params, rates, gradients, draws: Mapping[str, tuple]
) -> list[float]:
    """Losses ``[K]`` after a backbone step along ``gradients``; then the backbone is restored."""
    start = [param.clone() for param in params]
    try:
        for param, gradient, rate in zip(params, gradients, rates):
            param.sub_(gradient, alpha=rate)
        losses = []
        for task, parts in draws.items():
            with _same_conditions(model, *parts):
                losses.append(_loss(model, task, batch[task]).item())
        return losses
    finally:
        for param, value in zip(params, start):
            param.copy_(value)


def _loss(model, task: str, batch: dict) -> torch.Tensor:
    # A copy, because preprocessors and heads may modify the samples.
    return model.parse_losses(model.task_losses(task, copy.deepcopy(batch)))[0]


def _relative_fall(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    defined = np.isfinite(before) & (before != 0) & np.isfinite(after)
    return np.where(defined, 1 - after / np.where(before == 0, np.nan, before), np.nan)


@contextmanager
def _left_as_it_is(model: nn.Module) -> Iterator[None]:
    """Context that restores the modes of all modules and the random generators at the end."""
    modes = {module: module.training for module in model.modules()}
    with seeded_on(model, 'affinity'):
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


@contextmanager
def _same_conditions(model: nn.Module, *parts) -> Iterator[None]:
    """Context with random generators seeded from ``parts``; restores buffers at the end."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with seeded_on(model, *parts):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)


@contextmanager
def seeded_on(model: nn.Module, *parts) -> Iterator[None]:
    """As ``seeded``, for the generator of the model's device, too."""
    device = next(model.parameters()).device
    cuda = [device] if device.type == 'cuda' else []
    with torch.random.fork_rng(cuda), seeded(*parts):
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed_of(*parts))
        yield
