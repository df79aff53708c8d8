"""Channels, indices and strides of mmseg's heads, from the backbone's feature maps."""

import inspect
from collections.abc import Mapping, Sequence

from allinone.config.feature_maps import FeatureMap

from .wiring import (
    PIXEL_DECODER,
    Wiring,
    accepts,
    class_of,
    is_auto,
    left_out,
    pyramid,
    require_levels_of_masks,
    require_pyramid,
)

LIBRARY = 'mmseg'
HEADS = ('decode_head', 'auxiliary_head')
SEVERAL = {'multiple_select', 'resize_concat'}  # ``input_transform`` of heads of several maps
LOW_LEVEL = 'c1_in_channels'  # Of DeepLabV3+, whose decoder takes a fine map, too
LAST_STRIDE = 32  # Of the maps of a shared neck that heads use
INNER = 'kernel_generate_head'  # Of K-Net, around a head of any kind
OTHERS = 'SideAdapterCLIPHead'  # Takes images and features of its own encoder.


def wire_segmentor(wiring: Wiring) -> None:
    """Fill what the config of a segmentor leaves out.

    Raises:
        ConfigError: If a head combines several strides, and the backbone has one.
    """
    cfg = wiring.cfg
    heads = [(path, head) for name in HEADS for path, head in _listed(name, cfg.get(name))]
    neck = cfg.get('neck')
    if isinstance(neck, dict) and left_out(neck, 'in_channels') and _accepts(neck, 'in_channels'):
        levels = _neck(wiring, neck)
    elif any(left_out(head, 'in_channels') or is_auto(head, 'in_index') for _, head in heads):
        if isinstance(neck, dict):
            levels = _after(neck, wiring.maps)
        elif wiring.of_neck and wiring.chooses and not is_auto(cfg, 'feature_indices'):
            # Heads select by ``in_index``, which upstream models have, too.
            levels = [m for m in wiring.maps if (m.stride or 0) <= LAST_STRIDE] or wiring.maps
        else:
            levels = wiring.choose(pyramid(wiring.maps)) if wiring.chooses else wiring.maps
    else:
        return
    for path, head in heads:
        _head(wiring, path, head, levels)


def _neck(wiring: Wiring, neck: dict) -> list[FeatureMap]:
    maps = wiring.maps
    if _accepts(neck, 'scales') and not _accepts(neck, 'num_outs'):
        last = wiring.choose([m for m in maps if m.stride is not None][-1:])
        wiring.fill(neck, 'in_channels', last[-1].channels, 'neck')
        return _after(neck, last)
    maps = wiring.choose(pyramid(maps)) if wiring.chooses and len(pyramid(maps)) > 1 else maps
    wiring.fill(neck, 'in_channels', [m.channels for m in maps], 'neck')
    if _accepts(neck, 'num_outs'):
        wiring.fill_absent(neck, 'num_outs', len(maps), 'neck')
    return _after(neck, maps)


def _after(neck: Mapping, maps: Sequence[FeatureMap]) -> list[FeatureMap]:
    """What a neck makes of the maps."""
    channels: int = neck.get('out_channels') or 0
    scales = neck.get('scales')
    if _accepts(neck, 'scales') and not _accepts(neck, 'num_outs'):
        stride = maps[-1].stride or 1
        scales = scales or (4, 2, 1, 0.5)
        return [FeatureMap(i, channels, int(stride / scale)) for i, scale in enumerate(scales)]
    if scales is not None:  # MultiLevelNeck resizes each map.
        maps = [m._replace(stride=int((m.stride or 1) / s)) for m, s in zip(maps, scales)]
    return [FeatureMap(i, channels or m.channels, m.stride) for i, m in enumerate(maps)]


def _head(wiring: Wiring, path: str, head: dict, levels: Sequence[FeatureMap]) -> None:
    last = len(levels) - 1
    if PIXEL_DECODER in head:
        require_levels_of_masks(f'{wiring.key}.{path}', head, levels)
        wiring.fill_absent(head, 'in_channels', [m.channels for m in levels], path)
        if _accepts(head, 'strides'):
            wiring.fill_absent(head, 'strides', [m.stride for m in levels], path)
        return
    several = _takes_several(head)
    own = left_out(head, 'in_channels')
    if own and several:
        maps = levels if len(levels) > 1 else wiring.maps
        require_pyramid(f'{wiring.key}.{path}', str(head.get('type')), maps)
    if own or is_auto(head, 'in_index'):
        index = head.get('in_index', 'auto')
        if isinstance(index, str) or index is None:
            # A further head helps a map before the last.
            single = max(0, last - 1) if path.startswith(HEADS[1]) else last
            index = list(range(len(levels))) if several else single
            wiring.fill(head, 'in_index', index, path)
        chosen = [levels[i] for i in (index if isinstance(index, (list, tuple)) else [index])]
        channels = [m.channels for m in chosen]
        wiring.fill_absent(head, 'in_channels', channels if several else channels[0], path)
        if _accepts(head, 'feature_strides'):
            wiring.fill_absent(head, 'feature_strides', [m.stride for m in chosen], path)
    if _accepts(head, LOW_LEVEL) and left_out(head, LOW_LEVEL):
        wiring.fill(head, LOW_LEVEL, levels[0].channels, path)


def _listed(name: str, heads) -> list[tuple[str, dict]]:
    """``(path, config)`` of the heads that take maps of the backbone or the neck."""
    if isinstance(heads, (list, tuple)):
        return [
            part for number, head in enumerate(heads) for part in _listed(f'{name}.{number}', head)
        ]
    if not isinstance(heads, dict) or str(heads.get('type')).endswith(OTHERS):
        return []
    inner = heads.get(INNER)
    return [(f'{name}.{INNER}', inner)] if isinstance(inner, dict) else [(name, heads)]


def _takes_several(head: Mapping) -> bool:
    """Whether a head combines several maps: by its config, else by how its class is built."""
    if 'input_transform' in head:
        return head['input_transform'] is not None
    cls = class_of(head, LIBRARY)
    return cls is not None and any(
        not SEVERAL.isdisjoint(vars(part)['__init__'].__code__.co_consts)
        for part in inspect.getmro(cls)
        if part.__name__ != 'BaseDecodeHead' and inspect.isfunction(vars(part).get('__init__'))
    )


def _accepts(part: Mapping, name: str) -> bool:
    return accepts(part, name, LIBRARY)
