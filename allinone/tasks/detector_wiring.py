"""Channels, strides and levels of mmdet's necks and heads, from the backbone's feature maps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from allinone.config.feature_maps import FeatureMap

from .neck_wiring import LEVELS, after_necks, fill_inputs, takes_one
from .wiring import (
    PIXEL_DECODER,
    Wiring,
    accepts,
    is_auto,
    left_out,
    require_levels_of_masks,
    require_pyramid,
    with_strides,
)

LIBRARY = 'mmdet'
STAGE = ('rpn_head', 'bbox_head')  # Heads with priors on all levels
ALL_LEVELS = ('roi_head', 'panoptic_head')  # Those of detectors that also use stride 4
FIRST_STRIDE = 8  # Of one-stage detectors
ROI_LEVELS = 4
OPTIONAL_OUTS = 'ChannelMapper'  # Without num_outs it gives as many maps as it takes.
EXTRACTORS = ('bbox_roi_extractor', 'mask_roi_extractor')


def wire_detector(wiring: Wiring) -> None:
    """Fill what the config of a detector leaves out.

    Raises:
        ConfigError: If the backbone has no map of a stride that the config wants.
    """
    cfg = wiring.cfg
    if not _anything_left_out(cfg):
        return
    necks = _necks(cfg)
    neck = next(iter(necks.values()), None)
    follows = neck is not None and left_out(neck, 'in_channels')
    maps = _selected(wiring, neck)
    if neck is None:
        levels = wiring.choose(maps)
    else:
        path = next(iter(necks))
        maps = fill_inputs(wiring, neck, path, LIBRARY, maps)
        _fill_levels(wiring, neck, path, maps)
        levels = after_necks(wiring, necks, LIBRARY, maps)
    for name, head in _stages(cfg):
        _dense(wiring, name, head, levels, follows)
    if isinstance(cfg.get('roi_head'), dict):
        _rois(wiring, cfg.roi_head, levels)
    if isinstance(cfg.get('panoptic_head'), dict):
        _panoptic(wiring, cfg.panoptic_head, levels)


def _anything_left_out(cfg: Mapping) -> bool:
    neck = next(iter(_necks(cfg).values()), {})
    if is_auto(cfg, 'feature_indices') or is_auto(neck, 'num_outs'):
        return True
    if neck and left_out(neck, 'in_channels'):
        return True
    for _, head in _stages(cfg):
        if _accepts(head, 'in_channels') and left_out(head, 'in_channels'):
            return True
        generator = head.get('anchor_generator')
        if isinstance(generator, dict) and left_out(generator, 'strides'):
            return True
        if is_auto(head, 'strides'):
            return True
    roi = cfg.get('roi_head')
    if isinstance(roi, dict) and any(
        left_out(extractor, name)
        for extractor in map(roi.get, EXTRACTORS)
        if isinstance(extractor, dict)
        for name in ('out_channels', 'featmap_strides')
    ):
        return True
    panoptic = cfg.get('panoptic_head')
    return isinstance(panoptic, dict) and left_out(panoptic, 'in_channels')


def _selected(wiring: Wiring, neck: Mapping | None) -> list[FeatureMap]:
    """The maps for the neck, or without one for the heads, by what the config says of levels."""
    levels, cfg = wiring.levels, wiring.cfg
    if not wiring.chooses:
        return wiring.maps
    if neck:
        single = takes_one(neck, LIBRARY)
    else:
        single = not wiring.of_neck and not isinstance(cfg.get('panoptic_head'), dict)
    if neck and not single:
        require_pyramid(f'{wiring.key}.neck', str(neck.get('type')), wiring.maps)
    written, count = _written_strides(cfg), cfg.get('num_feature_levels')
    if written:
        # The neck makes what is coarser than the last map.
        wanted = [stride for stride in written if not neck or stride <= (levels[-1].stride or 0)]
        where = f'{wiring.key} (strides of its head)'
        found = with_strides(where, wiring.maps, wanted or written[:1], wiring.giver)
    elif isinstance(count, int):
        # Of several levels the last is made by the neck.
        found = levels[-max(1, count - 1 if neck else count) :]
    elif single or _is_detr(cfg):
        found = levels[-1:]
    else:
        every = any(isinstance(cfg.get(name), dict) for name in ALL_LEVELS)
        found = [m for m in levels if every or (m.stride or 0) >= FIRST_STRIDE] or levels
    # The neck skips its first maps.
    skipped = (neck or {}).get('start_level') or 0
    first = levels.index(found[0])
    return levels[max(0, first - skipped) : first] + found


def _fill_levels(wiring: Wiring, neck: dict, path: str, maps: Sequence[FeatureMap]) -> None:
    if not _accepts(neck, 'num_outs'):
        return
    count = wiring.cfg.get('num_feature_levels')
    optional = str(neck.get('type')).endswith(OPTIONAL_OUTS) and not isinstance(count, int)
    if is_auto(neck, 'num_outs') or ('num_outs' not in neck and not optional):
        used = len(maps) - (neck.get('start_level') or 0)
        count = len(_written_strides(wiring.cfg)) or count or max(LEVELS, used)
        wiring.fill(neck, 'num_outs', count, path)


def _dense(
    wiring: Wiring, name: str, head: dict, levels: Sequence[FeatureMap], follows: bool
) -> None:
    """Fill a head of all levels; ``follows``: its neck takes what the backbone gives."""
    strides = [m.stride for m in levels]
    if _accepts(head, 'in_channels'):
        follows = follows or left_out(head, 'in_channels')
        wiring.fill_absent(head, 'in_channels', _one_or_all(levels), name)
    generator = head.get('anchor_generator')
    if isinstance(generator, dict):
        wiring.fill_absent(generator, 'strides', strides, f'{name}.anchor_generator')
    elif _accepts(head, 'strides') and (is_auto(head, 'strides') or follows):
        # Strides that a class has by default are those of another backbone.
        wiring.fill_absent(head, 'strides', strides, name)


def _one_or_all(levels: Sequence[FeatureMap]) -> Any:
    """The channels of levels: a number if all have the same."""
    channels = [m.channels for m in levels]
    return channels[0] if len(set(channels)) == 1 else channels


def _rois(wiring: Wiring, roi: dict, levels: Sequence[FeatureMap]) -> None:
    channels = levels[-1].channels
    for name in EXTRACTORS:
        extractor = roi.get(name)
        if isinstance(extractor, dict):
            path = f'roi_head.{name}'
            wiring.fill_absent(extractor, 'out_channels', channels, path)
            strides = [m.stride for m in levels[:ROI_LEVELS]]
            wiring.fill_absent(extractor, 'featmap_strides', strides, path)
    for name in ('bbox_head', 'mask_head'):
        heads = roi.get(name)
        single = isinstance(heads, dict)
        for number, head in enumerate([heads] if single else heads or ()):
            path = f'roi_head.{name}' + ('' if single else f'.{number}')
            if _accepts(head, 'in_channels'):
                wiring.fill_absent(head, 'in_channels', channels, path)


def _panoptic(wiring: Wiring, head: dict, levels: Sequence[FeatureMap]) -> None:
    path = 'panoptic_head'
    if PIXEL_DECODER in head:
        require_levels_of_masks(f'{wiring.key}.{path}', head, levels)
    wiring.fill_absent(head, 'in_channels', [m.channels for m in levels], path)
    if _accepts(head, 'strides'):
        wiring.fill_absent(head, 'strides', [m.stride for m in levels], path)


def _necks(cfg: Mapping) -> dict[str, dict]:
    """``{path: config}`` of the necks, which run one after another."""
    neck = cfg.get('neck')
    if isinstance(neck, dict):
        return dict(neck=neck)
    return {f'neck.{number}': part for number, part in enumerate(neck or ())}


def _stages(cfg: Mapping) -> Iterator[tuple[str, dict]]:
    yield from ((name, cfg[name]) for name in STAGE if isinstance(cfg.get(name), dict))


def _written_strides(cfg: Mapping) -> list[float]:
    """Strides of priors that the config says."""
    for _, head in _stages(cfg):
        generator = head.get('anchor_generator')
        for part in (generator, head):
            if isinstance(part, dict) and not left_out(part, 'strides'):
                return [s[0] if isinstance(s, (tuple, list)) else s for s in part['strides']]
    return []


def _is_detr(cfg: Mapping) -> bool:
    return 'encoder' in cfg and 'num_feature_levels' not in cfg


def _accepts(part: Mapping, name: str) -> bool:
    return accepts(part, name, LIBRARY)
