"""One step of a balancing method on explicit gradients."""

import torch
from torch import Tensor

from .base import Balancer


def combine(balancer: Balancer, losses: Tensor, gradients: Tensor) -> Tensor:
    """Return the backbone gradient of a training step with these task losses and gradients.

    The training step calls the same :meth:`Balancer.combine`, or for loss weightings the same
    :meth:`LossWeighting.factor` and :meth:`~LossWeighting.common`.

    Args:
        balancer: Any method of the registry ``BALANCERS``.
        losses: Task losses ``[K]``.
        gradients: Gradients ``[K, P]`` of those losses on the backbone's P parameters.

    Returns:
        The combined gradient ``[P]``.

    Raises:
        ValueError: If the shapes are different.
    """
    if losses.dim() != 1 or gradients.dim() != 2 or len(losses) != len(gradients):
        raise ValueError(
            f'losses are {tuple(losses.shape)} and gradients {tuple(gradients.shape)}; '
            'give [K] and [K, P]'
        )
    # float16 cannot represent the small and large factors of a weight.
    losses = losses.detach().to(torch.promote_types(losses.dtype, torch.float32))
    return balancer.combine(losses, gradients.detach())[0]
