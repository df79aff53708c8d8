"""Lists of pairs of images that show one identity or two."""

import os.path as osp
from typing import NamedTuple

from allinone.errors import DataError
from allinone.inference.urls import is_url
from allinone.io.identity_lists import pair_lines


class Pairs(NamedTuple):
    """Pairs of images.

    Attributes:
        first: Paths.
        second: Paths, of as many.
        same: Whether both show one identity.
    """

    first: list[str]
    second: list[str]
    same: list[bool]

    @property
    def images(self) -> list[str]:
        """Each image once, in the order of the list."""
        return list(dict.fromkeys(path for pair in zip(*self[:2]) for path in pair))


def read_pairs(given: str, root: str | None = None) -> Pairs:
    """Pairs of the lines ``PATH PATH 0|1 [FOLD]`` of a list.

    Fields are split at tabs if the line has one, else at white space; empty lines and those that
    begin with ``#`` are passed over.

    Args:
        given: The list.
        root: Folder of the paths. Default: that of the list.

    Raises:
        DataError: If the list cannot be read or has no pair, a line has other fields, or an image
            is missing.
    """
    try:
        with open(given, encoding='utf-8-sig', newline='') as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{given} cannot be read as a list of pairs: {error}') from error
    folder = osp.dirname(given) if root is None else root
    first: list[str] = []
    second: list[str] = []
    same: list[bool] = []
    for line in pair_lines(given, text):
        paths = [
            path if is_url(path) else osp.abspath(osp.join(folder, path)) for path in line[1:3]
        ]
        for path in paths:
            if not is_url(path) and not osp.exists(path):
                raise DataError(
                    f'{given}, line {line.number} names {path}, which does not exist; correct '
                    'the path, or give --data-root'
                )
        first.append(paths[0])
        second.append(paths[1])
        same.append(line.same)
    if not same:
        raise DataError(f'{given} lists no pair; give lines "PATH PATH 0" and "PATH PATH 1"')
    return Pairs(first, second, same)
