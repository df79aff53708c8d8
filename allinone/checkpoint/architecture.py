"""Whether a state dict is of a backbone's architecture."""

import re
from collections.abc import Iterable

from torch import nn

from .added_parts import AddedParts
from .fitting import Fit
from .tables import computed

TOKENS = ('token', 'tokens', 'prompt')


def misfit(backbone: nn.Module, found: Fit) -> str | None:
    """The first tensor that shows that a state dict is of another architecture.

    Parts that a library adds to an architecture may lack (:class:`AddedParts`), and a head or
    layers behind the last feature map may be left.

    Args:
        backbone: The module.
        found: How the state dict fits it.

    Returns:
        A clause; None if it is of the architecture.
    """
    own = [name for name, _ in backbone.named_parameters()]
    for name in own:
        if name in found.shapes:
            return f'{name!r} has the shape {found.shapes[name]}'
    lacking = [name for name in own if name not in found.weights]
    there, left = _blocks(found.weights), _blocks(found.unexpected)
    added = AddedParts(backbone, found.weights)
    last = max((i for i, name in enumerate(own) if name in found.weights), default=0)
    for name in lacking:
        for container, index in _places(name):
            known = there.get(container, {}).keys() | left.get(container, {}).keys()
            # Single layers may follow the last one of the file, such as SSD's behind VGG.
            layer = name.removeprefix(f'{container}.').count('.') == 1 and own.index(name) > last
            if known and index > max(known) and not layer:
                return f'{name!r} is missing, for {container!r} has only {max(known) + 1} blocks'
            others = left.get(container, {}).get(index)
            if others and index in there.get(container, {}):
                return f'{name!r} is missing, and {others!r} is there instead'
        if _in_used(name, there) and name not in added:
            return f'{name!r} is missing'
    return _stem(own, found, added) or _deeper(there, left) or _left_inside(backbone, found, there)


def _in_used(name: str, there: dict[str, dict[int, str]]) -> bool:
    return any(index in there.get(container, {}) for container, index in _places(name))


def _stem(own: list[str], found: Fit, added: AddedParts) -> str | None:
    """The first layer that is missing before the first block that is used."""
    used = next((i for i, name in enumerate(own) if name in found.weights and _numbered(name)), 0)
    for name in own[:used]:
        if name not in found.weights and not name.endswith(TOKENS) and name not in added:
            return f'{name!r} is missing, and layers behind it are there'
    return None


def _deeper(there: dict[str, dict[int, str]], left: dict[str, dict[int, str]]) -> str | None:
    """The first block that the file has between blocks that are used."""
    for container, blocks in left.items():
        more = [index for index in blocks if index > max(there.get(container, {-1: ''}))]
        # Behind the last map, layers may be left.
        if container in there and more and _used_behind(container, there):
            return f'{blocks[min(more)]!r} has no place, for {container!r} has fewer blocks'
    return None


def _left_inside(backbone: nn.Module, found: Fit, there: dict[str, dict[int, str]]) -> str | None:
    """The first tensor that is left of a block that is used, and behind which others are."""
    buffers = {name for name, _ in backbone.named_buffers()}
    for name in found.unexpected:
        if name in buffers or computed(name):
            continue
        for container, index in _places(name):
            used = there.get(container, {})
            if index in used and (index < max(used) or _used_behind(container, there)):
                return f'{name!r} has no place, though other layers of its block have'
    return None


def _used_behind(container: str, there: Iterable[str]) -> bool:
    """Whether a container of blocks beside this one, with a later name, is used."""
    stage = re.sub(r'\d+', '#', container)
    beside = [other for other in there if re.sub(r'\d+', '#', other) == stage]
    return beside.index(container) + 1 < len(beside)


def _numbered(name: str) -> bool:
    return any(True for _ in _places(name))


def _places(name: str) -> Iterable[tuple[str, int]]:
    """``(container, index)`` of each numbered module around a tensor, outermost first."""
    parts = name.split('.')
    for place, part in enumerate(parts[:-1]):
        if place and part.isdigit():
            yield '.'.join(parts[:place]), int(part)


def _blocks(names: Iterable[str]) -> dict[str, dict[int, str]]:
    """``{container: {index: first tensor}}`` of numbered modules."""
    found: dict[str, dict[int, str]] = {}
    for name in names:
        for container, index in _places(name):
            found.setdefault(container, {}).setdefault(index, name)
    return found
