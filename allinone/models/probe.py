"""Does every task fit the trunk? Found out when the model is built, not at the first batch."""

from collections.abc import Sequence
from contextlib import contextmanager
from inspect import signature

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from allinone.errors import ConfigError

from .samples import make_samples
from .shared_backbone import run_trunk, trunk_pass

PROBE_SIZE = 128
HEADS = ('head', 'decode_head', 'rpn_head', 'bbox_head', 'roi_head', 'panoptic_head')


@torch.no_grad()
def check_tasks(model: nn.Module) -> None:
    """Run a blank picture through the trunk and each task, and compare what they expect.

    Raises:
        ConfigError: If ``features`` is out of range, a neck's or head's channels are not those
            of the maps it gets, or anchor strides are not those of the neck's maps.
    """
    param = next(model.backbone.parameters())
    size = probe_size(model)
    blank = torch.zeros(1, 3, size, size, device=param.device, dtype=param.dtype)
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        try:
            maps = run_trunk(model.backbone, blank)
        except (RuntimeError, AssertionError, ValueError) as error:
            print_log(
                f'model.backbone does not take a {size} x {size} picture, so '
                f'the tasks were not checked against it: {error}',
                'current',
            )
            return
        _check_features(model, maps, size)
        for name, task in model.tasks.items():
            _check_task(f'model.tasks.{name}', model.backbone, task, blank, maps)
    finally:
        for module, mode in training.items():
            module.training = mode


def probe_size(model: nn.Module) -> int:
    """Height and width of the probe: detectors that choose queries among places need as many."""
    queries = [
        task.num_queries for task in model.tasks.values() if getattr(task, 'as_two_stage', False)
    ]
    size = PROBE_SIZE
    # Their finest map has a stride of 8 or less.
    while (size // 8) ** 2 < max(queries, default=0):
        size *= 2
    return size


def _describe(maps, size: int) -> str:
    maps = maps if isinstance(maps, (tuple, list)) else (maps,)
    return ', '.join(
        f'{i}: {m.shape[1]} channels at stride {size // m.shape[-1]}'
        if m.dim() == 4
        else f'{i}: shape {tuple(m.shape)}'
        for i, m in enumerate(maps)
    )


def _check_features(model: nn.Module, maps: tuple[Tensor, ...], size: int) -> None:
    read = set()
    for name, task in model.tasks.items():
        features = task.backbone.features
        features = tuple(range(len(maps))) if features is None else features
        for index in features:
            if not 0 <= index < len(maps):
                raise ConfigError(
                    f'model.tasks.{name}.features is {features}, but {index} is out of range: '
                    f'model.backbone gives {len(maps)} maps ({_describe(maps, size)})'
                )
        read.update(features)
    if len(maps) - 1 not in read:
        print_log(
            f'No task reads map {len(maps) - 1} of model.backbone, the last one; what only '
            'that map needs is computed for nothing and not trained. Leave it out of '
            'model.backbone.out_indices.',
            'current',
        )


def _check_task(
    key: str, trunk: nn.Module, task: nn.Module, blank: Tensor, maps: tuple[Tensor, ...]
) -> None:
    features = task.backbone.features
    seen = maps if features is None else tuple(maps[i] for i in features)
    with trunk_pass(trunk, [task.backbone], blank):
        size = blank.shape[-1]
        with _fitting(key, task, ('neck',), 'the trunk', seen, size):
            levels = task.extract_feat(blank)
        samples = make_samples(task, blank, [blank.shape[-2:]])
        giver = 'the trunk' if getattr(task, 'neck', None) is None else 'its neck'
        with _fitting(key, task, HEADS, giver, levels, size):
            task(blank, samples, mode='predict' if _wants_samples(task) else 'tensor')
        auxiliary = getattr(task, 'auxiliary_head', None)
        with _fitting(key, task, ('auxiliary_head',), giver, levels, size):
            for head in auxiliary if isinstance(auxiliary, nn.ModuleList) else [auxiliary]:
                if head is not None:
                    head(levels)
    _check_strides(key, task, levels, size)


def _wants_samples(task: nn.Module) -> bool:
    """Whether mmseg's ``mode='tensor'`` fails: it hands its heads maps alone (MaskFormer's)."""
    head = getattr(task, 'decode_head', None)
    return head is not None and 'batch_data_samples' in signature(head.forward).parameters


@contextmanager
def _fitting(key: str, task: nn.Module, parts: Sequence[str], giver: str, maps, size: int):
    """Say of what goes wrong inside that the first of ``parts`` does not fit ``maps``."""
    try:
        yield
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        name = next((part for part in parts if getattr(task, part, None) is not None), parts[0])
        channels = getattr(getattr(task, name, None), 'in_channels', None)
        raise ConfigError(
            f'{key}.{name}{f" has in_channels={channels} and" if channels else ""} does not fit '
            f'the maps it gets from {giver} ({_describe(maps, size)}): '
            f'{error or type(error).__name__}; set its in_channels, or {key}.features, to match'
        ) from error


def _check_strides(key: str, task: nn.Module, levels, size: int) -> None:
    head = getattr(task, 'bbox_head', None) or getattr(task, 'rpn_head', None)
    generator = getattr(head, 'prior_generator', None)
    if generator is None or not isinstance(levels, (tuple, list)):
        return
    expected = [
        stride[0] if isinstance(stride, (tuple, list)) else stride for stride in generator.strides
    ]
    found = [size / level.shape[-1] for level in levels]
    # Below one pixel a map says nothing about its stride.
    pairs = [(e, f) for e, f in zip(expected, found) if e <= size]
    if len(expected) != len(found) or any(e != f for e, f in pairs):
        raise ConfigError(
            f'{key}: its head expects maps at strides {expected}, but its neck gives strides '
            f'{[int(f) for f in found]}; change the strides of the head, or {key}.features'
        )
