"""Lists of a source that say the split of its images, as VOC's ``ImageSets`` has them."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .files import IMAGES, lines_of
from .found import UNSPLIT
from .splits import split_named

__all__ = ['SplitLists']

BOTH = 'trainval'
SUFFIXES = (*IMAGES, '.xml')
BELOW = 2  # Parts of a path that lies directly in a folder such as Annotations


class SplitLists:
    """The split of each file that a list names, ``ROOT/FOLDER/SPLIT.txt``.

    A line is the path of a file below ``ROOT/Annotations`` or the like, usually without suffix, for
    folders may have files of one name. A name alone stands for a file in a deeper folder, too, if
    there is no other of that name.

    Args:
        source: The source.
        files: Its files.
        folder: That of the lists, such as ``ImageSets/Main``.
        asked: The files whose splits will be asked for.
    """

    def __init__(self, source: Path, files: Iterable[str], folder: str, asked: Iterable[str]):
        lists: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
        for path in files:
            root, _, name = f'/{path}'.rpartition(f'/{folder}/')
            stem = PurePosixPath(name).stem
            split = split_named(stem) or (BOTH if stem == BOTH else '')
            if name == f'{stem}.txt' and f'/{folder}/' in f'/{path}' and split:
                entries = (_entry(line) for line in lines_of(source / path))
                lists[root.strip('/')].setdefault(split, {}).update(
                    (entry, split) for entry in entries if entry
                )
        # A file belongs to the lists of the nearest root around it.
        self.roots = sorted(lists, key=len, reverse=True)
        self.splits = {root: _merged(found) for root, found in lists.items()}
        self.by_stem: dict[str, dict[str, set[str]]] = {}
        for root, splits in self.splits.items():
            stems = self.by_stem[root] = defaultdict(set)
            for entry in splits:
                stems[entry.rpartition('/')[2]].add(entry)
        self.stems = Counter((self._root(path), _stem(path)) for path in asked)

    def __bool__(self) -> bool:
        return any(self.splits.values())

    def split_of(self, path: str) -> str:
        """The split of a file; ``UNSPLIT`` if no list names it."""
        root = self._root(path)
        if root is None:
            return UNSPLIT
        splits, stem = self.splits[root], _stem(path)
        parts = os.path.splitext(path[len(root) :].lstrip('/'))[0].split('/')
        for number in range(len(parts) - (len(parts) > BELOW)):
            found = splits.get('/'.join(parts[number:]))
            if found:
                return found
        entries = self.by_stem[root].get(stem, set())
        if len(entries) == 1 and self.stems[root, stem] == 1:
            return splits[next(iter(entries))]
        return UNSPLIT

    def _root(self, path: str) -> str | None:
        return next((r for r in self.roots if not r or path.startswith(f'{r}/')), None)


def _entry(line: str) -> str:
    """A line of a list as a path without suffix."""
    line = line.replace('\\', '/').removeprefix('./').strip('/')
    stem, suffix = os.path.splitext(line)
    return stem if suffix.lower() in SUFFIXES else line


def _stem(path: str) -> str:
    return os.path.splitext(path)[0].rpartition('/')[2]


def _merged(lists: dict[str, dict[str, str]]) -> dict[str, str]:
    """Splits of the entries; ``trainval`` is for training where there is neither of its parts."""
    both = lists.pop(BOTH, {})
    if not lists.get('train') and not lists.get('val'):
        lists['train'] = dict.fromkeys(both, 'train')
    return {entry: split for entries in lists.values() for entry, split in entries.items()}
