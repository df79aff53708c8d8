"""The gradients of a penalty on the tasks' gradients."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from .gradient_orthogonality import GradientOrthogonality


class PenaltyGradients:
    """Collects, over the micro-steps of one optimizer step, what a regulariser adds to ``.grad``.

    Args:
        regulariser: Gives the penalty of gradients ``[K, P]`` on the compared layer.
        trunk: The shared trunk.
        tasks: ``{name: sub-model}`` of all tasks.
    """

    def __init__(
        self, regulariser: GradientOrthogonality, trunk: nn.Module, tasks: Mapping[str, nn.Module]
    ):
        self.regulariser = regulariser
        self.params = [
            param
            for module in (trunk, *tasks.values())
            for param in module.parameters()
            if param.requires_grad
        ]
        named = [(name, param) for name, param in trunk.named_parameters() if param.requires_grad]
        layer = regulariser.penalty_layer
        self._chosen = [
            param
            for name, param in named
            if layer is not None and (name == layer or name.startswith(f'{layer}.'))
        ]
        self._weights = [param for _, param in named if param.dim() > 1]
        self._layers: dict[tuple[int, ...], list[Tensor]] = {}
        self._losses: dict[int, Tensor] = {}
        self.reset()

    def reset(self) -> None:
        self._grads: dict[nn.Parameter, Tensor] = {}
        self.value: Tensor | None = None

    def keep(self, task: int, loss: Tensor) -> None:
        """Keep the loss of a task, with its graph, to the end of the micro-step."""
        self._losses[task] = loss

    def collect(self, optim_wrapper) -> None:
        """End of a micro-step: add the penalty's gradient of the losses kept; free their graphs."""
        order = tuple(sorted(self._losses))
        losses = [self._losses[task] for task in order]
        self._losses = {}
        layer = self._layer(order, losses) if len(order) > 1 else []
        if not layer:
            return
        gradients = [self._gradient(loss, layer) for loss in losses]
        rows = torch.stack([gradient.detach() for gradient in gradients]).requires_grad_()
        value = self.regulariser.penalty(rows)
        directions = torch.autograd.grad(value, rows)[0]
        scaled = sum(
            (direction * gradient).sum()
            for direction, gradient in zip(directions, gradients)
            if gradient.requires_grad
        )
        found = torch.autograd.grad(
            optim_wrapper.scale_loss(scaled), self.params, allow_unused=True
        )
        present = [grad for grad in found if grad is not None]
        # One whose second derivative is not finite is left out, as a task's share is.
        finite = bool(torch.isfinite(get_total_norm(present, float('inf')))) if present else False
        for param, grad in zip(self.params, found):
            if grad is not None and finite:
                self._grads[param] = self._grads[param] + grad if param in self._grads else grad
        value = optim_wrapper.scale_loss(value.detach())
        self.value = value if self.value is None else self.value + value

    def all_grads(self) -> list[Tensor]:
        """What was collected, of every parameter: processes may have left different parts out."""
        for param in self.params:
            if param not in self._grads:
                self._grads[param] = torch.zeros_like(param)
        return list(map(self._grads.__getitem__, self.params))

    def put(self, scale: Tensor) -> None:
        """Add the penalty's gradient, times ``scale``, to ``.grad``."""
        reached = {param: grad for param, grad in self._grads.items() if param.grad is not None}
        if reached:
            torch._foreach_add_(
                [param.grad for param in reached], torch._foreach_mul(list(reached.values()), scale)
            )

    @staticmethod
    def _gradient(loss: Tensor, layer: list[Tensor]) -> Tensor:
        """Gradient ``[P]`` of one task on the layer, itself with a graph."""
        found = torch.autograd.grad(loss, layer, create_graph=True, materialize_grads=True)
        return torch.cat([grad.flatten() for grad in found])

    def _layer(self, order: tuple[int, ...], losses: Sequence[Tensor]) -> list[Tensor]:
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
