"""The joint model as one function of images, without loops over images."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from allinone.errors import ConfigError
from allinone.io.text import cut_short
from allinone.models.allinone import AllInOne
from allinone.models.shared_backbone import SharedBackbone, run_backbone
from allinone.tasks.free_sizes import free_sizes
from allinone.tasks.suppression import Suppression


class ExportGraph(nn.Module):
    """Normalisation, one backbone pass, and the heads of some tasks, decoded.

    A task with an adapter, or with statistics of its own (``bn='per_task'``), has a pass of its
    own; its weights are merged, and weights that tasks share are there once.

    Args:
        model: The joint model in evaluation mode, whose parts are used, not copied.
        tasks: Names of the tasks.
        raw: Leave out what comes after the heads: suppression of boxes, the class of each pixel.
        half: Compute backbone and heads in float16. Normalisation, boxes and outputs are float32.

    Raises:
        ConfigError: If tasks cannot be exported, all of which are named.
    """

    mean: Tensor
    std: Tensor
    shared: nn.Module | None
    _views: dict[str, SharedBackbone]

    def __init__(
        self, model: AllInOne, tasks: Sequence[str], raw: bool = False, half: bool = False
    ):
        super().__init__()
        heads = _heads(model, tasks, raw)
        preprocessor = model.data_preprocessor
        swapped = not getattr(preprocessor, '_channel_conversion', False)
        normalised = getattr(preprocessor, '_enable_normalize', False)
        self.swapped, self.normalised = swapped, normalised
        if normalised:
            self.register_buffer('mean', preprocessor.mean.detach().clone().float())
            self.register_buffer('std', preprocessor.std.detach().clone().float())
        self.tasks = tuple(tasks)
        apart = [task for task in tasks if model.view(task).adapter is not None]
        rest = [task for task in tasks if task not in apart]
        self.shared = model.shared_part(rest) if rest else None
        # A task of the shared neck has a pass through both; one of the backbone none of the neck.
        # Names of tasks may be those of methods of dictionaries, so they get a suffix.
        parts = {task: model.shared_part([task]) for task in apart}
        self.passes = nn.ModuleDict({f'{task}_': part for task, part in parts.items()})
        self.values = nn.ModuleDict(
            {f'{task}_': MergedValues(model.view(task), part) for task, part in parts.items()}
        )
        self.heads = nn.ModuleDict({f'{task}_': head for task, head in heads.items()})
        # Views have no weights, and hold the backbone outside of the module tree.
        self.__dict__['_views'] = {task: model.view(task) for task in tasks}
        self.half_precision = half
        if half:
            for part in (self.shared, self.passes, self.values, self.heads):
                if part is not None:
                    part.half()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Outputs of all tasks.

        Args:
            images: ``(N, 3, H, W)``, RGB, 0 to 255, float32.

        Returns:
            ``{'TASK.NAME': Tensor}``.
        """
        with free_sizes():
            return self._outputs(images)

    def _outputs(self, images: Tensor) -> dict[str, Tensor]:
        size = tuple(images.shape[-2:])
        x = images.flip(1) if self.swapped else images
        if self.normalised:
            x = (x - self.mean) / self.std
        if self.half_precision:
            x = x.half()
        maps = None if self.shared is None else run_backbone(self.shared, x)
        found = {}
        for task, view in self._views.items():
            own: Any = maps
            if f'{task}_' in self.values:
                values: Any = self.values[f'{task}_']
                own = run_backbone(self.passes[f'{task}_'], x, values)
            for name, value in self.heads[f'{task}_'](view.select(own), size).items():
                is_float = value.is_floating_point()
                found[f'{task}.{name}'] = value.float() if is_float else value
        return found

    def suppress_by_operator(self, operator: bool) -> None:
        """Whether suppression of boxes is one operator of the graph or a loop."""
        for module in self.modules():
            if isinstance(module, Suppression):
                module.as_operator = operator


class MergedValues(nn.Module):
    """Values of an adapter, computed once, in the place of the adapter."""

    def __init__(self, view: SharedBackbone, backbone: nn.Module):
        super().__init__()
        self.names = {}
        assert view.adapter is not None
        with torch.no_grad():
            found = view.adapter.values(backbone)
        for name, value in found.items():
            if value.is_floating_point():  # Not the count of batches
                self.names[name] = name.replace('.', '-')
                self.register_buffer(self.names[name], value.detach().clone())

    def values(self, backbone: nn.Module) -> dict[str, Tensor]:
        return {name: getattr(self, own) for name, own in self.names.items()}


def _heads(model: AllInOne, tasks: Sequence[str], raw: bool) -> dict[str, nn.Module]:
    heads, reasons = {}, []
    for task in tasks:
        kind, part = model.kinds[task], model.tasks[task]
        try:
            heads[task] = kind.export_head(part) if raw else kind.export_predictions(part)
        except ConfigError as error:
            reasons.append(f'{task}: {error}')
    if reasons:
        left = [task for task in tasks if task in heads]
        remedy = f'export the others with --tasks {" ".join(left)}' if left else 'none is left'
        raise ConfigError(f'tasks cannot be exported: {"; ".join(reasons)}; {remedy}')
    return heads


@torch.no_grad()
def try_graph(graph: ExportGraph, size: tuple[int, int]) -> dict[str, Tensor]:
    """Outputs of a blank image, to refuse within seconds what would fail after minutes.

    Raises:
        ConfigError: If the graph fails on an image of this size.
    """
    try:
        found: Mapping[str, Any] = graph(torch.full((1, 3, *size), 114.0))
    except Exception as error:
        # Libraries raise errors of any type on maps that do not fit.
        words = cut_short(' '.join(f'{type(error).__name__}: {error}'.split()), 300)
        raise ConfigError(
            f'--size {size[0]} {size[1]}: the model fails on an image of this size ({words}); give '
            'another size'
        ) from error
    odd = [name for name, value in found.items() if not isinstance(value, Tensor)]
    if odd:
        raise ConfigError(f'outputs {odd} are no tensors, so they cannot be exported')
    return dict(found)
