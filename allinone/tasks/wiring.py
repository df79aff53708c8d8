"""Channels, strides and numbers of levels that a task's config leaves out.

A key is left out if it is absent or ``'auto'``. The backbone's feature maps say the rest. Values
that are written in the config stay, and select the feature maps that fit them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from mmengine.registry import MODELS as MMENGINE_MODELS

from allinone.config.build_errors import accepted_keys
from allinone.config.feature_maps import FeatureMap, described
from allinone.errors import ConfigError

AUTO = 'auto'
LAST_STRIDE = 32  # Of the maps of a shared neck that heads of one map, or of segmentation, use
PIXEL_DECODER = 'pixel_decoder'  # Of mask classification, which takes all maps with their strides


class Wiring:
    """What is left out of a task's config, filled in place.

    Args:
        key: The config key of the task, for messages.
        cfg: Its config.
        maps: Gives the backbone's feature maps; called once something is left out.
        of_neck: Whether they are those of the shared neck.

    Attributes:
        filled: ``{path below the task: value}`` of what was filled.
    """

    def __init__(
        self,
        key: str,
        cfg: Any,
        maps: Callable[[], Sequence[FeatureMap]],
        of_neck: bool = False,
    ):
        self.key, self.cfg, self.of_neck = key, cfg, of_neck
        self.giver = 'shared neck' if of_neck else 'backbone'
        self.filled: dict[str, Any] = {}
        self._maps = maps

    @cached_property
    def maps(self) -> list[FeatureMap]:
        """The feature maps that the task selects: those of ``feature_indices``, or all."""
        every, chosen = list(self._maps()), self.cfg.get('feature_indices')
        if self.chooses:
            return every
        if not isinstance(chosen, (tuple, list)) or not all(type(i) is int for i in chosen):
            raise ConfigError(
                f'{self.key}.feature_indices is {chosen!r}; give numbers of feature maps, as in '
                '(0, 2)'
            )
        return at(f'{self.key}.feature_indices', every, chosen, self.giver)

    @property
    def levels(self) -> list[FeatureMap]:
        """Those with places, one of each stride, by stride.

        Raises:
            ConfigError: If none has places.
        """
        found = pyramid(self.maps)
        if not found:
            raise ConfigError(
                f'{self.key} needs a feature map with places, but the {self.giver} gives '
                f"{described(self.maps)}; change its out_type (of a transformer, to 'featmap')"
            )
        return found

    @property
    def chooses(self) -> bool:
        """Whether the maps are to be chosen."""
        return self.cfg.get('feature_indices') is None or is_auto(self.cfg, 'feature_indices')

    def choose(self, maps: Sequence[FeatureMap]) -> list[FeatureMap]:
        """Let the task select these maps, unless its config says which."""
        if not self.chooses:
            return self.maps
        indices = tuple(found.number for found in maps)
        if indices != tuple(range(len(self.maps))) or is_auto(self.cfg, 'feature_indices'):
            self.fill(self.cfg, 'feature_indices', indices)
        return list(maps)

    def fill(self, part: Any, name: str, value: Any, path: str = '') -> None:
        part[name] = value
        self.filled[f'{path}.{name}'.strip('.')] = value

    def fill_absent(self, part: Any, name: str, value: Any, path: str) -> None:
        """Fill a key that is left out."""
        if left_out(part, name):
            self.fill(part, name, value, path)

    def words(self) -> str:
        return ', '.join(f'{path} {_short(value)}' for path, value in self.filled.items())


def left_out(part: Mapping, name: str) -> bool:
    return name not in part or is_auto(part, name)


def is_auto(part: Mapping, name: str) -> bool:
    value = part.get(name)
    return isinstance(value, str) and value.lower() == AUTO


def at(
    key: str, maps: Sequence[FeatureMap], indices: Sequence[int], giver: str
) -> list[FeatureMap]:
    """The maps of these indices.

    Raises:
        ConfigError: If there is none of an index.
    """
    wrong = next((index for index in indices if not 0 <= index < len(maps)), None)
    if wrong is not None:
        raise ConfigError(
            f'{key} has {wrong}, but the {giver} has {len(maps)} feature '
            f'map{"" if len(maps) == 1 else "s"} ({described(maps)}); give a number from 0 to '
            f'{len(maps) - 1}'
        )
    return [maps[index] for index in indices]


def pyramid(maps: Sequence[FeatureMap]) -> list[FeatureMap]:
    """The maps with places, one of each stride: of several the last, which is the deepest."""
    last = {found.stride: found for found in maps if found.stride is not None}
    return [last[stride] for stride in sorted(last)]


def with_channels(
    maps: Sequence[FeatureMap], channels: int | Sequence[int]
) -> list[FeatureMap] | None:
    """The deepest maps that have these channels, in their order; None if there are none."""
    rest, found = list(maps), []
    for wanted in reversed(channels if isinstance(channels, (tuple, list)) else [channels]):
        while rest and rest[-1].channels != wanted:
            rest.pop()
        if not rest:
            return None
        found.append(rest.pop())
    return found[::-1]


def with_strides(
    key: str, maps: Sequence[FeatureMap], strides: Sequence[float], giver: str
) -> list[FeatureMap]:
    """The map of each stride.

    Raises:
        ConfigError: If the backbone has none of a stride.
    """
    found = {m.stride: m for m in pyramid(maps)}
    for stride in strides:
        if stride not in found:
            near = min(found, key=lambda other: abs((other or 0) - stride), default=None)
            raise ConfigError(
                f'{key} has the stride {stride}, of which the {giver} has no feature map '
                f'({described(maps)})' + (f'; the nearest is {near}' if near else '')
            )
    return [found[stride] for stride in strides]


def wire_last_map(wiring: Wiring, library: str) -> None:
    """Let a model with one head of pooled features select the last map, and fill its channels."""
    head = wiring.cfg.get('head')
    if not isinstance(head, dict) or not accepts(head, 'in_channels', library):
        return
    if left_out(head, 'in_channels') or is_auto(wiring.cfg, 'feature_indices'):
        # Of a shared neck no map that it only pools
        maps = [m for m in wiring.maps if not wiring.of_neck or (m.stride or 0) <= LAST_STRIDE]
        last = wiring.choose((maps or wiring.maps)[-1:])[-1]
        wiring.fill_absent(head, 'in_channels', last.channels, 'head')


def require_pyramid(key: str, what: str, maps: Sequence[FeatureMap]) -> None:
    """Refuse maps of a single stride where a part combines several.

    Raises:
        ConfigError: If so.
    """
    if len(pyramid(maps)) < 2:
        raise ConfigError(
            f'{key} is a {what}, which combines maps of several strides, but the backbone has no '
            f'two ({described(maps)}), as a plain vision transformer; use '
            "neck=dict(type='SimpleFeaturePyramid', out_channels=...), which makes some of one (as "
            'NAME_vit of configs/_base_/tasks has it), or give the backbone more out_indices'
        )


def require_levels_of_masks(key: str, head: Mapping, maps: Sequence[FeatureMap]) -> None:
    """Refuse fewer maps than the pixel decoder of a head of mask classification refines.

    Raises:
        ConfigError: If so.
    """
    if left_out(head, 'in_channels') and len(maps) < (head[PIXEL_DECODER].get('num_outs') or 1):
        require_pyramid(key, str(head.get('type')), maps)


def _short(value: Any) -> str:
    return str(list(value)) if isinstance(value, (tuple, list)) else str(value)


def class_of(part: Mapping, library: str) -> type | None:
    """The class of a part of a task's model; None if there is none of the name."""
    cls = part.get('type')
    if not isinstance(cls, str):
        return cls
    scope = part.get('_scope_', library)
    names = [cls] if '.' in cls else [f'{scope}.{cls}', f'allinone.{cls}']
    return next(filter(None, map(MMENGINE_MODELS.get, names)), None)


def accepts(part: Mapping, name: str, library: str) -> bool:
    """Whether the class of a part of a task's model takes an option."""
    cls = class_of(part, library)
    return cls is not None and name in accepted_keys(cls)
