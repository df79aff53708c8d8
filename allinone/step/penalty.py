"""Gradients of a penalty on the tasks' gradients."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from allinone.balancers.base import Regulariser
from allinone.distributed.processes import Alone

from .statistics import RunningStatistics


class PenaltyGradients:
    """Penalty terms that a regulariser adds to the tasks' losses, and their separate gradients.

    Args:
        regulariser: Computes the penalty of gradients ``[K, P]`` on the compared layer.
        backbone: The shared backbone.
        tasks: ``{name: sub-model}`` of all tasks.
        processes: The processes of the step; the penalty is that of the gradients' means.
    """

    def __init__(
        self,
        regulariser: Regulariser,
        backbone: nn.Module,
        tasks: Mapping[str, nn.Module],
        processes: Alone,
    ):
        self.regulariser = regulariser
        self.processes = processes
        self.params = [
            param
            for module in (backbone, *tasks.values())
            for param in module.parameters()
            if param.requires_grad
        ]
        self._statistics = {
            name: RunningStatistics([backbone, task]) for name, task in tasks.items()
        }
        named = [
            (name, param) for name, param in backbone.named_parameters() if param.requires_grad
        ]
        layer = regulariser.penalty_layer
        self._chosen = [
            param
            for name, param in named
            if layer is not None and (name == layer or name.startswith(f'{layer}.'))
        ]
        self._weights = [param for _, param in named if param.dim() > 1]
        self._layers: dict[tuple[int, ...], list[nn.Parameter]] = {}
        self.reset()

    def reset(self) -> None:
        self._grads: dict[nn.Parameter, Tensor] = {}
        self.value: Tensor | None = None

    def before_forward(self, task: str) -> None:
        """Called before each forward pass, while the graphs of other tasks are kept."""
        self._statistics[task].renew()

    def terms(self, losses: Mapping[int, Tensor], optim_wrapper) -> dict[int, Tensor]:
        """Scalars, one per task, whose gradients sum to that of the penalty.

        They are :math:`\\langle v_i, g_i \\rangle` with a graph through :math:`g_i`; the constant
        :math:`v_i` contains the dependence on the other tasks. A non-finite gradient on the layer
        counts as zero.

        Args:
            losses: ``{task: loss}`` of an iteration, with their graphs; a common factor (of a loss
                scaler) changes nothing.
            optim_wrapper: mmengine's; its gradient accumulation scales the logged value.

        Returns:
            ``{task: scalar}``; empty for fewer than two tasks, or tasks that share no layer.
        """
        order = tuple(losses)
        layer = self._layer(order, list(losses.values())) if len(order) > 1 else []
        if not layer:
            return {}
        gradients = [self._gradient(loss, layer) for loss in losses.values()]
        rows = torch.stack([gradient.detach() for gradient in gradients])
        rows = torch.where(torch.isfinite(rows).all(1, keepdim=True), rows, 0)
        # The mean over processes of the gradients of <v_i, g_i> is that of v_i and the mean g_i.
        self.processes.send(means=[rows])
        self.processes.receive()
        rows.requires_grad_()
        value = self.regulariser.penalty(rows)
        directions = torch.autograd.grad(value, rows)[0]
        value = optim_wrapper.scale_loss(value.detach())
        self.value = value if self.value is None else self.value + value
        return {
            task: (direction * gradient).sum()
            for task, direction, gradient in zip(order, directions, gradients)
            if gradient.requires_grad
        }

    def gradients(self, term: Tensor) -> dict[nn.Parameter, Tensor]:
        """The gradient of one term by parameter; keeps the graph."""
        found = torch.autograd.grad(term, self.params, retain_graph=True, allow_unused=True)
        return {param: grad for param, grad in zip(self.params, found) if grad is not None}

    def add(self, grads: Mapping[nn.Parameter, Tensor]) -> None:
        """Keep gradients until :meth:`put`."""
        known = [param for param in grads if param in self._grads]
        added = [self._grads[param] for param in known], [grads[param] for param in known]
        self._grads.update(grads)
        if known:
            self._grads.update(zip(known, torch._foreach_add(*added)))

    def all_grads(self) -> list[Tensor]:
        """Kept gradients of all parameters, because processes may lack different ones."""
        for param in self.params:
            if param not in self._grads:
                self._grads[param] = torch.zeros_like(param)
        return list(map(self._grads.__getitem__, self.params))

    def put(self) -> None:
        """Add the kept gradients to ``.grad``."""
        both = [(param.grad, grad) for param, grad in self._grads.items() if param.grad is not None]
        if both:
            torch._foreach_add_([grad for grad, _ in both], [kept for _, kept in both])

    @staticmethod
    def _gradient(loss: Tensor, layer: Sequence[Tensor]) -> Tensor:
        """Gradient ``[P]`` of one task on the layer, with a graph."""
        found = torch.autograd.grad(loss, layer, create_graph=True, materialize_grads=True)
        return torch.cat([grad.flatten() for grad in found])

    def _layer(self, order: tuple[int, ...], losses: Sequence[Tensor]) -> list[nn.Parameter]:
        if self._chosen:
            return self._chosen
        if order not in self._layers:
            reached = set.intersection(*(_leaves(loss) for loss in losses))
            shared = [weight for weight in self._weights if id(weight) in reached]
            self._layers[order] = shared[-1:]
        return self._layers[order]


def _leaves(loss: Tensor) -> set[int]:
    """Identities of the parameters that a loss depends on."""
    found, seen, nodes = set(), set(), [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, 'variable'):
            found.add(id(node.variable))
        nodes += [following for following, _ in node.next_functions]
    return found
