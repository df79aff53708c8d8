"""Build-time checks that the tasks match the backbone."""

from typing import TYPE_CHECKING

import torch
from mmengine.logging import print_log
from torch import Tensor

from allinone.errors import ConfigError
from allinone.tasks.probe import describe

from .shared_backbone import backbone_pass, run_backbone

if TYPE_CHECKING:
    from .allinone import AllInOne

PROBE_SIZE = 128


@torch.no_grad()
def check_tasks(model: 'AllInOne') -> None:
    """Run a blank image through the backbone and each task, and check shapes and strides.

    Raises:
        ConfigError: If ``feature_indices`` is out of range, a neck's or head's channels do not
            match its input maps, or anchor strides do not match the neck's maps.
    """
    param = next(model.backbone.parameters())
    size = probe_size(model)
    blank = torch.zeros(1, 3, size, size, device=param.device, dtype=param.dtype)
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        try:
            maps = run_backbone(model.backbone, blank)
        except (RuntimeError, AssertionError, ValueError) as error:
            print_log(
                f'model.backbone does not take a {size} x {size} image, so '
                f'the tasks were not checked against it: {error}',
                'current',
            )
            return
        _check_features(model, maps, size)
        for name, task in model.tasks.items():
            view = model.view(name)
            seen = view.select(maps)
            with backbone_pass(model.backbone, [view], blank):
                model.kinds[name].probe(f'model.tasks.{name}', task, blank, seen)
    finally:
        for module, mode in training.items():
            module.training = mode


def probe_size(model: 'AllInOne') -> int:
    """Height and width of the blank image: the largest that a task needs."""
    return max(model.kinds[name].probe_size(task, PROBE_SIZE) for name, task in model.tasks.items())


def _check_features(model: 'AllInOne', maps: tuple[Tensor, ...], size: int) -> None:
    read: set[int] = set()
    for name in model.tasks:
        features = model.view(name).feature_indices
        features = tuple(range(len(maps))) if features is None else features
        for index in features:
            if not 0 <= index < len(maps):
                raise ConfigError(
                    f'model.tasks.{name}.feature_indices is {features}, but {index} is out of '
                    f'range: model.backbone gives {len(maps)} maps ({describe(maps, size)})'
                )
        read.update(features)
    if len(maps) - 1 not in read:
        print_log(
            f'No task reads map {len(maps) - 1} of model.backbone, the last one; what only '
            'that map needs is computed for nothing and not trained. Leave it out of '
            'model.backbone.out_indices.',
            'current',
        )
