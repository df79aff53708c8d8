"""Channels and levels of a shared neck, from the backbone's feature maps."""

from .wiring import Wiring, accepts, left_out, pyramid, require_pyramid

LIBRARY = 'allinone'  # Types of a shared neck have the prefix of their library.
ONE_MAP = 'scales'  # A key of necks that make several levels of the last map
LEVELS = 5  # Of a feature pyramid whose number is left out


def wire_shared_neck(wiring: Wiring) -> None:
    """Fill what the config of a shared neck leaves out: it takes one map of each stride.

    Raises:
        ConfigError: If it combines several strides, and the backbone has one.
    """
    neck = wiring.cfg
    if not accepts(neck, 'in_channels', LIBRARY) or not left_out(neck, 'in_channels'):
        return
    if accepts(neck, ONE_MAP, LIBRARY) and not accepts(neck, 'num_outs', LIBRARY):
        last = wiring.choose([m for m in wiring.maps if m.stride is not None][-1:])
        wiring.fill(neck, 'in_channels', last[-1].channels)
        return
    if wiring.chooses:
        require_pyramid(wiring.key, str(neck.get('type')), wiring.maps)
    maps = wiring.choose(pyramid(wiring.maps)) if wiring.chooses else wiring.maps
    wiring.fill(neck, 'in_channels', [m.channels for m in maps])
    if accepts(neck, 'num_outs', LIBRARY):
        wiring.fill_absent(neck, 'num_outs', max(LEVELS, len(maps)), '')
