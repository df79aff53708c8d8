"""Base of the loss weightings that follow validation metrics."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from allinone.errors import ConfigError
from allinone.registry.options import check_metric_list, check_number

from .adaptive_weighting import AdaptiveWeighting

KEY = 'model.balancer.metrics'
ROUNDING = 1e-4
FORM = "{'TASK/metric': factor to a fraction of 1} with one for each task"


class KpiWeighting(AdaptiveWeighting):
    """Weights from one validation metric per task, its KPI; 1 each before the first validation.

    Args:
        metrics: ``{'TASK/metric': factor}``, one for each task; metric times factor is a fraction
            of 1: 0.01 for a metric in percent, 1 for a fraction. Required for a training.

    Raises:
        ConfigError: If a factor is not above 0, or ``metrics`` does not name each task once; when a
            training begins, if it is missing, or validation does not compute such a metric (for
            kinds that :mod:`allinone.evaluation.names` does not know: after the first validation);
            after a validation, if metric times factor is above 1.
    """

    factor_follows_loss = False
    task_weights: Tensor

    def __init__(self, metrics: Mapping[str, float] | None = None):
        super().__init__()
        if metrics is not None and not isinstance(metrics, Mapping):
            raise ConfigError(f'{KEY} is {metrics!r}; give {FORM}')
        self.metrics = {
            name: check_number(f'{KEY}[{name!r}]', factor, 0, open_low=True)
            for name, factor in (metrics or {}).items()
        }
        self._names: dict[str, str] = {}

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(super().initial_state(num_tasks), task_weights=torch.ones(num_tasks))

    @property
    def uses_metrics(self) -> bool:
        return True

    def bind(self, task_names: Sequence[str]) -> None:
        super().bind(task_names)
        if self.metrics:
            self._names = check_metric_list(KEY, list(self.metrics), task_names)

    def start(self, epoch_steps: int, evaluated: Mapping[str, set[str] | None]) -> None:
        kind = type(self).__name__
        if not self.metrics:
            raise ConfigError(f'{KEY} is not set, which {kind} follows; give {FORM}')
        # Imported here because it imports mmdet, which no other method needs.
        from allinone.evaluation.names import check_metric_names

        check_metric_names(KEY, self.metrics, evaluated)

    def after_validation(self, metrics: Mapping[str, float]) -> None:
        missing = [name for name in self.metrics if name not in metrics]
        if missing:
            raise ConfigError(
                f'{KEY} names {missing}, which validation does not give; it gives {sorted(metrics)}'
            )
        kpis = [float(metrics[name]) * self.metrics[name] for name in self._names.values()]
        for name, kpi in zip(self._names.values(), kpis):
            if kpi > 1 + ROUNDING:
                raise ConfigError(
                    f'{KEY}[{name!r}] is {self.metrics[name]:g}, which makes {kpi:g} of '
                    f'{float(metrics[name]):g}, but a KPI is at most 1; give 0.01 for a metric in '
                    'percent'
                )
        if kpis:
            self.observe(torch.tensor(kpis))

    def observe(self, kpis: Tensor) -> None:
        """Update the weights from the tasks' KPIs ``[num_tasks]``; NaN keeps the last KPI."""
        raise NotImplementedError(f'{type(self).__name__} does not define observe()')

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        return self.task_weights[task]
