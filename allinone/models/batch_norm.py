"""Modes of the backbone's batch norm for steps with one batch per task and data set."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from allinone.errors import ConfigError
from allinone.registry.options import check_choice, check_flag

from .adapters import BackboneAdapter
from .shared_neck import NECK, full_name
from .sync_bn import synchronise

if TYPE_CHECKING:
    from .allinone import AllInOne

KINDS = ('shared', 'frozen', 'per_task', 'sync')


def norms_of(backbone: nn.Module) -> list[_BatchNorm]:
    """Batch norm layers of the backbone that have running statistics."""
    return [
        module
        for module in backbone.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]


def parse(bn: str | Mapping) -> tuple[str, bool]:
    """Mode of ``model.bn``, and whether scale and shift are task-specific, too.

    Raises:
        ConfigError: If the value is not valid.
    """
    options = dict(bn) if isinstance(bn, Mapping) else dict(type=bn)
    kind = check_choice('model.bn', options.pop('type', None), KINDS)
    affine = check_flag('model.bn.affine', options.pop('affine', False))
    if options or (affine and kind != 'per_task'):
        raise ConfigError(f"model.bn is {bn!r}; 'per_task' alone has an option, and that is affine")
    return kind, affine


def set_up(model: 'AllInOne', kind: str, affine: bool) -> None:
    """Set the mode of the backbone's batch norm in a joint model.

    Raises:
        ConfigError: If the backbone has no batch norm, or a task has both an adapter and
            task-specific statistics.
    """
    if kind == 'shared':
        return
    if not norms_of(model.shared_part()):
        raise ConfigError(f"model.bn is {kind!r}, but the backbone has no batch norm; use 'shared'")
    if kind == 'sync':
        synchronise(model.shared_part())
    if kind != 'per_task':
        return
    for name, task in model.tasks.items():
        if getattr(task, 'adapter', None) is not None:
            raise ConfigError(
                f"model.tasks.{name}.adapter is set, and model.bn is 'per_task', which is one; "
                'choose'
            )
        task.adapter = TaskNorm(model.shared_part([name]), affine)
        model.bind_view(name)
    print_log(
        f"model.bn is 'per_task': predicting all tasks takes {len(model.tasks)} passes of the "
        'backbone, one a task',
        'current',
    )


class TaskNorm(BackboneAdapter):
    """Task-specific batch norm statistics with shared convolutions.

    They are initialised from the backbone, in a new model and if a checkpoint has none of the task.

    Args:
        backbone: The shared backbone.
        affine: Scale and shift are task-specific, too.
    """

    def __init__(self, backbone: nn.Module, affine: bool = False):
        self.affine = affine
        super().__init__(backbone)

    def fits(self, module: nn.Module) -> bool:
        return isinstance(module, _BatchNorm) and module.track_running_stats

    def change_of(self, module: _BatchNorm) -> nn.Module:
        return _TaskStatistics(module, self.affine)

    def start(self, backbone: nn.Module) -> None:
        """Copy the current statistics of the backbone."""
        for key, change in self.changes.items():
            layer = backbone.get_submodule(full_name(backbone, _layer(key)))
            change.load_state_dict(layer.state_dict(), strict=False)


def _layer(key: str) -> str:
    return key.replace('-', '.')


class _TaskStatistics(_BatchNorm):
    """Buffers that replace those of a shared batch norm.

    A batch norm by type, so that code that handles running statistics includes it.
    """

    def __init__(self, norm: _BatchNorm, affine: bool):
        has_affine = affine and norm.affine
        super().__init__(norm.num_features, norm.eps, norm.momentum, has_affine)
        self.load_state_dict(norm.state_dict(), strict=False)

    def forward(  # type: ignore[override]  # returns parameters, not an image
        self, layer: nn.Module
    ) -> dict[str, Tensor]:
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}


def inherit(model: 'AllInOne', state_dict: dict[str, Tensor], prefix: str) -> None:
    """Add the backbone's statistics to a state dict that lacks task-specific ones."""
    for task, part in model.tasks.items():
        adapter = getattr(part, 'adapter', None)
        for key, change in adapter.changes.items() if isinstance(adapter, TaskNorm) else ():
            for name in change.state_dict():
                own = f'{prefix}tasks.{task}.adapter.changes.{key}.{name}'
                layer = _layer(key)
                layer = layer if layer.startswith(NECK) else f'backbone.{layer}'
                shared = f'{prefix}{layer}.{name}'
                if shared in state_dict:
                    state_dict.setdefault(own, state_dict[shared])


@torch.no_grad()
def start(model: 'AllInOne') -> None:
    """Initialise task-specific statistics from those of a pretrained backbone."""
    for name, task in model.tasks.items():
        if isinstance(getattr(task, 'adapter', None), TaskNorm):
            task.adapter.start(model.shared_part([name]))
