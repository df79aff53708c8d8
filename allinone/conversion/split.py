"""Cut a training list into a part to train on and a part that is held out, by groups of images."""

import hashlib
import json
import os.path as osp
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from os import makedirs, remove
from typing import Any, NamedTuple

from allinone.errors import DataError
from allinone.io.atomic import write_durably
from allinone.io.identity_lists import identity_lines

PARTS = ('train', 'held_out')
# An image list has a label behind the name of a file; a list of stems has no such name.
LABELLED = re.compile(r'(.*\.\w+)\s+[\d,]+')


class Part(NamedTuple):
    """A written part of a list.

    Attributes:
        path: Its file.
        images: Number of images.
        groups: Number of groups.
    """

    path: str
    images: int
    groups: int


class Split(NamedTuple):
    """Both parts of a list.

    Attributes:
        train: The part to train on.
        held_out: The other one.
        left_out: Number of annotations of a COCO file that belong to none of its images.
    """

    train: Part
    held_out: Part
    left_out: int


class _List(NamedTuple):
    """``names`` of the images in order, and ``write(chosen)``, the text of the list with some.

    ``groups`` of the images where the list has them.
    """

    names: list[str]
    write: Callable[[Sequence[bool]], str]
    left_out: int = 0
    groups: list[str] | None = None


def split_list(
    path: str,
    out_dir: str,
    share: float,
    group: str | None = None,
    seed: int = 0,
    by_identity: bool = False,
) -> Split:
    """Write ``NAME_train.EXT`` and ``NAME_held_out.EXT`` of a list ``NAME.EXT``.

    All images of a group are in one part. Which groups are held out depends on the seed and the
    groups (:func:`choose`), not on the order of the list, which both parts keep.

    Args:
        path: A COCO file (``.json``), or a text file with a stem or ``NAME LABEL`` a line.
        out_dir: Folder of both files.
        share: Fraction of the images to hold out, between 0 and 1.
        group: Regular expression, searched in the names of the images. The group of an image is
            what its first parenthesis matches, else the whole match. None: the image alone.
        seed: Of the choice.
        by_identity: The list is a text file with ``PATH IDENTITY [CAMERA]`` a line, and an identity
            is a group.

    Raises:
        DataError: If an argument or the list is wrong, or a file to write exists.
        WriteError: If a file cannot be written; then neither is.
    """
    if not 0 < share < 1:
        raise DataError(f'--share is {share:g}; give a fraction between 0 and 1, such as 0.15')
    if by_identity and group is not None:
        raise DataError(
            f'--by-identity makes a group of each identity, and --group is {group!r}; leave one of '
            'them out'
        )
    name, ending = osp.splitext(osp.basename(path))
    paths = [osp.join(out_dir, f'{name}_{part}{ending}') for part in PARTS]
    for target in paths:
        if osp.lexists(target):
            raise DataError(f'{target} exists and is not overwritten; give another --out-dir')
    read = _identities if by_identity else _coco if ending.lower() == '.json' else _lines
    listed = read(path)
    groups = listed.groups or groups_of(listed.names, group)
    sizes = Counter(groups)
    if len(sizes) < 2:
        what = f'--group {group!r} finds' if group else 'the list has'
        other = 'a --group that distinguishes them, or a list of several images'
        raise DataError(
            f'{path}: {what} a single group, {groups[0]!r}, of {len(groups)} images, which cannot '
            f'be cut; give {"a list of several identities" if by_identity else other}'
        )
    held_out = choose(sizes, share, seed)
    chosen = [[(found in held_out) is wanted for found in groups] for wanted in (False, True)]
    _write_both(paths, [listed.write(part).encode() for part in chosen])
    numbers = len(sizes) - len(held_out), len(held_out)
    train, held = (Part(*found) for found in zip(paths, map(sum, chosen), numbers))
    return Split(train, held, listed.left_out)


def groups_of(names: Sequence[str], group: str | None) -> list[str]:
    """The group of each name.

    Args:
        names: Names of images.
        group: As in :func:`split_list`.

    Raises:
        DataError: If ``group`` is no regular expression, or a name lacks a match.
    """
    if group is None:
        return list(names)
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise DataError(f'--group {group!r} is no regular expression: {error}') from error
    matches = [pattern.search(name) for name in names]
    found = [
        '' if match is None else next((g for g in match.groups() if g is not None), match.group())
        for match in matches
    ]
    # An empty match, as of '.*?', says nothing of an image.
    without = list(dict.fromkeys(name for name, part in zip(names, found) if not part))
    if without:
        number = sum(not part for part in found)
        some = ' and '.join(map(repr, without[:2]))
        others = len(names) - number
        raise DataError(
            f'--group {group!r} matches '
            + (f'only {others} of the {len(names)} names, not ' if others else 'no name, such as ')
            + f'{some}; give an expression that matches a part of every name'
        )
    return found


def choose(sizes: Mapping[str, int], share: float, seed: int) -> set[str]:
    """Draw groups while they bring the number of their images closer to a share of all.

    Args:
        sizes: ``{group: number of images}`` of two groups or more.
        share: Fraction of the images.
        seed: Of the order in which groups are drawn.

    Returns:
        One group at least, and not all.
    """
    wanted, total = share * sum(sizes.values()), 0
    drawn: set[str] = set()
    order = sorted(sizes, key=lambda group: hashlib.sha256(f'{seed}:{group}'.encode()).digest())
    for group in order:
        closer = abs(total + sizes[group] - wanted) < abs(total - wanted)
        if closer and len(drawn) < len(sizes) - 1:
            drawn.add(group)
            total += sizes[group]
    return drawn or {min(order, key=sizes.__getitem__)}


def _read(path: str) -> str:
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            return file.read()
    except OSError as error:
        raise DataError(
            f'{path} cannot be read ({error.strerror}); give a COCO file or a text list'
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f'{path} is no UTF-8 text ({error.reason} at byte {error.start}); give a COCO file or '
            'a text list'
        ) from error


def _lines(path: str) -> _List:
    # Not splitlines(), for a name may hold what only Unicode takes for a line's end.
    lines = [line.removesuffix('\r') for line in _read(path).split('\n') if line.strip()]
    if not lines:
        raise DataError(f'{path} has no line; give a list of images')
    matches = [LABELLED.fullmatch(line.strip()) for line in lines]
    names = [match[1] if match else line.strip() for match, line in zip(matches, lines)]
    return _List(names, partial(_some_of, lines))


def _identities(path: str) -> _List:
    lines = list(identity_lines(path, _read(path)))
    if not lines:
        raise DataError(f'{path} lists no image; give lines "PATH IDENTITY"')
    return _List(
        [line.path for line in lines],
        partial(_some_of, [line.text for line in lines]),
        groups=[line.identity for line in lines],
    )


def _some_of(lines: Sequence[str], chosen: Sequence[bool]) -> str:
    return ''.join(f'{line}\n' for line, wanted in zip(lines, chosen) if wanted)


def _coco(path: str) -> _List:
    try:
        content: Any = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise DataError(f'{path} is no JSON ({error}); write or download it again') from error
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise DataError(
            f'{path} has no list of images under "images"; give a COCO file, or a text list '
            'whose name does not end in .json'
        )
    annotations = content.get('annotations')
    try:
        names = [str(image['file_name']) for image in images]
        ids = [image['id'] for image in images]
        owners = [annotation['image_id'] for annotation in annotations or ()]
        number, count = Counter(ids).most_common(1)[0]
        left_out = len(owners) - sum(map(set(ids).__contains__, owners))
    except (KeyError, TypeError) as error:
        raise DataError(
            f'{path} has an image without file_name or id, or an annotation without image_id '
            f'({type(error).__name__}: {error}); give a COCO file'
        ) from error
    if count > 1:
        raise DataError(f'{path}: {count} images have the id {number!r}; give each its own')

    def write(chosen: Sequence[bool]) -> str:
        part = dict(content, images=[image for image, wanted in zip(images, chosen) if wanted])
        kept = {number for number, wanted in zip(ids, chosen) if wanted}
        if annotations is not None:
            part['annotations'] = [
                annotation for annotation, owner in zip(annotations, owners) if owner in kept
            ]
        return f'{json.dumps(part)}\n'

    return _List(names, write, left_out)


def _write_both(paths: Sequence[str], contents: Sequence[bytes]) -> None:
    """Write all files or none."""
    written = []
    try:
        for path, content in zip(paths, contents):
            makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
            write_durably(path, content)
            written.append(path)
    except BaseException:
        for path in written:
            with suppress(OSError):
                remove(path)
        raise
