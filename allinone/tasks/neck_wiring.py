"""Channels and levels of necks, from the feature maps that they take."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from allinone.config.feature_maps import FeatureMap, maps_of_neck

from .wiring import Wiring, accepts, class_of, left_out, require_pyramid, with_channels

LIBRARY = 'allinone'  # Types of a shared neck have the prefix of their library.
LEVELS = 5  # Of a feature pyramid whose number is left out
ONE_MAP = ('SimpleFeaturePyramid', 'DilatedEncoder', 'CTResNetNeck')
FROM_THE_DEEPEST = ('YOLOV3Neck',)  # Counts its inputs the other way round.


def wire_shared_neck(wiring: Wiring) -> None:
    """Fill what the config of a shared neck leaves out: it takes one map of each stride.

    Raises:
        ConfigError: If it combines several strides, and the backbone has one.
    """
    neck = wiring.cfg
    if not accepts(neck, 'in_channels', LIBRARY) or not left_out(neck, 'in_channels'):
        return
    maps = usual_inputs(wiring, neck, LIBRARY)
    if wiring.chooses and combines_strides(neck, LIBRARY):
        require_pyramid(wiring.key, str(neck.get('type')), wiring.maps)
    maps = fill_inputs(wiring, neck, '', LIBRARY, maps)
    if accepts(neck, 'num_outs', LIBRARY):
        wiring.fill_absent(neck, 'num_outs', max(LEVELS, len(maps)), '')


def usual_inputs(wiring: Wiring, neck: Mapping, library: str) -> list[FeatureMap]:
    """One map of each stride for a neck that combines strides, else all."""
    levels = wiring.levels
    several = len(levels) > 1 and combines_strides(neck, library)
    return levels if several or takes_one(neck, library) else wiring.maps


def fill_inputs(
    wiring: Wiring, neck: dict, path: str, library: str, maps: Sequence[FeatureMap]
) -> list[FeatureMap]:
    """Fill ``in_channels`` of a neck; the maps that it takes.

    Args:
        wiring: Of the task, or of the shared neck itself.
        neck: Its config.
        path: Where it is below that of ``wiring``.
        library: That of the task.
        maps: What it takes if its config does not say channels: the last, if it takes one map.
    """
    single, reverse = takes_one(neck, library), -1 if _is(neck, library, FROM_THE_DEEPEST) else 1
    default = _default_channels(neck, library)
    if not left_out(neck, 'in_channels'):
        written = neck['in_channels']
        written = written[::reverse] if isinstance(written, (tuple, list)) else [written]
        maps = with_channels(maps, written) or with_channels(wiring.maps, written) or wiring.maps
    elif single or isinstance(default, tuple):
        maps = maps[-1 if single else -len(default) :]
    maps = wiring.choose(maps)
    if accepts(neck, 'in_channels', library):
        channels = [found.channels for found in maps][::reverse]
        value: Any = tuple(channels) if isinstance(default, tuple) else channels
        wiring.fill_absent(neck, 'in_channels', channels[-1] if single else value, path)
    return maps


def after_necks(
    wiring: Wiring, necks: Mapping[str, Mapping], library: str, maps: Sequence[FeatureMap]
) -> list[FeatureMap]:
    """What the necks of a task, ``{path: config}``, make of feature maps one after another.

    Raises:
        ConfigError: If one cannot be built, or does not take the maps.
    """
    for path, neck in necks.items():
        part = dict(neck, _scope_=neck.get('_scope_', library))
        part['type'] = class_of(neck, library) or neck.get('type')
        maps = maps_of_neck(f'{wiring.key}.{path}', part, maps, wiring.key)
    return list(maps)


def takes_one(neck: Mapping, library: str) -> bool:
    """Whether a neck takes one map."""
    return _is(neck, library, ONE_MAP)


def combines_strides(neck: Mapping, library: str) -> bool:
    """Whether a neck combines maps of several strides: not if it takes one, or scales each."""
    return not takes_one(neck, library) and not accepts(neck, 'scales', library)


def _is(neck: Mapping, library: str, names: Sequence[str]) -> bool:
    cls = class_of(neck, library)
    return cls is not None and any(part.__name__ in names for part in inspect.getmro(cls))


def _default_channels(neck: Mapping, library: str) -> Any:
    """``in_channels`` of the class of a neck, whose number of maps and type it needs."""
    cls = class_of(neck, library)
    parameters = inspect.signature(cls).parameters if cls else {}
    return parameters['in_channels'].default if 'in_channels' in parameters else None
