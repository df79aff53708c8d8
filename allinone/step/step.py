"""The balanced training step: forward and backward of each task in turn, then one combination.

Read :meth:`BalancedStep.__call__` from top to bottom. Other modules have what only some steps need:
penalties on gradients in ``penalised_step.py``, several processes in ``messages.py``, norms per
task in ``clipping.py``, cosines for the log in ``comparison.py``.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from allinone.balancers.base import Balancer, WeighsLosses
from allinone.balancers.gramian import gramian_of
from allinone.distributed.processes import ALONE, Alone, held_by, local

from .backbone_gradients import BackboneGradients
from .clipping import clip_tasks
from .comparison import compare
from .contributions import Contribution
from .gradients import add_back, all_finite, put_aside, trainable
from .iteration import Iteration
from .layers import columns_of
from .messages import Messages
from .non_finite import FiniteGuard
from .statistics import RunningStatistics

ONE_PASS = Contribution()
Losses = Callable[[str, Any], tuple[Tensor, Mapping[str, Tensor]]]


class BalancedStep:
    """Runs the tasks' backward passes of one optimizer step and combines their gradients.

    Each backward pass is that of one task's loss. A loss weighting then scales its gradients, and
    backbone gradients accumulate in ``.grad``, so none is kept. The tasks' backbone gradients are
    kept apart (one flat buffer of K rows) only for methods that need them, for clipping per task,
    and, as copies, on steps that log their similarity, so logging does not change the training by a
    bit.

    With gradient accumulation, losses are means over the micro-batches; but if no gradients are
    kept, a loss weighting weighs each micro-batch by its own loss.

    With several processes, losses, gradients (before they are compared or combined) and batch
    norm's running statistics are means over the processes (:class:`Messages`).

    Args:
        balancer: The method.
        backbone: The shared backbone.
        tasks: ``{name: sub-model}`` of all tasks.
        clip_grad_per_task: Clip the gradient of each task (backbone and task-specific parameters
            together) to this norm before combining; None: no clipping.
        grad_similarity_interval: Number of iterations between comparisons of the tasks' backbone
            gradients for the log (see :func:`compare`); 0: never. Steps that keep gradients apart
            for another reason always compare them.
        skip_non_finite: Drop a task's contribution to a step if its loss or gradient is NaN or
            infinite (see :class:`FiniteGuard`).
        processes: The processes of the step.
        label_weights: ``{source: {task: factor}}`` of a task's loss on the images of a source;
            default: 1. The source of a task has its name.
    """

    def __init__(
        self,
        balancer: Balancer,
        backbone: nn.Module,
        tasks: dict[str, nn.Module],
        clip_grad_per_task: float | None = None,
        grad_similarity_interval: int = 0,
        skip_non_finite: bool = True,
        processes: Alone | None = None,
        label_weights: Mapping[str, Mapping[str, float]] | None = None,
    ):
        self.balancer, self.backbone, self.tasks = balancer, backbone, tasks
        self.clip_grad_per_task = clip_grad_per_task
        self.grad_similarity_interval = grad_similarity_interval
        self.processes = processes or ALONE
        self._label_weights = label_weights or {}
        self._messages = Messages(self.processes, backbone, tasks)
        # A backward pass that reruns parts of the forward pass would update statistics twice.
        again = any(getattr(part, 'with_cp', False) for part in backbone.modules())
        self._recomputing = RunningStatistics([backbone]) if again else nullcontext()
        self._order = {name: index for index, name in enumerate(tasks)}
        self._columns = columns_of(balancer.layer, backbone)
        self._learns = bool(balancer.state_dict())
        self._guard = (
            FiniteGuard(backbone, tasks, self.processes.agreed) if skip_non_finite else None
        )
        self._params = {
            name: [*backbone.parameters(), *task.parameters()] for name, task in tasks.items()
        }
        self._dropped: dict[str, Tensor] = {}
        self._reset()

    @property
    def _weighing(self) -> WeighsLosses:
        """The method, typed as one that weighs losses."""
        return cast(WeighsLosses, self.balancer)

    def _reset(self) -> None:
        self._begun = False
        self._gradients: BackboneGradients | None = None
        # Whether the backbone's gradient is computed from the rows, not only the log
        self._apart = False
        self._losses: dict[int, Tensor] = {}
        # Number of micro-batches of each task that were not dropped
        self._counts: dict[int, Tensor] = {}

    def __call__(
        self, batches: Mapping[str, Sequence], losses_of: Losses, optim_wrapper
    ) -> dict[str, Tensor]:
        """Run one iteration; if an optimizer step is due, ``.grad`` has the combined gradients.

        Args:
            batches: ``{task: micro-batches}`` of the tasks that take part.
            losses_of: Called with a task and a micro-batch; returns its loss (scalar, with a graph)
                and terms for the log.
            optim_wrapper: mmengine's, also with mixed precision or gradient accumulation. The
                caller calls its ``step()``.

        Returns:
            Scalars to log: ``'TASK/term'``, ``'TASK/dropped'`` (whether a non-finite contribution
            was dropped), and at an optimizer step the result of :meth:`_combine`.
        """
        iteration = Iteration(optim_wrapper)
        if not self._begun:
            self._begin(iteration)
        found = self._passes(batches, losses_of, iteration)
        log = {f'{task}/{name}': value for task in found for name, value in found[task].items()}
        self._end_tasks(iteration)
        if iteration.end():
            like = next(iter(self._losses.values()))
            log |= self._combine(iteration.loss_scale(like), iteration.may_skip)
        log |= {f'{task}/dropped': flag for task, flag in self._dropped.items()}
        self._dropped = {}
        return log

    def _passes(
        self, batches: Mapping[str, Sequence], losses_of: Losses, iteration: Iteration
    ) -> dict[str, dict[str, Tensor]]:
        """Forward and backward passes of all micro-batches; the terms of each task's log."""
        found = {}
        for task, parts in batches.items():
            equal = Contribution(passes=len(parts), factor=self._label_weight(task, task))
            found[task] = weighted_mean(
                [(1.0, self._pass(task, part, losses_of, iteration, equal)) for part in parts]
            )
            self._end_task(task, iteration)
        return found

    def _label_weight(self, source: str, task: str) -> float:
        return self._label_weights.get(source, {}).get(task, 1.0)

    def _pass(
        self,
        task: str,
        part: Any,
        losses_of: Losses,
        iteration: Iteration,
        contribution: Contribution,
    ) -> dict[str, Tensor]:
        self._before_forward(task)
        loss, terms = contribution.times_factor(*losses_of(task, part))
        iteration.after_forward(loss)
        self._after_forward(task, loss, iteration, contribution)
        return {name: value.detach() for name, value in terms.items()}

    def _begin(self, iteration: Iteration) -> None:
        self._begun = True
        self._apart = self._needs_gradients
        if self._apart or iteration.reaches_multiple_of(self.grad_similarity_interval):
            params = trainable(self.backbone)
            self._apart = self._apart and bool(params)
            if params:
                self._make_rows(params)

    def _make_rows(self, params: Sequence[nn.Parameter]) -> None:
        """Make the rows of this optimizer step."""
        self._gradients = BackboneGradients(params, len(self.tasks))

    @property
    def _needs_gradients(self) -> bool:
        """Whether the backbone's gradient is computed from the tasks', each apart."""
        return self.balancer.requires != 'losses' or self.clip_grad_per_task is not None

    def _before_forward(self, task: str) -> None:
        if self._guard is not None:
            self._guard.before_forward(task)

    def _after_forward(
        self, task: str, loss: Tensor, iteration: Iteration, contribution: Contribution
    ) -> None:
        self._backward(task, loss, iteration, contribution.objective(loss), contribution)

    def _backward(
        self,
        task: str,
        loss: Tensor,
        iteration: Iteration,
        objective: Tensor,
        contribution: Contribution = ONE_PASS,
        weighs: bool = True,
    ) -> None:
        """Add a task's gradients to ``.grad`` or to its row, and free its graph.

        Args:
            task: Name of the task.
            loss: Its loss (scalar).
            iteration: The iteration.
            objective: Scalar whose backward pass is run.
            contribution: That of this pass.
            weighs: Whether a loss weighting scales the gradients.
        """
        aside = put_aside(self._params[task])
        with self._recomputing:
            iteration.backward(objective)
        grads = [local(param.grad) for param in self._params[task] if param.grad is not None]
        finite = self._check(self._guard, loss, grads, iteration)
        self._measure(task)
        self._count(task, loss, finite, contribution, grads if weighs else None)
        add_back(aside)
        if self._apart:
            assert self._gradients is not None
            self._gradients.take(self._order[task])

    def _check(
        self,
        guard: FiniteGuard | None,
        loss: Tensor,
        grads: Sequence[Tensor],
        iteration: Iteration,
    ) -> Tensor:
        """Whether a contribution is finite (scalar, bool); if not, ``grads`` are set to zero."""
        if guard is None:
            return torch.ones_like(loss, dtype=torch.bool)
        return guard.after_backward(loss, grads, iteration.scale)

    def _measure(self, task: str) -> None:
        """Copy the gradients of a pass to the task's row, if they are kept for the log alone."""
        if self._gradients is not None and not self._apart:
            self._gradients.add_present(self._order[task])

    def _count(
        self,
        task: str,
        loss: Tensor,
        finite: Tensor,
        contribution: Contribution,
        grads: Sequence[Tensor] | None,
    ) -> None:
        """Add a pass to the task's loss, and scale its ``grads`` if a loss weighting does.

        None: they are not to be scaled.
        """
        index = self._order[task]
        loss = torch.where(finite, loss.detach().float(), 0)
        count = finite.to(loss)
        if contribution.share != 1:
            loss, count = loss * contribution.weight, count * contribution.share
        self._losses[index] = self._losses.get(index, 0) + loss
        self._counts[index] = self._counts.get(index, 0) + count
        self._dropped[task] = self._dropped.get(task, False) | ~finite
        if self.balancer.weighs_losses and not self._apart and grads is not None:
            # Processes that have no gradients take part in the mean of the loss, too.
            factor = self._factor(index, loss, count)
            if grads:
                torch._foreach_mul_(list(grads), factor)

    def _factor(self, index: int, loss: Tensor, count: Tensor) -> Tensor:
        """Factor of the mean loss over the processes that did not drop it; NaN loss if all did.

        All processes need the same factor, so that the mean gradient is that of one weighted loss.
        """
        if self._weighing.factor_follows_loss:
            total, number = self.processes.sum(torch.stack([loss, count]))
            loss = total / number
        return self._weighing.factor(index, loss)

    def _end_task(self, task: str, iteration: Iteration) -> None:
        if self.processes.many and iteration.is_last:
            index = self._order[task]
            rows = self._messages_rows
            row = None if rows is None else rows.buffer[index]
            self._messages.send_task(task, [self._losses[index], self._counts[index]], row)

    def _end_tasks(self, iteration: Iteration) -> None:
        if self.processes.many and iteration.is_last:
            for task, index in self._order.items():
                # With gradient accumulation a task may be only in an earlier iteration.
                if index in self._losses and task not in self._messages.sent:
                    self._end_task(task, iteration)
            self._messages.send_common(self._messages_rows, self._apart, self._further_means())

    @property
    def _messages_rows(self) -> BackboneGradients | None:
        """The kept gradients that are averaged over the processes."""
        return self._gradients

    def _holders(self) -> Alone:
        """The processes that hold parts of the kept gradients."""
        return self.processes

    def _further_means(self) -> list[Tensor]:
        return []

    def _combine(self, scale: Tensor, may_skip: bool) -> dict[str, Tensor]:
        """Write the combined gradients to ``.grad``, ready for the optimizer.

        Args:
            scale: Factor of the loss scaler that the gradients were multiplied by (scalar).
            may_skip: Whether the loss scaler skips steps with non-finite gradients; the balancer
                then does not see such a step.

        Returns:
            Scalars to log: ``'TASK/weight'`` of each task (0 if it was dropped), and, if gradients
            are kept, the result of :func:`compare`.
        """
        self._messages.receive(self._messages_rows)
        order = sorted(self._losses)
        names = [list(self._order)[index] for index in order]
        losses = torch.stack([self._losses[index] for index in order])
        counts = torch.stack([self._counts[index] for index in order])
        # NaN if every batch was dropped
        losses = losses / counts
        skipped = may_skip and self._learns and not self._finite(names)
        log, rows = {}, None
        weigh = self._weigh_losses if self.balancer.weighs_losses else self._weigh_gradients
        with held_by(self._holders()):
            if self._gradients is not None:
                rows = self._gradients.rows(order)
                log = compare(rows, names, scale)
                rows = rows if self._apart else None
            weights = weigh(losses, rows, order, names, scale, skipped)
        log |= self._after_weighing(names, scale)
        weights = torch.where(counts > 0, weights, 0)
        log |= {f'{name}/weight': weight for name, weight in zip(names, weights)}
        self._reset()
        return log

    def _after_weighing(self, names: list[str], scale: Tensor) -> dict[str, Tensor]:
        return {}

    def _weigh_losses(
        self,
        losses: Tensor,
        rows: Tensor | None,
        order: list[int],
        names: list[str],
        scale: Tensor,
        skipped: bool,
    ) -> Tensor:
        """Weigh backbone and heads; return the weights ``[K]``."""
        gramian = None
        if rows is not None:
            if self.balancer.requires == 'gramian':
                gramian = gramian_of(rows[:, self._columns]) / scale.double() ** 2
            self._clip(rows, names, scale)
            factors = [self._weighing.factor(index, loss) for index, loss in zip(order, losses)]
            for name, factor in zip(names, factors):
                if grads := self._head_grads(name):  # A task may have no parameters.
                    torch._foreach_mul_(grads, factor)
            # In the order of the backward passes, as accumulation in .grad would.
            combined = rows[0].mul_(factors[0]).clone()
            for row, factor in zip(rows[1:], factors[1:]):
                combined += row.mul_(factor)
            assert self._gradients is not None
            self._gradients.put(combined)
        weights = self.balancer.weights(losses, gramian, order)
        common = self._weighing.common(losses, order)
        if common is not None:
            torch._foreach_mul_(self._grads(names), common)
        if not skipped:
            self.balancer.update(losses, gramian, order)
        return weights

    def _weigh_gradients(
        self,
        losses: Tensor,
        rows: Tensor | None,
        order: list[int],
        names: list[str],
        scale: Tensor,
        skipped: bool,
    ) -> Tensor:
        """Combine the backbone's gradients, not the heads'; return the weights ``[K]``."""
        weights = torch.ones_like(losses)
        if rows is None:
            return weights
        self._clip(rows, names, scale)
        if skipped:
            combined = rows.sum(0)
        else:
            # A dropped task has a zero gradient, and no loss that a method may use.
            losses = torch.where(torch.isfinite(losses), losses, 1.0)
            # Products of unscaled gradients: some methods' weights depend on their size.
            rows.div_(scale)
            combined, weights = self.balancer.combine(losses, rows, order)
            combined = combined * scale
        assert self._gradients is not None
        self._gradients.put(combined)
        return weights

    def _clip(self, rows: Tensor, names: list[str], scale: Tensor) -> None:
        if self.clip_grad_per_task is not None:
            tasks = [self.tasks[name] for name in names]
            clip_tasks(rows, tasks, self.clip_grad_per_task, scale, self.processes)

    def _head_grads(self, name: str) -> list[Tensor]:
        params = self.tasks[name].parameters()
        return [local(param.grad) for param in params if param.grad is not None]

    def _grads(self, names: list[str]) -> list[Tensor]:
        params = self.backbone.parameters()
        shared = [local(param.grad) for param in params if param.grad is not None]
        return shared + [grad for name in names for grad in self._head_grads(name)]

    def _finite(self, names: list[str]) -> bool:
        grads = self._grads(names)
        if self._gradients is not None:
            grads.append(self._gradients.buffer)
        return bool(self.processes.agreed(all_finite(grads)))


def weighted_mean(passes: Sequence[tuple[float, Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """The mean of the terms of several passes, each with its weight."""
    if len(passes) == 1:
        return dict(passes[0][1])
    total = sum(weight for weight, _ in passes)
    weights = [weight / total for weight, _ in passes]
    return {
        name: torch.stack([terms[name] * w for w, (_, terms) in zip(weights, passes)]).sum()
        for name in passes[0][1]
    }
