"""Channels, indices and strides of mmseg's heads, from the backbone's feature maps."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from allinone.config.feature_maps import FeatureMap

from .neck_wiring import after_necks, fill_inputs, usual_inputs
from .wiring import (
    LAST_STRIDE,
    PIXEL_DECODER,
    Wiring,
    accepts,
    at,
    class_of,
    is_auto,
    left_out,
    pyramid,
    require_levels_of_masks,
    require_pyramid,
    with_channels,
)

LIBRARY = 'mmseg'
HEADS = ('decode_head', 'auxiliary_head')
SEVERAL = {'multiple_select', 'resize_concat'}  # ``input_transform`` of heads of several maps
LOW_LEVEL = 'c1_in_channels'  # Of DeepLabV3+, whose decoder takes a fine map, too
INNER = 'kernel_generate_head'  # Of K-Net, around a head of any kind
OTHERS = 'SideAdapterCLIPHead'  # Takes images and features of its own encoder.


def wire_segmentor(wiring: Wiring) -> None:
    """Fill what the config of a segmentor leaves out.

    Raises:
        ConfigError: If a head combines several strides, and the backbone has one.
    """
    cfg, neck = wiring.cfg, wiring.cfg.get('neck')
    heads = [(path, head) for name in HEADS for path, head in _listed(name, cfg.get(name))]
    follows = isinstance(neck, dict) and _accepts(neck, 'in_channels')
    if (
        (follows and left_out(neck, 'in_channels'))
        or is_auto(cfg, 'feature_indices')
        or any(left_out(head, 'in_channels') or is_auto(head, 'in_index') for _, head in heads)
    ):
        levels = _levels(wiring, neck, [head for _, head in heads])
        for path, head in heads:
            _head(wiring, path, head, levels)


def _levels(wiring: Wiring, neck: Any, heads: Sequence[Mapping]) -> list[FeatureMap]:
    """The maps that heads get, of which ``in_index`` selects some."""
    if isinstance(neck, dict):
        maps = usual_inputs(wiring, neck, LIBRARY)
        maps = fill_inputs(wiring, neck, 'neck', LIBRARY, maps)
        if _accepts(neck, 'num_outs'):
            wiring.fill_absent(neck, 'num_outs', len(maps), 'neck')
        return after_necks(wiring, dict(neck=neck), LIBRARY, maps)
    levels = pyramid(_usable(wiring, wiring.levels))
    of_masks = any(PIXEL_DECODER in head for head in heads)
    # Heads of masks take all maps. An index that is written counts all of the backbone.
    reduced = of_masks and all(left_out(head, 'in_index') for head in heads)
    return wiring.choose(levels if reduced else wiring.maps)


def _usable(wiring: Wiring, maps: Sequence[FeatureMap]) -> list[FeatureMap]:
    """The maps with places; of a shared neck not those that are too coarse for pixels."""
    spatial = [m for m in maps if m.stride is not None]
    fine = [m for m in spatial if not wiring.of_neck or (m.stride or 0) <= LAST_STRIDE]
    return fine or spatial


def _head(wiring: Wiring, path: str, head: dict, levels: Sequence[FeatureMap]) -> None:
    if PIXEL_DECODER in head:
        require_levels_of_masks(f'{wiring.key}.{path}', head, levels)
        wiring.fill_absent(head, 'in_channels', [m.channels for m in levels], path)
        if _accepts(head, 'strides'):
            wiring.fill_absent(head, 'strides', [m.stride for m in levels], path)
        return
    several = _takes_several(head)
    if left_out(head, 'in_channels') or is_auto(head, 'in_index'):
        if left_out(head, 'in_index') or head['in_index'] is None:
            chosen = _chosen(wiring, path, head, levels, several)
            indices = [levels.index(found) for found in chosen]
            wiring.fill(head, 'in_index', indices if several else indices[-1], path)
        else:
            chosen = _written(wiring, path, head['in_index'], levels)
        channels = [m.channels for m in chosen]
        wiring.fill_absent(head, 'in_channels', channels if several else channels[-1], path)
        if _accepts(head, 'feature_strides'):
            wiring.fill_absent(head, 'feature_strides', [m.stride for m in chosen], path)
    if _accepts(head, LOW_LEVEL) and left_out(head, LOW_LEVEL):
        wiring.fill(head, LOW_LEVEL, levels[0].channels, path)


def _written(
    wiring: Wiring, path: str, index: Any, levels: Sequence[FeatureMap]
) -> list[FeatureMap]:
    """The maps of an index or of several; mmseg counts from the end, too."""
    indices = index if isinstance(index, (tuple, list)) else [index]
    indices = [i + len(levels) if -len(levels) <= i < 0 else i for i in indices]
    giver = 'neck' if isinstance(wiring.cfg.get('neck'), dict) else wiring.giver
    return at(f'{wiring.key}.{path}.in_index', levels, indices, giver)


def _chosen(
    wiring: Wiring, path: str, head: Mapping, levels: Sequence[FeatureMap], several: bool
) -> list[FeatureMap]:
    """The maps of a head without ``in_index``: those of its channels, if they are written."""
    maps = _usable(wiring, levels)
    if path.startswith(HEADS[1]) and not several:
        maps = maps[:-1] or maps  # A further head helps the map before the last.
    usual = pyramid(maps) if several else maps[-1:]
    if not left_out(head, 'in_channels'):
        written = head['in_channels']
        return with_channels(maps, written) or with_channels(levels, written) or usual
    if several:
        require_pyramid(f'{wiring.key}.{path}', str(head.get('type')), levels)
    return usual


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
