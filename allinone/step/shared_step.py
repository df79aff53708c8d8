"""The training step with sources of several tasks, whose images pass the backbone once."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from allinone.balancers.base import Balancer
from allinone.distributed.processes import Alone, is_sharded, local
from allinone.errors import ConfigError

from .backbone_gradients import BackboneGradients
from .contributions import Contribution, contributions
from .feature_gradients import FeatureGradients
from .gradients import add_back, all_finite, put_aside, trainable
from .iteration import Iteration
from .non_finite import FiniteGuard, KeptStatistics, keep_if
from .statistics import RunningStatistics
from .step import BalancedStep, weighted_mean

Maps = Sequence[Tensor]
Terms = Mapping[str, Tensor]


class BackbonePass(Protocol):
    """A batch of a shared source and its forward pass through the backbone.

    Attributes:
        maps: The feature maps, with their graph; computed when first read.
    """

    @property
    def maps(self) -> Maps: ...

    def losses(self, task: str, maps: Maps | None) -> tuple[Tensor, Terms]:
        """Loss (scalar) of a task on its labelled images, and terms for the log.

        Args:
            task: Name of the task. Without labelled images it runs on one image without objects.
            maps: In place of the feature maps; None: of a pass of the backbone for this task alone.
        """


class SharedLosses(Protocol):
    """What the step asks of the model."""

    def __call__(self, task: str, batch: Any) -> tuple[Tensor, Terms]:
        """As ``losses_of`` of :class:`BalancedStep`."""

    def labelled(self, task: str, batch: Any) -> int:
        """Number of images with labels of a task."""

    def shared(self, tasks: Sequence[str], batch: Any) -> BackbonePass:
        """The forward pass of the backbone for a batch of a shared source."""


class SharedStep(BalancedStep):
    """Runs the backbone once for images with labels of several tasks.

    Head by head: forward and backward on detached feature maps, after which the head's graph is
    freed. Then one backward pass of the backbone runs from the weighted sum of the gradients at the
    maps. So memory is needed for the backbone's graph, one head's graph and the gradients at the
    maps.

    Methods that compare gradients need one of

    - ``'backbone'``: the gradients of the backbone's parameters, with one backward pass of the
      backbone for each task;
    - ``'features'``: the gradients at the feature maps (:class:`FeatureGradients`), with one
      backward pass of the backbone.

    The loss of a task is the mean over its labelled images in all sources, micro-batches and
    processes of the iteration (:class:`Contribution`), each times the label weight of its source. A
    task without a labelled image does not take part. A task with task-specific weights of the
    backbone (an adapter) makes a separate pass.

    Non-finite heads and gradients at the maps are dropped by task. If the backbone's gradient is
    not finite after their sum, the gradients of all tasks are set to zero.

    Args:
        balancer: As for :class:`BalancedStep`.
        backbone: As for :class:`BalancedStep`.
        tasks: As for :class:`BalancedStep`.
        sources: ``{source: its tasks}``.
        synchronised: Tasks whose heads average over the processes within their losses.
        adapted: Tasks that make a separate pass of the backbone.
        **options: As for :class:`BalancedStep`.
    """

    def __init__(
        self,
        balancer: Balancer,
        backbone: nn.Module,
        tasks: dict[str, nn.Module],
        sources: Mapping[str, Sequence[str]],
        synchronised: Collection[str] = (),
        adapted: Collection[str] = (),
        **options: Any,
    ):
        self.sources = {name: tuple(served) for name, served in sources.items()}
        self._synchronised, self._adapted = frozenset(synchronised), frozenset(adapted)
        served = [task for names in self.sources.values() for task in names]
        shared = {task for name in self.sources if self.is_shared(name) for task in self._of(name)}
        self._weighted = shared | {task for task in served if served.count(task) > 1}
        self._voting = {task for task in served if served.count(task) > 1}
        super().__init__(balancer, backbone, tasks, **options)
        guarded = options.get('skip_non_finite', True)
        self._head_guard = (
            FiniteGuard(nn.Module(), tasks, self.processes.agreed) if guarded else None
        )
        self._backbone_statistics = KeptStatistics([backbone])
        self._renewed = RunningStatistics([backbone])

    def is_shared(self, source: str) -> bool:
        """Whether a source serves several tasks."""
        return len(self._of(source)) > 1

    def _of(self, source: str) -> tuple[str, ...]:
        return self.sources.get(source, (source,))

    @property
    def _at_maps(self) -> bool:
        return self.balancer.gradients == 'features'

    @property
    def _needs_gradients(self) -> bool:
        # A weight that follows the loss needs the mean loss of all sources of the task.
        follows = self.balancer.weighs_losses and self._weighing.factor_follows_loss
        return super()._needs_gradients or bool(follows and self._voting)

    def _begin(self, iteration: Iteration) -> None:
        self._trained = trainable(self.backbone)
        self._wants_rows = False
        super()._begin(iteration)

    def _make_rows(self, params: Sequence[nn.Parameter]) -> None:
        if self._at_maps:
            self._wants_rows = True  # They are made for the feature maps, which are not there yet.
        else:
            super()._make_rows(params)

    def _passes(
        self, batches: Mapping[str, Sequence], losses_of: Any, iteration: Iteration
    ) -> dict[str, dict[str, Tensor]]:
        if self._at_maps and (iteration.steps > 1 or any(len(p) > 1 for p in batches.values())):
            raise ConfigError(
                "model.balancer.gradients is 'features', which compares the gradients of one batch "
                'at its feature maps, but an optimizer step has several (train_cfg.micro_batches '
                "or optim_wrapper.accumulative_counts); use gradients='backbone', or one batch"
            )
        weights = self._contributions(batches, losses_of)
        found: dict[str, list[tuple[float, Terms]]] = {}
        last = {task: source for source in batches for task in self._of(source)}
        for source, parts in batches.items():
            tasks = self._of(source)
            ending = [task for task in tasks if last[task] == source]
            for number, part in enumerate(parts, 1):
                ours = {task: weights[task].pop(0) for task in tasks}
                if self.is_shared(source):
                    ended = ending if number == len(parts) else []
                    terms = self._shared_pass(part, ours, ended, losses_of, iteration)
                else:
                    terms = {
                        task: self._pass(task, part, losses_of, iteration, contribution)
                        for task, contribution in ours.items()
                        if contribution is not None
                    }
                for task, term in terms.items():
                    contribution = ours[task]
                    assert contribution is not None
                    found.setdefault(task, []).append((contribution.weight, term))
            for task in ending:
                if self._order[task] in self._losses and task not in self._messages.sent:
                    self._end_task(task, iteration)
        return {task: weighted_mean(passes) for task, passes in found.items()}

    def _contributions(
        self, batches: Mapping[str, Sequence], losses_of: Any
    ) -> dict[str, list[Contribution | None]]:
        """The contributions of each task's passes, in the order of ``batches``."""
        counts: dict[str, list[int]] = {}
        factors: dict[str, list[float]] = {}
        for source, parts in batches.items():
            for task in self._of(source):
                counts.setdefault(task, []).extend(losses_of.labelled(task, part) for part in parts)
                factor = self._label_weight(source, task)
                factors.setdefault(task, []).extend([factor] * len(parts))
        weights: dict[str, list[Contribution | None]] = {
            task: [Contribution(passes=len(passes))] * len(passes)
            for task, passes in counts.items()
        }
        weighted = {task: passes for task, passes in counts.items() if task in self._weighted}
        if weighted:
            like = next(self.backbone.parameters())
            weights |= contributions(weighted, self.processes, self._synchronised, like)
        return {
            task: [
                None if weight is None else replace(weight, factor=factor)
                for weight, factor in zip(weights[task], factors[task])
            ]
            for task in weights
        }

    def _shared_pass(
        self,
        part: Any,
        weights: Mapping[str, Contribution | None],
        ending: Collection[str],
        losses_of: Any,
        iteration: Iteration,
    ) -> dict[str, Terms]:
        """Forward and backward of a micro-batch of a shared source.

        Args:
            part: The micro-batch.
            weights: The contribution of each task of the source.
            ending: Tasks without a further pass in this iteration.
            losses_of: The model's losses.
            iteration: The iteration.

        Returns:
            The terms of each task's log.
        """
        running = {task: weight for task, weight in weights.items() if weight is not None}
        joint = [task for task in running if task not in self._adapted]
        self._backbone_statistics.save()
        shared = losses_of.shared(tuple(weights), part)
        everything = shared.maps if joint else ()
        maps = [m for m in everything if m.requires_grad]
        leaves = [m.detach().requires_grad_(m.requires_grad) for m in everything]
        if self._wants_rows and maps:
            # The graph outlives changes of the statistics that it has saved.
            self._renewed.renew()
            self._gradients = FeatureGradients(  # type: ignore[assignment]
                maps, len(self.tasks), self._backward_of_combined, self.processes
            )
        finite: list[Tensor] = []
        total: list[Tensor | None] = [None] * len(maps)
        logged: dict[str, Terms] = {}
        for task in joint:
            with self._counting(running[task], self.tasks[task]):
                if self._head_guard is not None:
                    self._head_guard.before_forward(task)
                loss, terms = running[task].times_factor(*shared.losses(task, leaves))
                iteration.after_forward(loss)
                ok, grads = self._head_backward(
                    task, loss, running[task], leaves, maps, iteration, keep=task != joint[-1]
                )
            if running[task].weight:
                finite.append(ok)
                logged[task] = {name: value.detach() for name, value in terms.items()}
            del loss, terms  # And with them the head's graph
            if not self._apart:
                total = _sums(total, grads)
            if task in ending and self._messages_rows is None:
                self._end_task(task, iteration)  # Sent while the other tasks compute
        if not self._apart:
            self._backbone_backward(maps, total)
        if finite:
            self._backbone_statistics.restore_unless(torch.stack(finite).any())
        for task in running:
            if task in self._adapted:
                terms = self._adapted_pass(task, shared, running[task], iteration)
                if running[task].weight:
                    logged[task] = terms
        return logged

    @contextmanager
    def _counting(self, contribution: Contribution, *modules: nn.Module) -> Iterator[None]:
        """Restore the running statistics of ``modules`` after a pass of weight zero."""
        statistics = None if contribution.weight else KeptStatistics(modules)
        if statistics is not None:
            statistics.save()
        yield
        if statistics is not None:
            statistics.restore_unless(torch.zeros((), dtype=torch.bool))

    def _adapted_pass(
        self, task: str, shared: BackbonePass, contribution: Contribution, iteration: Iteration
    ) -> Terms:
        """Forward and backward of a task with task-specific weights of the backbone."""
        with self._counting(contribution, self.backbone, self.tasks[task]):
            self._before_forward(task)
            loss, terms = contribution.times_factor(*shared.losses(task, None))
            iteration.after_forward(loss)
            if contribution.weight:
                self._after_forward(task, loss, iteration, contribution)
            else:
                aside = put_aside(self._params[task])
                iteration.backward(contribution.objective(loss))
                _discard(self._params[task], [])
                add_back(aside)
                finite = torch.ones_like(loss, dtype=torch.bool)
                self._count(task, torch.zeros_like(loss), finite, contribution, [])
        return {name: value.detach() for name, value in terms.items()}

    def _head_backward(
        self,
        task: str,
        loss: Tensor,
        contribution: Contribution,
        leaves: Maps,
        maps: Maps,
        iteration: Iteration,
        keep: bool,
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Backward pass of a head into its parameters and the feature maps.

        Args:
            task: Name of the task.
            loss: Its loss (scalar), of a graph that ends at ``leaves``.
            contribution: That of this pass.
            leaves: The detached feature maps.
            maps: Those with a graph to the backbone.
            iteration: The iteration.
            keep: Whether the backbone's graph is needed again.

        Returns:
            Whether the contribution is finite (scalar, bool), and the gradients at ``maps``,
            multiplied by the factor of a loss weighting.
        """
        index = self._order[task]
        params = list(self.tasks[task].parameters())
        aside = put_aside(params)
        iteration.backward(contribution.objective(loss))
        at_maps = [leaf.grad for leaf in leaves if leaf.requires_grad]
        for leaf in leaves:
            leaf.grad = None
        if not contribution.weight:
            _discard(params, at_maps)
        rows = self._apart and not self._at_maps
        if rows:
            self._backbone_backward(maps, at_maps, keep)
        at = self._trained if rows else []
        grads = [local(param.grad) for param in [*at, *params] if param.grad is not None]
        if not rows:
            grads += [grad for grad in at_maps if grad is not None]
        if not contribution.weight:
            loss = torch.zeros_like(loss)
        finite = self._check(self._head_guard, loss, grads, iteration)
        if rows:
            assert self._gradients is not None
            self._gradients.take(index)
        elif self._gradients is not None:
            self._keep_row(index, maps, at_maps)
        self._count(task, loss, finite, contribution, grads)
        add_back(aside)
        return finite, at_maps

    def _keep_row(self, index: int, maps: Maps, at_maps: Sequence[Tensor | None]) -> None:
        """Keep a task's gradients in its row; its contribution to ``.grad`` is made elsewhere."""
        if isinstance(self._gradients, FeatureGradients):
            self._gradients.add(index, at_maps)
        else:
            assert self._gradients is not None
            # For the log alone, so that it changes nothing of the one backward pass
            aside = put_aside(self._trained)
            self._backbone_backward(maps, at_maps, keep=True)
            self._gradients.take(index)
            add_back(aside)

    def _backbone_backward(
        self, maps: Maps, grads: Sequence[Tensor | None], keep: bool = False
    ) -> None:
        reached = [(m, grad) for m, grad in zip(maps, grads) if grad is not None]
        if reached:
            tensors, gradients = zip(*reached)
            with self._recomputing:
                torch.autograd.backward(tensors, gradients, retain_graph=keep)

    def _backward_of_combined(self, maps: Maps, grads: Maps) -> None:
        self._backbone_backward(maps, grads)
        self.processes.send(params=self._trained)
        self.processes.receive()

    @property
    def _messages_rows(self) -> BackboneGradients | None:
        return None if isinstance(self._gradients, FeatureGradients) else self._gradients

    def _holders(self) -> Alone:
        if isinstance(self._gradients, FeatureGradients):
            return self._gradients.holders()
        return self.processes

    def _after_weighing(self, names: list[str], scale: Tensor) -> dict[str, Tensor]:
        """Set all gradients to zero if the backbone's are not finite."""
        if self._apart and not self._at_maps:
            return {}  # Each task's gradient was checked.
        grads = [local(param.grad) for param in self._trained if param.grad is not None]
        grads = [grad for grad in grads if grad.numel()]
        if self._head_guard is not None and grads:
            # A loss scaler skips such a step, and must see it to lower its scale.
            finite = self.processes.agreed(all_finite(grads) | (scale > 1))
            keep_if(finite, [grad for grad in self._grads(names) if grad.numel()])
            for name in names:
                self._dropped[name] = self._dropped.get(name, False) | ~finite
        return {}


def check_features(
    balancer: Balancer,
    sources: Mapping[str, Sequence[str]],
    adapted: Collection[str] = (),
    clip_grad_per_task: float | None = None,
    beside_neck: Collection[str] = (),
) -> None:
    """Check that gradients at the feature maps can be compared, where the balancer does so.

    Raises:
        ConfigError: If not.
    """
    if balancer.gradients != 'features':
        return
    key = "model.balancer.gradients is 'features'"
    remedy = "use gradients='backbone'"
    if len(sources) > 1:
        raise ConfigError(
            f'{key}, which compares gradients at the feature maps of one batch, but '
            f'train_dataloader has the sources {list(sources)}; {remedy}, or one source'
        )
    if adapted:
        raise ConfigError(
            f'{key}, but the tasks {sorted(adapted)} make separate passes of the backbone '
            f"(adapter, or bn='per_task') and have other feature maps; {remedy}"
        )
    if beside_neck:
        raise ConfigError(
            f'{key}, but the tasks {sorted(beside_neck)} use feature maps of the backbone, and '
            f'others those of model.shared_neck, at which gradients cannot be compared; {remedy}'
        )
    if balancer.layer is not None:
        raise ConfigError(
            f'{key}, and model.balancer.layer is {balancer.layer!r}, which names parameters of the '
            f'backbone; leave layer out, or {remedy}'
        )
    if clip_grad_per_task is not None:
        raise ConfigError(
            f'{key}, but model.clip_grad_per_task={clip_grad_per_task} clips the gradients of the '
            f"backbone's parameters; leave it out, or {remedy}"
        )


def _sums(total: Sequence[Tensor | None], grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Sums by feature map, into the first tensor of each; None is zero."""
    both = [(one, grad) for one, grad in zip(total, grads) if one is not None and grad is not None]
    if both:
        torch._foreach_add_([one for one, _ in both], [grad for _, grad in both])
    return [grad if one is None else one for one, grad in zip(total, grads)]


def _discard(params: Iterable[nn.Parameter], at_maps: list[Tensor | None]) -> None:
    """Take away the gradients of a pass of weight zero, which may be NaN."""
    for param in params:
        # The gradient of a shard is the mean over the processes.
        if param.grad is not None and not is_sharded(param):
            param.grad = None
    at_maps[:] = [None if grad is None else torch.zeros_like(grad) for grad in at_maps]
