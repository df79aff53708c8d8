"""GradNorm: weights learned so that all tasks train at one rate."""

import torch
from torch import Tensor

from allinone.balancers.adaptive_weighting import AdaptiveWeighting
from allinone.balancers.solvers.adam import adam_, adam_state
from allinone.registry import BALANCERS
from allinone.registry.options import check_choice, check_number


@BALANCERS.register_module()
class GradNorm(AdaptiveWeighting):
    r"""`Gradient normalization <https://arxiv.org/abs/1711.02257>`_.

    .. math:: \min_w \sum_k \bigl| n_k - \bar n\, r_k^\alpha \bigr|, \qquad
        n_k = w_k \|\nabla_W L_k\|, \qquad
        r_k = \frac{L_k / L_k(0)}{\mathrm{mean}_j\, L_j / L_j(0)}

    where W is the last shared layer, :math:`\bar n` the mean norm, the target constant, and
    :math:`\sum_k w_k = K` restored after every step. The derivative with respect to :math:`w_k` is
    the sign times :math:`\|\nabla_W L_k\|`, so no second backward pass is needed.

    Deviations: norms are of all backbone gradients unless ``layer`` names the parameters W; weights
    are clamped to at least 0.01 before the sum is restored; a step that names a subset of tasks
    balances only these and keeps the sum of their weights. :math:`L_k(0)` is the loss of the task's
    first step. Not in TorchJD.

    Args:
        alpha: Strength of the pull towards a common rate, not below 0.
        lr: Learning rate of the weights.
        optimizer: ``'sgd'``, as in the formula, or ``'adam'``, as in the paper's experiments, whose
            steps do not depend on the size of the gradients.
        layer: Name or name prefix of the measured backbone parameters; default: all.
    """

    factor_follows_loss = False
    requires = 'gramian'
    smallest = 0.01
    task_weights: Tensor
    first_losses: Tensor

    def __init__(
        self,
        alpha: float = 1.5,
        lr: float = 0.025,
        optimizer: str = 'sgd',
        layer: str | None = None,
    ):
        super().__init__()
        self.alpha = check_number('model.balancer.alpha', alpha, 0)
        self.lr = check_number('model.balancer.lr', lr, 0, open_low=True)
        self.optimizer = check_choice('model.balancer.optimizer', optimizer, ('sgd', 'adam'))
        self.layer = layer

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(
            super().initial_state(num_tasks),
            task_weights=torch.ones(num_tasks),
            first_losses=torch.full((num_tasks,), float('nan')),
            **adam_state(num_tasks),
        )

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        return self.task_weights[task]

    def learn(self, losses: Tensor, index: Tensor | slice, gramian: Tensor | None) -> None:
        assert gramian is not None
        first = self.first_losses[index]
        first = torch.where(torch.isfinite(first), first, losses)
        self.first_losses[index] = first
        weights = self.task_weights[index].clone()
        norms = gramian.diagonal().clamp_min(0).sqrt().to(losses)
        weighted = weights * norms
        rates = losses / first
        taking_part = torch.isfinite(losses)
        mean_norm = torch.where(taking_part, weighted, torch.nan).nanmean()
        target = mean_norm * (rates / rates.nanmean()) ** self.alpha
        gradient = torch.sign(weighted - target) * norms
        if self.optimizer == 'adam':
            adam_(self.task_weights, gradient, index, self._buffers, self.lr)
        else:
            self.task_weights[index] = weights - self.lr * gradient
        changed = self.task_weights[index].clamp_min(self.smallest)
        kept, new = (torch.where(taking_part, part, 0).sum() for part in (weights, changed))
        self.task_weights[index] = changed * (kept / new)
