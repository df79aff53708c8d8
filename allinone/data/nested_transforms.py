"""Transforms inside other transforms."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose


def with_nested(step: Any) -> Iterator[Any]:
    """A transform and those inside it, as in ``Compose``, ``RandomApply`` and ``RandomResize``."""
    yield step
    for member in getattr(step, '__dict__', {}).values():
        for part in _transforms(member):
            yield from with_nested(part)


def _transforms(member: Any) -> Iterator[Any]:
    if isinstance(member, (BaseTransform, Compose)):
        yield member
    elif isinstance(member, (list, tuple)):
        for part in member:
            yield from _transforms(part)
    elif isinstance(member, Mapping):
        yield from _transforms(list(member.values()))
