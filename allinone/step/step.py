"""From the tasks' losses to one update: weights, trunk gradients, clipping."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from allinone.balancers.base import Balancer
from allinone.balancers.gramian import gramian_of
from allinone.distributed.processes import ALONE, Alone, held_by, holders, is_sharded, local

from .backbone_gradients import TrunkGradients
from .layers import columns_of
from .non_finite import FiniteGuard
from .penalty import PenaltyGradients
from .statistics import RunningStatistics


class BalancedStep:
    """Collects the backward passes of one optimizer step and combines them.

    Each backward pass is of the task's own loss. A loss weighting then scales what it left, and
    trunk gradients add up where they are, so none is kept. The tasks' trunk gradients are kept
    apart (one flat buffer of K rows) only for methods that ask for them, for clipping per task, and
    on the steps that are measured; without gradient accumulation those steps make the very
    operations that the others do, so logging does not change the training by a bit.

    A regulariser's penalty depends on the gradients of all tasks, so with one the backward passes
    wait for :meth:`end_micro_step`. There each is of the weighted loss and the task's term of the
    penalty together, at the cost of one; only where gradients are kept apart, or the weights are
    not known yet, the penalty has passes of its own.

    With gradient accumulation, losses are means over the micro-batches; but where no gradients are
    kept, a loss weighting weighs each micro-batch by its own loss.

    Over several processes everything is of the means over them: losses, gradients before they are
    compared or combined, and batch norm's running statistics. What a task left is sent when its
    last backward pass is over (:meth:`end_task`), and travels while the next task computes.
    Kept gradients are sent task by task, others once, when they have been added up.

    Args:
        balancer: The method.
        trunk: The shared trunk.
        tasks: ``{name: sub-model}`` of all tasks.
        max_task_norm: Clip the gradient of each task (its part of the trunk and its own
            parameters) to this norm before combining; None: not.
        conflict_interval: Compare the tasks' trunk gradients (see :func:`compare`) at every so many
            iterations, for the log; 0: never. A method that keeps them apart anyway has them
            compared at every step.
        drop_bad: Leave out of a step the share of a task whose loss or gradient is NaN or
            infinite (see :class:`FiniteGuard`).
        processes: The processes that make the step together.
    """

    def __init__(
        self,
        balancer: Balancer,
        trunk: nn.Module,
        tasks: dict[str, nn.Module],
        max_task_norm: float | None = None,
        conflict_interval: int = 0,
        drop_bad: bool = True,
        processes: Alone | None = None,
    ):
        self.balancer = balancer
        self.trunk = trunk
        self.tasks = tasks
        self.max_task_norm = max_task_norm
        self.conflict_interval = conflict_interval
        self.processes = processes or ALONE
        self._statistics = RunningStatistics([trunk])
        self._own_statistics = {name: RunningStatistics([task]) for name, task in tasks.items()}
        again = any(getattr(part, 'with_cp', False) for part in trunk.modules())
        self._recomputing = self._statistics if again else nullcontext()
        self._order = {name: index for index, name in enumerate(tasks)}
        self._columns = columns_of(balancer.layer, trunk)
        self._learns = bool(balancer.state_dict())
        self._guard = FiniteGuard(trunk, tasks, self.processes.agreed) if drop_bad else None
        self._params = {
            name: [*trunk.parameters(), *task.parameters()] for name, task in tasks.items()
        }
        self._penalty = None
        if balancer.regulariser is not None:
            columns_of(balancer.regulariser.penalty_layer, trunk)
            self._penalty = PenaltyGradients(balancer.regulariser, trunk, tasks, self.processes)
        self._waiting: dict[str, tuple[Tensor, Tensor | None]] = {}
        self._dropped: dict[str, Tensor] = {}
        self._reset()

    def _reset(self) -> None:
        self._begun = False
        self._gradients: TrunkGradients | None = None
        # Whether the trunk's gradient is made of ``_gradients``; else they are for the log
        self._apart = False
        self._losses: dict[int, Tensor] = {}
        # Micro-batches of each task that were not left out
        self._counts: dict[int, Tensor] = {}
        # Which trunk parameters some process has a kept gradient of
        self._reached: Tensor | None = None
        self._sent: list[str] = []

    def before_forward(self, task: str) -> None:
        """Called before each forward pass of a task."""
        if self._penalty is not None:
            self._penalty.before_forward(task)
        if self._guard is not None:
            self._guard.before_forward(task)

    def _begin(self, optim_wrapper) -> None:
        self._begun = True
        steps = getattr(optim_wrapper, '_accumulative_counts', 1)
        interval = self.conflict_interval
        # Whether a multiple of the interval is among the iterations that this step is made of
        measure = interval and -optim_wrapper.inner_count % interval < steps
        needed = self.balancer.requires != 'losses' or self.max_task_norm is not None
        if needed or measure:
            params = [param for param in self.trunk.parameters() if param.requires_grad]
            if params:
                self._gradients = TrunkGradients(params, len(self.tasks))
                self._apart = needed or self._penalty is None

    def backward(
        self,
        task: str,
        loss: Tensor,
        optim_wrapper,
        scale: Tensor | None = None,
        parts: int = 1,
    ) -> None:
        """Backward pass of one task, after which its graph is freed.

        With a regulariser it is made in :meth:`end_micro_step`, until which all graphs are kept.

        Args:
            task: Its name.
            loss: Its loss (scalar).
            optim_wrapper: mmengine's.
            scale: What the loss scaler of mixed precision multiplies the loss by; None: no scaler.
            parts: In how many backward passes the task's share of the step is made.
        """
        if not self._begun:
            self._begin(optim_wrapper)
        if self._penalty is None:
            dropped = self._backward(task, loss, optim_wrapper, scale, parts=parts)
            self._dropped[task] = self._dropped.get(task, False) | dropped
            return
        if self._guard is not None:
            self._guard.after_forward(loss)
        self._waiting[task] = loss, scale

    def end_task(self, task: str, optim_wrapper) -> None:
        """Called when a task went backward for the last time in a step, or in a micro-step."""
        if self.processes.many and not self._waiting and optim_wrapper.should_sync():
            self._send(task)

    def end_micro_step(self, optim_wrapper) -> dict[str, Tensor]:
        """Called when all tasks of a step, or of a micro-step of accumulation, went backward.

        Returns:
            ``{task: whether its share was left out, being not finite}`` (scalars, bool).
        """
        if self._waiting:
            self._penalised_backward(optim_wrapper)
        if self.processes.many and optim_wrapper.should_sync():
            for task, index in self._order.items():
                if index in self._losses and task not in self._sent:
                    self._send(task)
            self._send_common()
        dropped, self._dropped = self._dropped, {}
        return dropped

    def _send(self, task: str) -> None:
        """A task's loss, the gradients of its own parameters and, where kept, the trunk's."""
        index = self._order[task]
        self._sent.append(task)
        self.processes.send(
            sums=[self._losses[index], self._counts[index]],
            params=_trainable(self.tasks[task]),
            large=None if self._gradients is None else self._gradients.buffer[index],
        )

    def _send_common(self) -> None:
        """What is of no task alone: the summed gradients of the trunk, and batch norm."""
        moving = self._statistics.moving()
        for task in self._sent:
            moving = moving + self._own_statistics[task].moving()
        means = [buffers[name] for buffers, name in moving]
        if self._penalty is not None:
            means += self._penalty.all_grads()
        if self._gradients is not None:
            buffer = self._gradients.buffer
            reached = torch.tensor(self._gradients.reached, dtype=buffer.dtype)
            self._reached = reached.to(buffer.device, non_blocking=True)
        self.processes.send(
            sums=[] if self._reached is None else [self._reached],
            means=means,
            params=[] if self._apart else _trainable(self.trunk),
        )

    def _receive(self) -> None:
        self.processes.receive()
        if self._reached is not None and not all(self._gradients.reached):
            self._gradients.reached = self._reached.bool().tolist()

    def _penalised_backward(self, optim_wrapper) -> None:
        waiting, self._waiting = self._waiting, {}
        order = [self._order[task] for task in waiting]
        terms = self._penalty.terms(
            {index: _scaled(*given) for index, given in zip(order, waiting.values())}, optim_wrapper
        )
        losses = torch.stack([loss.detach().float() for loss, _ in waiting.values()])
        # A common part of the weights must not scale the penalty.
        own_pass = self._apart or (
            self.balancer.weighs_losses and self.balancer.common(losses, order) is not None
        )
        for index, (task, (loss, scale)) in zip(order, waiting.items()):
            term = terms.pop(index, None)
            if term is not None and own_pass:
                grads = self._penalty.gradients(_scaled(optim_wrapper.scale_loss(term), scale))
                if self._guard is not None:
                    self._guard.after_backward(term, list(grads.values()), scale)
                self._penalty.add(grads)
                term = None
            if self._gradients is not None and not self._apart:
                self._gradients.add(index, _scaled(optim_wrapper.scale_loss(loss), scale))
            self._dropped[task] = self._backward(task, loss, optim_wrapper, scale, term)
            if self._gradients is not None and not self._apart:
                self._gradients.buffer[index].masked_fill_(self._dropped[task], 0)
            self.end_task(task, optim_wrapper)

    def _backward(
        self,
        task: str,
        loss: Tensor,
        optim_wrapper,
        scale: Tensor | None,
        term: Tensor | None = None,
        parts: int = 1,
    ) -> Tensor:
        """Add a task's gradients to ``.grad``, or to its row; whether they were left out."""
        index = self._order[task]
        detached = loss.detach().float()
        finite = torch.isfinite(detached)
        weighs = self.balancer.weighs_losses and not self._apart
        aside = _put_aside(self._params[task])
        objective = loss if parts == 1 else loss / parts
        if term is not None:
            # The gradients of the loss cannot be told from the penalty's afterwards.
            weight = self._factor(index, detached, finite) if weighs else 1
            objective = weight * loss + term
        count = optim_wrapper.inner_count
        with self._recomputing:
            optim_wrapper.backward(optim_wrapper.scale_loss(objective))
        # mmengine counts backward passes; gradient accumulation here counts whole steps.
        optim_wrapper._inner_count = count
        grads = [local(param.grad) for param in self._params[task] if param.grad is not None]
        if self._guard is not None:
            finite = self._guard.after_backward(detached, grads, scale)
            detached = torch.where(finite, detached, 0)
        else:
            finite = torch.ones_like(finite)
        self._losses[index] = self._losses.get(index, 0) + detached
        self._counts[index] = self._counts.get(index, 0) + finite.to(detached)
        if weighs and term is None and grads:
            torch._foreach_mul_(grads, self._factor(index, detached, finite))
        _add_back(aside)
        if self._apart:
            self._gradients.take(index)
        return ~finite

    def _factor(self, index: int, loss: Tensor, finite: Tensor) -> Tensor:
        """Of the loss over the processes that did not leave it out; NaN where all did.

        A weight must be the same in all processes, or the mean of gradients is of none.
        """
        if self.balancer.factor_follows_loss:
            total, count = self.processes.sum(torch.stack([loss, finite.to(loss)]))
            loss = total / count
        return self.balancer.factor(index, loss)

    def finish(self, scale: Tensor, may_skip: bool = False) -> dict[str, Tensor]:
        """Leave the combined gradients in ``.grad``, ready for the optimizer.

        Args:
            scale: What the loss scaler of mixed precision multiplied the gradients by (scalar).
            may_skip: Whether the loss scaler skips a step with gradients that are not finite; the
                balancer then does not see that step.

        Returns:
            Scalars to log: ``'TASK/weight'`` of each task (0 where it was left out), where
            measured what :func:`compare` gives, and a regulariser's ``'penalty'``.
        """
        self._receive()
        order = sorted(self._losses)
        names = [list(self._order)[index] for index in order]
        losses = torch.stack([self._losses[index] for index in order])
        counts = torch.stack([self._counts[index] for index in order])
        # NaN where every batch was left out
        losses = losses / counts
        skipped = may_skip and self._learns and not self._finite(names)
        log, rows = {}, None
        weigh = self._weigh_losses if self.balancer.weighs_losses else self._weigh_gradients
        with held_by(self.processes):
            if self._gradients is not None:
                rows = self._gradients.rows(order)
                log = compare(rows, names, scale)
                rows = rows if self._apart else None
            weights = weigh(losses, rows, order, names, scale, skipped)
        if self._penalty is not None:
            self._penalty.put()
            if self._penalty.value is not None:
                log['penalty'] = self._penalty.value
            self._penalty.reset()
        weights = torch.where(counts > 0, weights, 0)
        log |= {f'{name}/weight': weight for name, weight in zip(names, weights)}
        self._reset()
        return log

    def _weigh_losses(
        self,
        losses: Tensor,
        rows: Tensor | None,
        order: list[int],
        names: list[str],
        scale: Tensor,
        skipped: bool,
    ) -> Tensor:
        """Weigh trunk and heads; the weights ``[K]``."""
        gramian = None
        if rows is not None:
            if self.balancer.requires == 'gramian':
                gramian = gramian_of(rows[:, self._columns]) / scale.double() ** 2
            if self.max_task_norm is not None:
                self._clip_tasks(rows, names, scale)
            factors = [self.balancer.factor(index, loss) for index, loss in zip(order, losses)]
            for name, factor in zip(names, factors):
                torch._foreach_mul_(self._head_grads(name), factor)
            # In the order of the backward passes, as adding up in .grad would.
            combined = rows[0].mul_(factors[0]).clone()
            for row, factor in zip(rows[1:], factors[1:]):
                combined += row.mul_(factor)
            self._gradients.put(combined)
        weights = self.balancer.weights(losses, gramian, order)
        common = self.balancer.common(losses, order)
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
        """Combine the trunk's gradients; heads stay as they are. The weights ``[K]``."""
        weights = torch.ones_like(losses)
        if rows is None:
            return weights
        if self.max_task_norm is not None:
            self._clip_tasks(rows, names, scale)
        if skipped:
            combined = rows.sum(0)
        else:
            # A task left out has a gradient of zeros, and no loss that a method may look at.
            losses = torch.where(torch.isfinite(losses), losses, 1.0)
            # Products of unscaled gradients: some methods' weights depend on their size.
            rows.div_(scale)
            combined, weights = self.balancer.combine(losses, rows, order)
            combined = combined * scale
        self._gradients.put(combined)
        return weights

    def _head_grads(self, name: str) -> list[Tensor]:
        params = self.tasks[name].parameters()
        return [local(param.grad) for param in params if param.grad is not None]

    def _grads(self, names: list[str]) -> list[Tensor]:
        params = self.trunk.parameters()
        trunk = [local(param.grad) for param in params if param.grad is not None]
        return trunk + [grad for name in names for grad in self._head_grads(name)]

    def _finite(self, names: list[str]) -> bool:
        grads = self._grads(names)
        if self._gradients is not None:
            grads.append(self._gradients.buffer)
        return bool(self.processes.agreed(torch.isfinite(get_total_norm(grads))))

    def _clip_tasks(self, rows: Tensor, names: list[str], scale: Tensor) -> None:
        for row, name in zip(rows, names):
            params = [param for param in self.tasks[name].parameters() if param.grad is not None]
            parts = [local(param.grad) for param in params if is_sharded(param)]
            others = [param.grad for param in params if not is_sharded(param)]
            square = self.processes.whole(_square([row, *parts])) + _square(others).to(row.device)
            norm = square.sqrt().to(row) / scale
            torch._foreach_mul_(
                [row, *parts, *others], (self.max_task_norm / (norm + 1e-6)).clamp(max=1)
            )


def _square(grads: Sequence[Tensor]) -> Tensor:
    """The square of the norm of all together, float64, which does not overflow."""
    return get_total_norm(grads).double() ** 2


def _scaled(value: Tensor, scale: Tensor | None) -> Tensor:
    return value if scale is None else value * scale


def _trainable(module: nn.Module) -> list[nn.Parameter]:
    return [param for param in module.parameters() if param.requires_grad]


def _put_aside(params: Sequence[nn.Parameter]) -> dict[nn.Parameter, Tensor]:
    """Take the gradients of earlier backward passes off, so that the next one's are alone."""
    aside = {param: param.grad for param in params if param.grad is not None}
    for param in aside:
        param.grad = None
    return aside


def _add_back(aside: dict[nn.Parameter, Tensor]) -> None:
    both = [param for param in aside if param.grad is not None]
    if both:
        torch._foreach_add_(
            [local(aside[param]) for param in both], [local(param.grad) for param in both]
        )
    for param, grad in aside.items():
        param.grad = grad


def compare(rows: Tensor, names: Sequence[str], scale: Tensor) -> dict[str, Tensor]:
    """How the tasks' trunk gradients lie to one another, as scalars to log.

    Args:
        rows: The gradients ``[K, P]``, multiplied by ``scale``.
        names: The K tasks.
        scale: Of the loss scaler (scalar).

    Returns:
        ``'TASK/grad_norm'``, and for each pair ``'cos/TASK-TASK'``, the cosine (0 with a gradient
        of zeros), and ``'conflict/TASK-TASK'``, 1 where it is negative and else 0.
    """
    whole = holders().whole
    squares = torch.linalg.vector_norm(rows, dim=1).double() ** 2
    norms = whole(squares).sqrt().to(rows) / scale
    log = {f'{name}/grad_norm': norm for name, norm in zip(names, norms)}
    if len(names) > 1:
        units = norms * scale
        products = whole(rows @ rows.T)
        cosines = products / torch.outer(units, units).clamp_min(torch.finfo(rows.dtype).tiny)
        first, second = torch.triu_indices(len(names), len(names), 1).tolist()
        pairs = [f'{names[i]}-{names[j]}' for i, j in zip(first, second)]
        cosines = cosines[first, second]
        log |= {f'cos/{pair}': cosine for pair, cosine in zip(pairs, cosines)}
        log |= {f'conflict/{pair}': met for pair, met in zip(pairs, (cosines < 0).to(rows))}
    return log
