"""Text lists of images with identities, and of pairs of images; the order of identities."""

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
    for number, line, fields in _fields(text):
        path, identity, camera = [*fields, '', ''][:3]
        if len(fields) > 3 or not path or not identity:
            raise DataError(
                f'{place}, line {number} is {line!r}; it must be "PATH IDENTITY" or "PATH IDENTITY '
                'CAMERA", with tabs between them if the path has spaces'
            )
        yield IdentityLine(line, path, identity, camera or None)


class PairLine(NamedTuple):
    """A line of a list of pairs.

    Attributes:
        number: Of the line, from 1.
        first: Path of an image, as written.
        second: Path of the other one.
        same: Whether both show one identity.
        fold: None where the line has none.
    """

    number: int
    first: str
    second: str
    same: bool
    fold: str | None


def pair_lines(place: str, text: str) -> Iterator[PairLine]:
    """The lines ``PATH PATH 0|1 [FOLD]`` of a list, split as those of :func:`identity_lines`.

    Args:
        place: The file, for messages.
        text: Its content.

    Raises:
        DataError: If a line has other fields.
    """
    for number, line, fields in _fields(text):
        if len(fields) not in (3, 4) or not all(fields) or fields[2] not in ('0', '1'):
            raise DataError(
                f'{place}, line {number} is {line!r}; it must be "PATH PATH 1" for one identity, '
                'or "PATH PATH 0", with tabs between them if a path has spaces, and may end with '
                'a fold'
            )
        first, second, same, fold = [*fields, None][:4]
        yield PairLine(number, str(first), str(second), same == '1', fold)


def _fields(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Number, text and fields of each line that is neither empty nor a comment."""
    # Not splitlines(), for a name may hold what only Unicode takes for a line's end.
    for number, line in enumerate(text.split('\n'), 1):
        line = line.removesuffix('\r')
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        # Of ASCII alone, for the same reason
        tabs = '\t' in line
        yield (
            number,
            line,
            [part.strip(' ') for part in line.split('\t')] if tabs else WORD.findall(line),
        )


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Each name once, numbers inside names by their value: ``car2`` before ``car10``."""
    return sorted(set(names), key=_parts)


def _parts(name: str) -> tuple:
    pieces = re.split(r'([0-9]+)', name)
    # Numbers are at the odd places. Leading zeros count last, so that 1 and 01 have an order.
    values = [int(piece) if place % 2 else piece for place, piece in enumerate(pieces)]
    return values, name
