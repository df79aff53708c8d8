"""Adam for a few numbers with a step count each, as part of a balancer's state."""

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
    """One step of Adam on ``values[index]`` in place; other values and momenta do not change.

    ``torch.optim.Adam`` does not fit: its state is not in a module's state dict, and its step also
    moves the tasks that took no part.

    Args:
        values: Learned numbers ``[num_tasks]``.
        gradient: Gradient of the selected values ``[K]``.
        index: Index of the selected values.
        state: The buffers of :func:`adam_state`.
        lr: Learning rate.
        weight_decay: Multiplied by the value and added to the gradient, as in Adam (not AdamW).
        active: Which of the selected values to update, bool ``[K]``; default: all.
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
