"""The training step with a penalty on the tasks' gradients."""

from typing import Any

import torch
from torch import Tensor, nn

from allinone.balancers.base import Balancer

from .contributions import Contribution
from .iteration import Iteration
from .layers import columns_of
from .penalty import PenaltyGradients
from .step import BalancedStep


class PenalisedStep(BalancedStep):
    """Runs all backward passes at the end of the iteration and keeps the tasks' graphs until then.

    A regulariser's penalty depends on the gradients of all tasks. One backward pass covers a task's
    weighted loss and its term of the penalty. The penalty needs separate passes only if gradients
    are kept apart or the weights are not known yet.

    Args:
        balancer: A method with a regulariser.
        backbone: As for :class:`BalancedStep`.
        tasks: As for :class:`BalancedStep`.
        **options: As for :class:`BalancedStep`.
    """

    def __init__(
        self, balancer: Balancer, backbone: nn.Module, tasks: dict[str, nn.Module], **options: Any
    ):
        super().__init__(balancer, backbone, tasks, **options)
        regulariser = balancer.regulariser
        assert regulariser is not None
        columns_of(regulariser.penalty_layer, backbone)
        self._penalty = PenaltyGradients(regulariser, backbone, tasks, self.processes)
        self._waiting: dict[str, tuple[Tensor, Tensor]] = {}

    def _before_forward(self, task: str) -> None:
        self._penalty.before_forward(task)
        super()._before_forward(task)

    def _after_forward(
        self, task: str, loss: Tensor, iteration: Iteration, contribution: Contribution
    ) -> None:
        if self._guard is not None:
            self._guard.after_forward(loss)
        self._waiting[task] = loss, iteration.scaled(loss)

    def _end_task(self, task: str, iteration: Iteration) -> None:
        if not self._waiting:
            super()._end_task(task, iteration)

    def _end_tasks(self, iteration: Iteration) -> None:
        waiting, self._waiting = self._waiting, {}
        order = [self._order[task] for task in waiting]
        terms = self._penalty.terms(
            {index: scaled for index, (_, scaled) in zip(order, waiting.values())},
            iteration.optim_wrapper,
        )
        losses = torch.stack([loss.detach().float() for loss, _ in waiting.values()])
        # A common part of the weights must not scale the penalty.
        separate = self._apart or (
            self.balancer.weighs_losses and self._weighing.common(losses, order) is not None
        )
        for index, (task, (loss, _)) in zip(order, waiting.items()):
            term = terms.pop(index, None)
            if term is not None and separate:
                self._keep_gradients_of(term, iteration)
                term = None
            measured = self._gradients if not self._apart else None
            if measured is not None:
                measured.add(index, iteration.scaled(iteration.share(loss)))
            self._penalised_backward(task, loss, term, iteration)
            if measured is not None:
                measured.buffer[index].masked_fill_(self._dropped[task], 0)
            self._end_task(task, iteration)
        super()._end_tasks(iteration)

    def _keep_gradients_of(self, term: Tensor, iteration: Iteration) -> None:
        grads = self._penalty.gradients(iteration.scaled(iteration.share(term)))
        if self._guard is not None:
            self._guard.after_backward(term, list(grads.values()), iteration.scale)
        self._penalty.add(grads)

    def _penalised_backward(
        self, task: str, loss: Tensor, term: Tensor | None, iteration: Iteration
    ) -> None:
        if term is None:
            return self._backward(task, loss, iteration, loss)
        # The gradients of the loss cannot be separated from the penalty's afterwards.
        weight: Tensor | int = 1
        if self.balancer.weighs_losses and not self._apart:
            detached = loss.detach().float()
            finite = torch.isfinite(detached).to(detached)
            weight = self._factor(self._order[task], detached, finite)
        self._backward(task, loss, iteration, weight * loss + term, weighs=False)

    def _measure(self, task: str) -> None:
        """Nothing: the present gradients include the penalty's."""

    def _further_means(self) -> list[Tensor]:
        return self._penalty.all_grads()

    def _after_weighing(self, names: list[str], scale: Tensor) -> dict[str, Tensor]:
        self._penalty.put()
        value = self._penalty.value
        self._penalty.reset()
        return {} if value is None else {'penalty': value}
