"""A penalty on the cosines between the tasks' gradients."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from allinone.registry import BALANCERS
from allinone.registry.options import check_number

from .wrapper import Wrapper


@BALANCERS.register_module()
class GradientOrthogonality(Wrapper):
    r"""Regularisation towards orthogonal task gradients; wraps any other method.

    `Suteu and Guo <https://arxiv.org/abs/1912.06844>`_ add to the tasks' losses

    .. math:: \frac{\alpha}{K (K - 1)} \bigl\| \hat G \hat G^\top - I \bigr\|_F^2
        = \frac{\alpha}{K (K - 1)} \sum_{i \ne j} \cos^2(g_i, g_j)

    with :math:`\hat G` the tasks' gradients on a shared layer, each divided by its norm. The
    penalty changes the model so that the gradients interfere less. The weights are those of the
    wrapped method; the gradient of the penalty is added to the gradients of backbone and heads
    after weighting.

    The penalty is of second order. Its gradient is the sum of one Hessian-vector product per task,
    :math:`\nabla_\theta \langle v_i, g_i \rangle` with the constant
    :math:`v_i = \partial\,\mathrm{penalty} / \partial g_i`, so the tasks' graphs stay separate, and
    a task's loss and product share one backward pass if the weights allow it (see
    ``PenalisedStep``). All graphs are kept to the end of the step: K times the memory of
    activations. Gradient accumulation averages the penalties of its iterations; with several
    processes the penalty is that of the gradients' means. A step of one task has no penalty. Every
    operation between the layer and the loss must have a second derivative, which deformable
    convolution lacks.

    Written by hand: not in TorchJD.

    Args:
        balancer: Config of the wrapped method. Default: fixed weights, all 1.
        alpha: Strength; 0.1 with batch norm and 10 without in the paper.
        layer: Name or name prefix of the backbone parameters whose gradients are compared;
            default: the last weight of the backbone that all tasks of a step use.
    """

    counters = ()

    def __init__(
        self, balancer: Mapping | None = None, alpha: float = 0.1, layer: str | None = None
    ):
        super().__init__(balancer or dict(type='FixedWeights'), needs_weights=False)
        self.alpha = check_number('model.balancer.alpha', alpha, 0)
        self.penalty_layer = layer

    @property
    def regulariser(self) -> 'GradientOrthogonality':
        return self

    def penalty(self, gradients: Tensor) -> Tensor:
        """The penalty (scalar) of gradients ``[K, P]``; zero gradients are left out."""
        tasks = len(gradients)
        if tasks < 2:
            return gradients.new_zeros(())
        products = gradients @ gradients.T
        squares = products.diagonal()
        present = squares > 1e-24 * squares.max()
        squares = torch.where(present, squares, 1)
        pairs = torch.outer(present, present) & ~torch.eye(
            tasks, dtype=torch.bool, device=gradients.device
        )
        cosines = torch.where(pairs, products.square() / torch.outer(squares, squares), 0)
        return self.alpha * cosines.sum() / pairs.sum().clamp_min(1)

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        return self.inner.weights(losses, gramian, tasks)

    def update(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> None:
        self.inner.update(losses, gramian, tasks)

    def combine(
        self, losses: Tensor, gradients: Tensor, tasks: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.inner.combine(losses, gradients, tasks)
