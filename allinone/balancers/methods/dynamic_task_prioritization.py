"""Dynamic task prioritization: larger weights for tasks with worse validation metrics."""

from collections.abc import Mapping

import torch
from torch import Tensor

from allinone.balancers.kpi_weighting import KpiWeighting
from allinone.registry import BALANCERS
from allinone.registry.options import check_number

MARGIN = 1e-4


@BALANCERS.register_module()
class DynamicTaskPrioritization(KpiWeighting):
    r"""`Guo et al. <https://openaccess.thecvf.com/content_ECCV_2018/html/Michelle_Guo_Focus_on_the_ECCV_2018_paper.html>`_
    (ECCV 2018).

    .. math:: w_k = -(1 - \kappa_k)^\gamma \ln \kappa_k, \qquad
        \kappa_k \leftarrow a\, \mathrm{KPI}_k + (1 - a) \kappa_k

    where :math:`\mathrm{KPI}_k \in (0, 1)` is task k's validation metric.

    Deviations: KPIs come from each validation, not from each training batch; they are clamped to
    [1e-4, 1 - 1e-4]; the first KPI is not averaged. Not in TorchJD.

    Args:
        metrics: As in :class:`KpiWeighting`.
        momentum: :math:`a` in (0, 1], the weight of the new metric.
        gamma: Focus on the difficult tasks, not below 0.
    """

    kpis: Tensor

    def __init__(
        self, metrics: Mapping[str, float] | None = None, momentum: float = 0.5, gamma: float = 1.0
    ):
        super().__init__(metrics)
        self.momentum = check_number('model.balancer.momentum', momentum, 0, 1, open_low=True)
        self.gamma = check_number('model.balancer.gamma', gamma, 0)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(super().initial_state(num_tasks), kpis=torch.full((num_tasks,), float('nan')))

    def observe(self, kpis: Tensor) -> None:
        self.prepare(len(kpis))
        kpis = kpis.to(self.kpis).clamp(MARGIN, 1 - MARGIN)
        last = torch.where(torch.isfinite(self.kpis), self.kpis, kpis)
        new = torch.lerp(last, kpis, self.momentum)
        self.kpis.copy_(torch.where(torch.isfinite(kpis), new, last))
        weights = -((1 - self.kpis) ** self.gamma) * self.kpis.log()
        self.task_weights.copy_(torch.where(torch.isfinite(weights), weights, 1.0))
