"""Interface between balancing methods and the training step."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from .gramian import gramian_of, weighted_sum


class Regulariser(Protocol):
    """A method that adds a penalty on the tasks' gradients.

    Attributes:
        penalty_layer: Name prefix of the backbone parameters whose gradients are compared; None:
            those of the last layer that the tasks share.
    """

    penalty_layer: str | None

    def penalty(self, gradients: Tensor) -> Tensor:
        """Return the penalty (scalar) of gradients ``[K, P]``."""


class WeighsLosses(Protocol):
    """Interface of a method that weighs losses: a :class:`LossWeighting` or a wrapper of one."""

    @property
    def factor_follows_loss(self) -> bool: ...

    def factor(self, task: int, loss: Tensor) -> Tensor: ...

    def common(self, losses: Tensor, tasks: Sequence[int]) -> Tensor | None: ...


class Balancer(nn.Module):
    """Combines the tasks' losses or gradients on the backbone.

    A balancer is a module, so the checkpoint holds its state under ``balancer.*``: buffers from
    :meth:`initial_state`, and the numbers named in ``counters``. It has no parameters, so no
    optimizer and no weight decay changes the state.

    A step calls :meth:`weights`, which changes nothing, and then :meth:`update`, unless mixed
    precision skips the optimizer step. :meth:`combine` does both.

    All methods treat hard input as follows (implemented in ``AdaptiveWeighting`` for losses and in
    ``GramianWeighting`` for gradients):

    - *One task:* its weight is 1, and nothing is learned. (Fixed weights apply.)
    - *A zero gradient* (below 1e-12 of the largest norm): the method balances the other tasks, and
      this one has weight 0. All zero: all weights are 1. Weights learned in or kept from earlier
      steps (``GradNorm``, ``SmoothedTaskWeights``, ``UpdateEvery``) do not change.
    - *NaN or inf in a gradient or its products:* all weights are 1, or those kept from earlier
      steps, and the state does not change. The combined gradient is then non-finite, as without a
      balancer, and a loss scaler skips the step.
    - *A NaN or infinite loss:* for a loss weighting, the factor of that task is 1; the other
      weights and the state are as if the step did not name it. For a gradient weighting, all
      weights are 1, and the state does not change.
    - *A loss at or below 0* counts as 1e-8 in methods that divide by it or take its logarithm.
    - *Identical or opposite gradients:* weights are finite; see each method.
    - *Losses or gradients in half precision:* computed in float32 or float64; only the result is
      rounded.

    Attributes:
        requires: What :meth:`weights` needs besides the losses: ``'losses'`` (nothing),
            ``'gramian'`` (the inner products of the tasks' backbone gradients) or ``'gradients'``
            (the gradients themselves; such a method overrides :meth:`combine`).
        weighs_losses: Whether weights scale the losses (backbone and heads) or only the backbone's
            gradients.
        counters: Names of integer attributes that belong to the state.
        layer: Name prefix of the backbone parameters whose gradients are used; None: all.
        gradients: Where the gradients of tasks with the same images are compared: at the
            parameters of the backbone (``'backbone'``) or at its feature maps (``'features'``); see
            :class:`~allinone.step.SharedStep`.
        task_names: Names of all tasks in the order of the config; empty until :meth:`bind`.
        num_tasks: Number of tasks; before :meth:`bind`, that of the first call. 0: unknown.
    """

    requires = 'losses'
    weighs_losses = False
    counters: tuple[str, ...] = ()
    layer: str | None = None
    gradients = 'backbone'
    _buffers: dict[str, Tensor]  # type: ignore[assignment]  # no buffer of a balancer is None

    def __init__(self) -> None:
        super().__init__()
        self.task_names: tuple[str, ...] = ()
        self.num_tasks = 0
        self._indices: dict[tuple, Tensor] = {}
        for name in self.counters:
            setattr(self, name, 0)
        for name, value in self.initial_state(0).items():
            self.register_buffer(name, value)

    def initial_state(self, num_tasks: int) -> dict[str, Tensor]:
        """Buffers of the method, with first dimension ``[num_tasks]``."""
        return {}

    def bind(self, task_names: Sequence[str]) -> None:
        """Set the names of all tasks; a method checks its options against them here.

        Raises:
            ConfigError: If an option does not fit these tasks.
        """
        self.task_names = tuple(task_names)
        self.prepare(len(task_names))

    def prepare(self, num_tasks: int, device: torch.device | None = None) -> None:
        """Create the buffers for ``num_tasks`` tasks, unless the number is already known."""
        if self.num_tasks:
            return
        self.num_tasks = num_tasks
        for name, value in self.initial_state(num_tasks).items():
            self._buffers[name] = value.to(device or self._buffers[name].device)

    def index(self, tasks: Sequence[int] | None, count: int, device) -> Tensor | slice:
        """Cached index on ``device`` of ``tasks`` (default: the first ``count``) in a buffer."""
        chosen = tuple(range(count) if tasks is None else tasks)
        if chosen == tuple(range(self.num_tasks)):
            return slice(None)
        if (chosen, device) not in self._indices:
            self._indices[chosen, device] = torch.tensor(chosen, device=device)
        return self._indices[chosen, device]

    def start(self, epoch_steps: int, evaluated: Mapping[str, set[str] | None]) -> None:
        """Called once, before the first step of a training.

        Args:
            epoch_steps: Number of steps in one pass over the largest data set.
            evaluated: ``{task: metric names}`` of the tasks that validation evaluates (None:
                unknown names).

        Raises:
            ConfigError: If the training does not provide what the method needs.
        """

    def after_validation(self, metrics: Mapping[str, float]) -> None:
        """Called with the metrics ``{'TASK/metric': value}`` of each validation."""

    @property
    def regulariser(self) -> Regulariser | None:
        """The method that adds a penalty on the tasks' gradients: this, a wrapped one, or None."""
        return None

    @property
    def uses_metrics(self) -> bool:
        """Whether :meth:`after_validation` changes the state."""
        return False

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        """Weights ``[K]`` of the K tasks of this step.

        Args:
            losses: Detached task losses ``[K]``.
            gramian: Inner products ``[K, K]`` of the tasks' backbone gradients, only if
                :attr:`requires` is ``'gramian'``.
            tasks: Indices of the K entries among the bound tasks; default: the first K.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define weights()')

    def update(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> None:
        """Update the state at the end of a step, from the arguments of :meth:`weights`."""

    def combine(
        self, losses: Tensor, gradients: Tensor, tasks: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The backbone's gradient ``[P]`` from the tasks' ``[K, P]``, and the weights ``[K]``."""
        gramian = gramian_of(gradients) if self.requires == 'gramian' else None
        weights = self.weights(losses, gramian, tasks)
        self.update(losses, gramian, tasks)
        return weighted_sum(weights, gradients), weights

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self.counters:
            destination[prefix + name] = torch.tensor(getattr(self, name))

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        for name, own in self._buffers.items():
            saved = state_dict.get(prefix + name)
            if (
                own is not None
                and saved is not None
                and not self.task_names
                and saved.shape != own.shape
                and name not in self._non_persistent_buffers_set
            ):
                self._buffers[name] = torch.empty_like(saved, device=own.device)
                self.num_tasks = len(saved)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        for name in self.counters:
            key = prefix + name
            if key in state_dict:
                setattr(self, name, int(state_dict[key]))
                if key in unexpected_keys:
                    unexpected_keys.remove(key)
            elif strict:
                missing_keys.append(key)


class LossWeighting(Balancer):
    """A method that weighs losses: the gradients of backbone and heads are of ``w_k * L_k``.

    The backward pass of one task ends before the next task's loss is known, and no gradient is
    kept. Weights are therefore split as ``w_k = factor(k, L_k) * common(L_1, ..., L_K)``: the
    factor scales the gradients of the task's backward pass, and the common part scales all
    gradients at the end of the step.

    Attributes:
        factor_follows_loss: Whether :meth:`factor` depends on the loss; then the processes average
            the loss before they scale gradients.
    """

    weighs_losses = True
    factor_follows_loss = True

    def factor(self, task: int, loss: Tensor) -> Tensor:
        """The part of the weight of ``task`` that depends on its own loss only (scalars)."""
        raise NotImplementedError(f'{type(self).__name__} does not define factor()')

    def common(self, losses: Tensor, tasks: Sequence[int]) -> Tensor | None:
        """The part of the weights that all tasks share, from the losses ``[K]``; None: 1."""
        return None

    def weights(
        self, losses: Tensor, gramian: Tensor | None = None, tasks: Sequence[int] | None = None
    ) -> Tensor:
        losses = losses.to(torch.promote_types(losses.dtype, torch.float32))
        self.prepare(len(losses), losses.device)
        tasks = range(len(losses)) if tasks is None else tasks
        weights = torch.stack(
            [self.factor(task, loss).to(losses) for task, loss in zip(tasks, losses, strict=True)]
        )
        common = self.common(losses, tasks)
        return weights if common is None else weights * common
