"""CoBa: one rate of convergence for all tasks, measured by validation."""

from collections.abc import Mapping

import torch
from torch import Tensor

from allinone.balancers.kpi_weighting import KpiWeighting
from allinone.registry import BALANCERS
from allinone.registry.options import check_count, check_number

HISTORY = 64
SMALLEST_SHARE = 0.1


@BALANCERS.register_module()
class CoBa(KpiWeighting):
    r"""`Convergence balancer <https://arxiv.org/abs/2410.06741>`_.

    With :math:`\alpha_k(t)` the slope of a line through the last N validation losses of task k,
    each divided by the first:

    .. math::
        RCS_k &= \mathrm{softmax}_k\bigl(K \alpha_k(t) / \textstyle\sum_j |\alpha_j(t)|\bigr) \\
        ACS_k &= \mathrm{softmax}_k\bigl(-N \alpha_k(t) /
        \textstyle\sum_{s>t-N}|\alpha_k(s)|\bigr) \\
        DF &= \min\bigl(t\, \mathrm{softmax}_t(-\tau t \alpha_{max}(t) /
        \textstyle\sum_s |\alpha_{max}(s)|),\ 1\bigr) \\
        w &= K\,(DF \cdot RCS + (1 - DF) \cdot ACS)

    RCS favours the task that converges most slowly, ACS lowers the weight of a task that diverges,
    and the divergence factor DF shifts from RCS to ACS when a task begins to diverge.

    Deviations: the validation loss is 1 minus the KPI; the slopes are updated at each validation;
    DF covers 64 validations; the paper's weights sum to 1, these to K, so that a run can be
    compared with the plain sum. No weight falls below 1/10 (in the paper's scale 1/(10K)).
    Weights are 1 until the third validation. Not in TorchJD.

    Args:
        metrics: As in :class:`KpiWeighting`.
        window: N, the number of validations that a slope is fitted to.
        tau: Sharpness of DF, above 0.
    """

    first_losses: Tensor
    ratios: Tensor
    slopes: Tensor
    largest_slopes: Tensor

    def __init__(
        self, metrics: Mapping[str, float] | None = None, window: int = 5, tau: float = 5.0
    ):
        self.window = check_count('model.balancer.window', window, 2)
        super().__init__(metrics)
        self.tau = check_number('model.balancer.tau', tau, 0, open_low=True)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        nan = float('nan')
        return dict(
            super().initial_state(num_tasks),
            first_losses=torch.full((num_tasks,), nan),
            ratios=torch.full((num_tasks, self.window), nan),
            slopes=torch.full((num_tasks, self.window), nan),
            largest_slopes=torch.full((HISTORY,), nan),
        )

    def observe(self, kpis: Tensor) -> None:
        self.prepare(len(kpis))
        losses = (1 - kpis.to(self.ratios)).clamp_min(1e-4)
        known = torch.isfinite(self.first_losses)
        self.first_losses.copy_(torch.where(known, self.first_losses, losses))
        ratios = losses / self.first_losses
        ratios = torch.where(torch.isfinite(ratios), ratios, self.ratios[:, -1].nan_to_num(1.0))
        self.ratios.copy_(torch.cat([self.ratios[:, 1:], ratios[:, None]], 1))
        count = int(torch.isfinite(self.ratios[0]).sum())
        if count < 2:
            return
        times = torch.arange(count, device=ratios.device, dtype=ratios.dtype)
        times -= times.mean()
        slopes = (self.ratios[:, -count:] @ times) / times.square().sum()
        self.slopes.copy_(torch.cat([self.slopes[:, 1:], slopes[:, None]], 1))
        self.largest_slopes.copy_(torch.cat([self.largest_slopes[1:], slopes.max()[None]]))
        if torch.isfinite(self.slopes[0]).sum() >= 2:
            self.task_weights.copy_(self._weights(slopes))

    def _weights(self, slopes: Tensor) -> Tensor:
        count = self.num_tasks
        relative = torch.softmax(count * _normalised(slopes, slopes), 0)
        history = self.slopes[:, torch.isfinite(self.slopes[0])]
        absolute = torch.softmax(
            torch.stack([-history.shape[1] * _normalised(row[-1], row) for row in history]), 0
        )
        largest = self.largest_slopes[torch.isfinite(self.largest_slopes)]
        divergence = (
            len(largest)
            * torch.softmax(-self.tau * len(largest) * _normalised(largest, largest), 0)[-1]
        )
        divergence = divergence.clamp_max(1)
        weights = divergence * relative + (1 - divergence) * absolute
        weights = weights.clamp_min(SMALLEST_SHARE / count)
        return count * weights / weights.sum()


def _normalised(values: Tensor, among: Tensor) -> Tensor:
    return values / among.abs().sum().clamp_min(1e-12)
