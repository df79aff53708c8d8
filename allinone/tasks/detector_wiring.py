"""Channels, strides and levels of mmdet's necks and heads, from the backbone's feature maps."""

from collections.abc import Mapping, Sequence
from typing import Any

from allinone.config.feature_maps import FeatureMap, described
from allinone.errors import ConfigError

from .wiring import (
    AUTO,
    PIXEL_DECODER,
    Wiring,
    accepts,
    is_auto,
    left_out,
    pyramid,
    require_levels_of_masks,
    require_pyramid,
    with_strides,
)

LIBRARY = 'mmdet'
STAGE = ('rpn_head', 'bbox_head')  # Heads with priors on all levels
ALL_LEVELS = ('roi_head', 'panoptic_head')  # Those of detectors that also use stride 4
FIRST_STRIDE = 8  # Of one-stage detectors
LEVELS = 5  # Of a feature pyramid whose number is left out
ROI_LEVELS = 4
OPTIONAL_OUTS = 'ChannelMapper'  # Without num_outs it gives as many maps as it takes.
EXTRACTORS = ('bbox_roi_extractor', 'mask_roi_extractor')
ONE_MAP = 'scales'  # A key of necks that make several levels of the last map


def wire_detector(wiring: Wiring) -> None:
    """Fill what the config of a detector leaves out.

    Raises:
        ConfigError: If the backbone has no map of a stride that the config wants.
    """
    cfg = wiring.cfg
    if not _anything_left_out(cfg):
        return
    channels, strides = _neck(wiring)
    for name in STAGE:
        head = cfg.get(name)
        if isinstance(head, dict):
            _dense(wiring, name, head, channels, strides)
    if isinstance(cfg.get('roi_head'), dict):
        _rois(wiring, cfg.roi_head, channels, strides)
    if isinstance(cfg.get('panoptic_head'), dict):
        maps = wiring.maps if wiring.chooses is False else wiring.choose(pyramid(wiring.maps))
        if PIXEL_DECODER in cfg.panoptic_head:
            require_levels_of_masks(f'{wiring.key}.panoptic_head', cfg.panoptic_head, maps)
        wiring.fill_absent(
            cfg.panoptic_head, 'in_channels', [m.channels for m in maps], 'panoptic_head'
        )
        if _accepts(cfg.panoptic_head, 'strides'):
            wiring.fill_absent(
                cfg.panoptic_head, 'strides', [m.stride for m in maps], 'panoptic_head'
            )


def _anything_left_out(cfg: Mapping) -> bool:
    neck, heads = _necks(cfg), [cfg[name] for name in STAGE if isinstance(cfg.get(name), dict)]
    if is_auto(cfg, 'feature_indices'):
        return True
    if neck and left_out(neck[0], 'in_channels'):
        return True
    if any(is_auto(part, name) for part in neck for name in ('num_outs', 'scales')):
        return True
    for head in heads:
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


def _neck(wiring: Wiring) -> tuple[Any, list[int]]:
    """Fill the neck; the channels (a number, or one a level) and strides of what heads get."""
    cfg, necks = wiring.cfg, _necks(wiring.cfg)
    if not necks and wiring.of_neck:
        maps = _levels_of_shared_neck(wiring)
        return maps[-1].channels, [m.stride or 0 for m in maps]
    if not necks:
        maps = wiring.choose(pyramid(wiring.maps)[-1:]) if wiring.chooses else wiring.maps
        channels = [m.channels for m in maps]
        return channels[0] if len(channels) == 1 else channels, [m.stride or 0 for m in maps]
    neck, path = necks[0], 'neck' if isinstance(cfg.neck, dict) else 'neck.0'
    if _accepts(neck, ONE_MAP):
        return _from_one_map(wiring, neck, path)
    written = _written_strides(cfg)
    maps = _inputs(wiring, neck, path, written)
    single = _single_input(neck)
    wiring.fill_absent(
        neck, 'in_channels', maps[-1].channels if single else [m.channels for m in maps], path
    )
    strides = [m.stride or 0 for m in (maps[-1:] if single else maps)]
    start = neck.get('start_level') or 0
    strides = strides[start:]
    if _accepts(neck, 'num_outs'):
        count = cfg.get('num_feature_levels')
        optional = str(neck.get('type')).endswith(OPTIONAL_OUTS) and not isinstance(count, int)
        if is_auto(neck, 'num_outs') or ('num_outs' not in neck and not optional):
            count = len(written) or count or max(LEVELS, len(strides))
            wiring.fill(neck, 'num_outs', count, path)
        count = neck.get('num_outs') or len(strides)
        while len(strides) < count:
            strides.append(2 * strides[-1])
        strides = strides[:count]
    return neck.get('out_channels', [m.channels for m in maps]), strides


def _levels_of_shared_neck(wiring: Wiring) -> list[FeatureMap]:
    """The maps of the shared neck that heads get: those of the strides that the config says."""
    if not wiring.chooses:
        return wiring.maps
    written, cfg = _written_strides(wiring.cfg), wiring.cfg
    if written:
        return wiring.choose(
            with_strides(f'{wiring.key} (strides of its head)', wiring.maps, written)
        )
    levels, count = pyramid(wiring.maps), cfg.get('num_feature_levels')
    if isinstance(count, int):
        return wiring.choose(levels[-count:])
    return wiring.choose(levels[-1:] if _is_detr(cfg) else _of_stage(cfg, levels))


def _of_stage(cfg: Mapping, levels: list[FeatureMap]) -> list[FeatureMap]:
    """Without the maps of strides that one-stage detectors do not use."""
    if any(isinstance(cfg.get(name), dict) for name in ALL_LEVELS):
        return levels
    return [m for m in levels if (m.stride or 0) >= FIRST_STRIDE] or levels


def _from_one_map(wiring: Wiring, neck: dict, path: str) -> tuple[Any, list[int]]:
    """A neck that makes all levels of the last map."""
    maps = [m for m in wiring.maps if m.stride is not None]
    if not maps:
        raise ConfigError(
            f'{wiring.key}.{path} needs a feature map with places, but the backbone gives '
            f'{described(wiring.maps)}; change its out_type'
        )
    last = wiring.choose(maps[-1:])[-1]
    wiring.fill_absent(neck, 'in_channels', last.channels, path)
    scales = neck.get(ONE_MAP) or (4, 2, 1, 0.5)
    strides = [int(last.stride / scale) for scale in scales]  # type: ignore[operator]
    for _ in range(neck.get('num_extra') or 0):
        strides.append(2 * strides[-1])
    return neck.get('out_channels'), strides


def _inputs(wiring: Wiring, neck: Mapping, path: str, written: Sequence[int]) -> list[FeatureMap]:
    """The maps that a neck takes."""
    if not wiring.chooses:
        return wiring.maps
    if not _single_input(neck):
        require_pyramid(f'{wiring.key}.{path}', str(neck.get('type')), wiring.maps)
    levels, cfg = pyramid(wiring.maps), wiring.cfg
    if written:
        largest = max(m.stride or 0 for m in levels)
        wanted = [stride for stride in written if stride <= largest]
        where = f'{wiring.key} (strides of its head)'
        return wiring.choose(with_strides(where, wiring.maps, wanted or written[:1]))
    count = cfg.get('num_feature_levels')
    if isinstance(count, int):
        # Of several levels the last is made by the neck.
        return wiring.choose(levels[-max(1, count - 1) :])
    levels = _of_stage(cfg, levels)
    return wiring.choose(levels[-1:] if _single_input(neck) or _is_detr(cfg) else levels)


def _dense(wiring: Wiring, name: str, head: dict, channels: Any, strides: Sequence[int]) -> None:
    several = isinstance(channels, (list, tuple))
    if _accepts(head, 'in_channels'):
        own = left_out(head, 'in_channels')
        wiring.fill_absent(head, 'in_channels', channels[-1] if several else channels, name)
    else:
        own = False
    generator = head.get('anchor_generator')
    if isinstance(generator, dict):
        wiring.fill_absent(generator, 'strides', list(strides), f'{name}.anchor_generator')
    elif _accepts(head, 'strides') and (is_auto(head, 'strides') or own):
        wiring.fill_absent(head, 'strides', list(strides), name)


def _rois(wiring: Wiring, roi: dict, channels: Any, strides: Sequence[int]) -> None:
    channels = channels[-1] if isinstance(channels, (list, tuple)) else channels
    for name in EXTRACTORS:
        extractor = roi.get(name)
        if isinstance(extractor, dict):
            path = f'roi_head.{name}'
            wiring.fill_absent(extractor, 'out_channels', channels, path)
            wiring.fill_absent(extractor, 'featmap_strides', list(strides[:ROI_LEVELS]), path)
    for name in ('bbox_head', 'mask_head'):
        heads = roi.get(name)
        single = isinstance(heads, dict)
        for number, head in enumerate([heads] if single else heads or ()):
            path = f'roi_head.{name}' + ('' if single else f'.{number}')
            if _accepts(head, 'in_channels'):
                wiring.fill_absent(head, 'in_channels', channels, path)


def _necks(cfg: Mapping) -> list[dict]:
    neck = cfg.get('neck')
    return [neck] if isinstance(neck, dict) else list(neck or ())


def _written_strides(cfg: Mapping) -> list[int]:
    """Strides of priors that the config says."""
    for head in (cfg[name] for name in STAGE if isinstance(cfg.get(name), dict)):
        generator = head.get('anchor_generator')
        for part in (generator, head):
            strides = part.get('strides', AUTO) if isinstance(part, dict) else AUTO
            if not isinstance(strides, str):
                return [s[0] if isinstance(s, (tuple, list)) else s for s in strides]
    return []


def _is_detr(cfg: Mapping) -> bool:
    return 'encoder' in cfg and 'num_feature_levels' not in cfg


def _single_input(neck: Mapping) -> bool:
    return str(neck.get('type')).rpartition('.')[2] in ('DilatedEncoder', 'CTResNetNeck')


def _accepts(part: Mapping, name: str) -> bool:
    return accepts(part, name, LIBRARY)
