"""What may number the classes of a data set, and whether two lists of classes agree."""

from collections.abc import Mapping, Sequence

METAINFO, CATEGORIES, FOLDERS = 'metainfo.classes', 'categories', 'class folders'
ClassLists = dict[str, list[str]]


def names_of(metainfo) -> list[str] | None:
    """``classes`` of a data set's metainfo, as text; None if it has none."""
    names = metainfo.get('classes') if isinstance(metainfo, Mapping) else None
    return [str(name) for name in names] if isinstance(names, Sequence) else None


def misplaced(theirs: Sequence[str], ours: Sequence[str]) -> bool:
    """Whether a class that both lists have is at another place, so a label means two classes."""
    return any(name in theirs and theirs.index(name) != i for i, name in enumerate(ours))
