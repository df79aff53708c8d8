"""Build-time checks that the tasks match the backbone."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from allinone.errors import ConfigError
from allinone.tasks.probe import describe, fitting, longest_side

from .shared_backbone import SingleMap, backbone_pass, run_backbone
from .shared_neck import BackboneWithNeck

if TYPE_CHECKING:
    from .allinone import AllInOne

PROBE_SIZE = 128
LARGER = (224, 256, 512)  # Patches of 14 pixels divide the first.

Failure = tuple[int, Exception]  # Size of the image, and what was raised on it


@torch.no_grad()
def check_tasks(model: 'AllInOne') -> dict[str, int]:
    """Run a blank image through the backbone and each task, and check shapes and strides.

    A task that fails is tried again on larger images. A failure for another reason than the shapes
    of feature maps is only logged, because training may work.

    Returns:
        ``{task: images}`` that a batch of training needs: 2 where batch norm sees a single value a
        channel of each image, else 1.

    Raises:
        ConfigError: If ``feature_indices`` is out of range, a neck's or head's channels do not
            match its input maps, or anchor strides do not match the neck's maps.
    """
    param = next(model.backbone.parameters())
    if param.is_meta:  # Without values, some networks fail for another reason.
        return dict.fromkeys(model.tasks, 1)
    devices = [] if param.device.type == 'cpu' else [param.device]
    training = {module: module.training for module in model.modules()}
    model.eval()
    pooled: set[str] = set()
    hooks = [hook for name in model.tasks for hook in _watch_norms(model, name, pooled)]
    try:
        # A prediction that draws random numbers must not change the initial weights.
        with torch.random.fork_rng(devices):
            failures = _failures(model, param)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training.items():
            module.training = mode
    for key, (size, error) in failures.items():
        if isinstance(error, ConfigError):
            raise error
        print_log(
            f'{key} fails on a blank {size} x {size} image without annotations, so it was not '
            f'checked that the tasks match the backbone: {type(error).__name__}: {error}',
            'current',
        )
    return {name: 2 if name in pooled else 1 for name in model.tasks}


def _watch_norms(model: 'AllInOne', name: str, pooled: set[str]) -> Iterator[RemovableHandle]:
    """Add the task to ``pooled`` if a batch norm of it sees one value a channel of an image."""

    def seen(_, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].shape[2:].numel() == 1:
            pooled.add(name)

    adapter = getattr(model.tasks[name], 'adapter', None)
    # The statistics of an adapter are batch norm by type, and see no image.
    own = set(adapter.modules()) if adapter is not None else set()
    for module in model.tasks[name].modules():
        if isinstance(module, _BatchNorm) and module not in own:
            yield module.register_forward_pre_hook(seen)


def probe_sizes(model: 'AllInOne') -> list[int]:
    """Heights and widths of the blank image, in the order of the attempts.

    The first is the smallest one that has the places that the tasks need. The last is that of the
    training images, where it is known.
    """
    smallest = max(
        model.kinds[name].probe_size(task, PROBE_SIZE) for name, task in model.tasks.items()
    )
    largest = training_size(model)
    larger = (largest,) if largest > smallest else LARGER
    return [smallest, *(size for size in larger if size > smallest)]


def training_size(model: 'AllInOne') -> int:
    """Longest side of the training images where a preprocessor or the backbone fixes it, else 0."""
    sizes = [model.kinds[name].training_size(task) for name, task in model.tasks.items()]
    sizes.append(longest_side(getattr(model.backbone, 'img_size', None)))
    return max(filter(None, sizes), default=0)


def _failures(model: 'AllInOne', param: Tensor) -> dict[str, Failure]:
    """Failure of each task that passes at no size, by config key.

    That at the size of training where it is known, else the first one. Where the backbone passes at
    no size, its failure alone.
    """
    failures: dict[str, Failure] = {}
    pending, passed = list(model.tasks), False
    decisive = training_size(model)
    for size in probe_sizes(model):
        blank = torch.zeros(1, 3, size, size, device=param.device, dtype=param.dtype)
        try:
            maps = run_backbone(model.backbone, blank)
        except Exception as error:
            failures.setdefault('model.backbone', (size, error))
            continue
        try:
            maps, alone = _with_neck(model, maps, size), maps
        except Exception as error:
            failures.setdefault('model.shared_neck', (size, error))
            continue
        if not passed:
            _check_features(model, maps, alone, size)
        passed = True
        for name in list(pending):
            failure = _failure(model, name, blank, maps)
            if failure is None:
                pending.remove(name)
            elif (key := f'model.tasks.{name}') not in failures or size == decisive:
                failures[key] = size, failure
        if not pending:
            break
    keys = {f'model.tasks.{name}' for name in pending}
    keys = keys if passed else {'model.backbone', 'model.shared_neck'}
    return {key: failure for key, failure in failures.items() if key in keys}


def _failure(
    model: 'AllInOne', name: str, blank: Tensor, maps: tuple[Tensor, ...]
) -> Exception | None:
    """What a task raises on an image with these feature maps.

    Heads of a backbone that returns a bare map want it in a tuple, as most heads do, or bare.
    """
    view, first = model.view(name), None
    for view.bare in (False, True) if isinstance(maps, SingleMap) else (False,):
        seen = view.select(maps)
        try:
            with backbone_pass(model.shared_part([name]), [view], blank):
                model.kinds[name].probe(f'model.tasks.{name}', model.tasks[name], blank, seen)
            return None
        except Exception as error:
            first = first or error
    view.bare = False
    return first


def _with_neck(model: 'AllInOne', maps: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
    """The feature maps of the backbone, and those of the shared neck if there is one.

    Raises:
        ConfigError: If the neck does not fit the backbone's.
    """
    shared = model.shared_part()
    if not isinstance(shared, BackboneWithNeck):
        return maps
    key, chosen = 'model.shared_neck', shared.feature_indices
    _check_range(f'{key}.feature_indices', chosen or (), 'model.backbone', maps, size)
    seen = maps if chosen is None else tuple(maps[index] for index in chosen)
    with fitting('model', model, ('shared_neck',), 'the backbone', seen, size, key):
        return shared.with_neck(maps)


def _check_range(
    key: str, features: Sequence[int], giver: str, maps: Sequence[Tensor], size: int
) -> None:
    for index in features:
        if not 0 <= index < len(maps):
            raise ConfigError(
                f'{key} is {tuple(features)}, but {index} is out of '
                f'range: {giver} gives {len(maps)} maps ({describe(maps, size)})'
            )


def _check_features(
    model: 'AllInOne', maps: tuple[Tensor, ...], alone: tuple[Tensor, ...], size: int
) -> None:
    """Check the indices of all tasks, by the maps of a pass and those of the backbone alone."""
    chosen = getattr(model.shared_part(), 'feature_indices', None)
    read = set(range(len(alone)) if chosen is None else chosen) if model.neck_tasks else set()
    for name in model.tasks:
        view = model.view(name)
        given = maps[len(alone) :] if view.of_neck else alone
        features = view.feature_indices
        features = tuple(range(len(given))) if features is None else features
        giver = 'model.shared_neck' if view.of_neck else 'model.backbone'
        _check_range(f'model.tasks.{name}.feature_indices', features, giver, given, size)
        if not view.of_neck:
            read.update(features)
    if len(alone) - 1 not in read:
        print_log(
            f'No task reads map {len(alone) - 1} of model.backbone, the last one; what only '
            'that map needs is computed for nothing and not trained. Leave it out of '
            'model.backbone.out_indices.',
            'current',
        )
