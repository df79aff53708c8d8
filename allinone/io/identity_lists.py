"""Text lists of images with the identity of each, and the order of identities."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from allinone.errors import DataError

WORD = re.compile(r'[^ \f\v]+')


class IdentityLine(NamedTuple):
    """A line of a list.

    Attributes:
        text: The line as it is, without its end.
        path: Of the image, as written.
        identity: Of what the image shows.
        camera: None where the line has none.
    """

    text: str
    path: str
    identity: str
    camera: str | None


def identity_lines(place: str, text: str) -> Iterator[IdentityLine]:
    """The lines ``PATH IDENTITY [CAMERA]`` of a list.

    Fields are split at tabs if the line has one, so that a path may have spaces, else at white
    space. Empty lines and those that begin with ``#`` are passed over.

    Args:
        place: The file, for messages.
        text: Its content.

    Raises:
        DataError: If a line has other fields.
    """
    # Not splitlines(), for a name may hold what only Unicode takes for a line's end.
    for number, line in enumerate(text.split('\n'), 1):
        line = line.removesuffix('\r')
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        # Of ASCII alone, for the same reason
        tabs = '\t' in line
        fields = [part.strip(' ') for part in line.split('\t')] if tabs else WORD.findall(line)
        path, identity, camera = [*fields, '', ''][:3]
        if len(fields) > 3 or not path or not identity:
            raise DataError(
                f'{place}, line {number} is {line!r}; it must be "PATH IDENTITY" or "PATH IDENTITY '
                'CAMERA", with tabs between them if the path has spaces'
            )
        yield IdentityLine(line, path, identity, camera or None)


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Each name once, numbers inside names by their value: ``car2`` before ``car10``."""
    return sorted(set(names), key=_parts)


def _parts(name: str) -> tuple:
    pieces = re.split(r'([0-9]+)', name)
    # Numbers are at the odd places. Leading zeros count last, so that 1 and 01 have an order.
    values = [int(piece) if place % 2 else piece for place, piece in enumerate(pieces)]
    return values, name
