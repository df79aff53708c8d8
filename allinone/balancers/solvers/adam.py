"""Adam on a few numbers, each with its own count of steps, as part of a balancer's state."""

import torch
from torch import Tensor

BETA_MEAN, BETA_SQUARE, EPS = 0.9, 0.999, 1e-8


def adam_state(num_tasks: int) -> dict[str, Tensor]:
    """Buffers ``[num_tasks]`` for :func:`adam_`: means, mean squares, numbers of steps."""
    return {f'adam_{name}': torch.zeros(num_tasks) for name in ('mean', 'square', 'steps')}


def adam_(
    values: Tensor,
    gradient: Tensor,
    index: Tensor | slice,
    state: dict[str, Tensor],
    lr: float,
    weight_decay: float = 0.0,
    active: Tensor | None = None,
) -> None:
    """One step of Adam on ``values[index]`` in place; the rest, also its momentum, is left alone.

    On purpose not ``torch.optim.Adam``: its state is not in a module's state dict, and its step
    would also move the tasks that took no part.

    Args:
        values: The numbers learned ``[num_tasks]``.
        gradient: Of the selected ones ``[K]``.
        index: Which.
        state: The buffers of :func:`adam_state`.
        lr: Learning rate.
        weight_decay: Times the value, added to the gradient, as in Adam (not AdamW).
        active: Where among the selected to make the step, bool ``[K]``; default: at all.
    """
    gradient = gradient.to(values) + weight_decay * values[index]
    mean = torch.lerp(state['adam_mean'][index], gradient, 1 - BETA_MEAN)
    square = torch.lerp(state['adam_square'][index], gradient.square(), 1 - BETA_SQUARE)
    steps = state['adam_steps'][index] + 1
    change = (mean / (1 - BETA_MEAN**steps)) / ((square / (1 - BETA_SQUARE**steps)).sqrt() + EPS)
    new = dict(adam_mean=mean, adam_square=square, adam_steps=steps)
    for buffer, value in (
        (values, values[index] - lr * change),
        *((state[name], value) for name, value in new.items()),
    ):
        buffer[index] = value if active is None else torch.where(active, value, buffer[index])
