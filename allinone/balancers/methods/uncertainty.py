"""Uncertainty weighting: weights from a learned noise of each task."""

from collections.abc import Sequence

import torch
from torch import Tensor

from allinone.balancers.adaptive_weighting import AdaptiveWeighting
from allinone.balancers.solvers.adam import adam_, adam_state
from allinone.errors import ConfigError
from allinone.registry import BALANCERS
from allinone.registry.options import check_number

KEY = 'model.balancer.classification'


@BALANCERS.register_module()
class Uncertainty(AdaptiveWeighting):
    r"""Homoscedastic uncertainty weighting, `Kendall et al. <https://arxiv.org/abs/1705.07115>`_.

    .. math:: \sum_k \tfrac12 e^{-s_k} L_k + \tfrac12 s_k, \qquad
        \sum_{k\ \mathrm{classification}} e^{-s_k} L_k + \tfrac12 s_k

    where :math:`s_k = \log \sigma_k^2` is learned, with initial value 0. :math:`L_k` is a loss.

    Deviations: a separate Adam learns :math:`s` from the detached losses, so the schedule and the
    weight decay of the model's optimizer do not affect it. Written by hand: TorchJD's ``UW`` weighs
    all losses at once and has no classification form.

    Args:
        classification: Names or indices of the tasks whose loss is a cross entropy.
        lr: Learning rate of :math:`s`.

    Raises:
        ConfigError: If a name is unknown or ``lr`` is not above 0.
    """

    factor_follows_loss = False
    log_variance: Tensor

    def __init__(self, classification: Sequence[str | int] = (), lr: float = 0.01):
        super().__init__()
        self.classification = self._check(classification)
        self._scales: Tensor | None = None
        self.lr = check_number('model.balancer.lr', lr, 0, open_low=True)

    @staticmethod
    def _check(tasks) -> list[str | int]:
        listed = isinstance(tasks, Sequence) and not isinstance(tasks, str)
        if not listed or any(
            isinstance(task, bool) or not isinstance(task, (str, int)) for task in tasks
        ):
            raise ConfigError(f'{KEY} is {tasks!r}; give a list of names or indices of tasks')
        return list(tasks)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        return dict(
            super().initial_state(num_tasks),
            log_variance=torch.zeros(num_tasks),
            **adam_state(num_tasks),
        )

    def bind(self, task_names: Sequence[str]) -> None:
        super().bind(task_names)
        known = [*task_names, *range(len(task_names))]
        unknown = [task for task in self.classification if task not in known]
        if unknown:
            raise ConfigError(
                f'{KEY} is {self.classification}, but model.tasks does not have {unknown}; '
                f'its tasks are {list(task_names)}'
            )

    def _scale(self, task: int) -> float:
        name = self.task_names[task] if self.task_names else task
        return 1.0 if {task, name} & set(self.classification) else 0.5

    def task_factor(self, task: int, loss: Tensor) -> Tensor:
        return self._scale(task) * torch.exp(-self.log_variance[task])

    def learn(self, losses: Tensor, index: Tensor | slice, gramian: Tensor | None) -> None:
        if self._scales is None:
            self._scales = losses.new_tensor([self._scale(task) for task in range(self.num_tasks)])
        scale = self._scales[index]
        gradient = 0.5 - scale * torch.exp(-self.log_variance[index]) * losses
        adam_(self.log_variance, gradient, index, self._buffers, self.lr)
