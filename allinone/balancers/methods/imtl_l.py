"""IMTL-L: learned scales that bring all losses to 1."""

import torch
from torch import Tensor

from allinone.balancers.adaptive_weighting import AdaptiveWeighting
from allinone.balancers.solvers.adam import adam_, adam_state
from allinone.registry import BALANCERS
from allinone.registry.options import check_number


@BALANCERS.register_module()
class IMTLL(AdaptiveWeighting):
    r"""The loss half of `Towards Impartial Multi-task Learning
    <https://openreview.net/forum?id=IMPnRXEWpvr>`_ (ICLR 2021).

    .. math:: \sum_k e^{s_k} L_k - s_k

    where :math:`s_k` is learned, with initial value 0: it tends to :math:`-\log L_k`, so each
    scaled loss tends to 1. Multiplying a loss changes the limit of :math:`s`, but not the limit of
    the weighted loss.

    Deviations: a separate Adam learns :math:`s` from the detached losses. Written by hand:
    TorchJD's ``IMTLL`` weighs all losses at once and leaves its parameter to the model's optimizer.

    Args:
        lr: Learning rate of :math:`s`.
    """

    factor_follows_loss = False
    log_scale: Tensor

    def __init__(self, lr: float = 0.01):
        super().__init__()
        self.lr = check_number('model.balancer.lr', lr, 0, open_low=True)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(
            super().initial_state(num_tasks),
            log_scale=torch.zeros(num_tasks),
            **adam_state(num_tasks),
        )

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        return torch.exp(self.log_scale[task])

    def learn(self, losses: Tensor, index: Tensor | slice, gramian: Tensor | None) -> None:
        gradient = torch.exp(self.log_scale[index]) * losses - 1
        adam_(self.log_scale, gradient, index, self._buffers, self.lr)
