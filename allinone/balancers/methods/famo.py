"""FAMO: one rate of decrease for all losses, computed from the losses alone."""

import torch
from torch import Tensor

from allinone.balancers.adaptive_weighting import AdaptiveWeighting
from allinone.balancers.solvers.adam import adam_, adam_state
from allinone.registry import BALANCERS
from allinone.registry.options import check_number


@BALANCERS.register_module()
class FAMO(AdaptiveWeighting):
    r"""`Fast Adaptive Multitask Optimization <https://arxiv.org/abs/2306.03792>`_.

    .. math:: c \sum_k z_k \log L_k, \qquad z = \mathrm{softmax}(\xi), \qquad
        c = \Bigl(\sum_k z_k / L_k\Bigr)^{-1}

    so :math:`w_k = c z_k / L_k`, which sum to 1. After a step, Adam moves the logits :math:`\xi`
    along :math:`\partial z/\partial\xi` times :math:`\log L^{before} - \log L^{after}`: the weight
    of a task that improved more than the others falls.

    Deviations: the paper computes :math:`L^{after}` on the same batch in a second forward pass.
    Here it is the task's loss on its next batch, as in several re-implementations: that costs
    nothing, does not affect batch norm or dropout, and is noisier (raise the batch size or lower
    ``lr`` if the weights jump). Call :meth:`observe` for the exact rule. Written by hand: TorchJD's
    ``FAMO`` does not save the state of its Adam, and weighs all losses at once.

    Args:
        lr: Learning rate of the logits.
        weight_decay: Weight decay of the logits.
    """

    logits: Tensor

    def __init__(self, lr: float = 0.025, weight_decay: float = 1e-3):
        super().__init__()
        self.lr = check_number('model.balancer.lr', lr, 0, open_low=True)
        self.weight_decay = check_number('model.balancer.weight_decay', weight_decay, 0)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(
            super().initial_state(num_tasks), logits=torch.zeros(num_tasks), **adam_state(num_tasks)
        )

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        return torch.softmax(self.logits, 0)[task] / loss

    def shared_factor(self, losses: Tensor, seen: Tensor) -> Tensor:
        shares = torch.softmax(self.logits, 0) * seen
        return shares.sum() / torch.where(seen, shares / losses, 0).sum()

    def learn(self, losses: Tensor, index: Tensor | slice, gramian: Tensor | None) -> None:
        self.observe(losses, index)

    def observe(self, after: Tensor, index: Tensor | slice = slice(None)) -> None:
        """Update the logits from the change of the last losses of the tasks in ``index``.

        Args:
            after: Losses ``[K]`` of the tasks after the step; NaN leaves its task out.
            index: Index of the tasks; default: all.
        """
        before = self.last_losses[index]
        known = torch.isfinite(before) & torch.isfinite(after)
        change = torch.where(known, before.log() - after.log(), 0)
        shares = torch.softmax(self.logits, 0)[index] * known
        gradient = shares * (change - (shares * change).sum())
        adam_(self.logits, gradient, index, self._buffers, self.lr, self.weight_decay, known)
