"""Report of a conversion: counts, and problems with examples."""

from collections import Counter
from typing import Any

from allinone.errors import DataError

__all__ = ['KINDS', 'Report', 'sentence']

EXAMPLES = 20
SHOWN = 3
# ``{kind: handling}``; None: an error, unless an incomplete copy is converted
KINDS = {
    'missing': None,
    'unreadable': None,
    'size differs': None,
    'unknown label': None,
    'named twice': None,
    'outside of the source': None,
    'annotated at another size': None,
    'label file of several images': None,
    'box outside its image': 'left out',
    'box smaller than a pixel': 'left out',
    'box reaches out of its image': 'clipped',
    'box of another class': 'left out',
    'same content in two splits': 'kept',
    'left over': 'kept',
    'without a label file': 'left out',
    'not in a class folder': 'left out',
    'class folder without an image': 'left out',
    'in no list of a split': 'left out',
    'split without its images': 'left out',
    'line written twice': 'left out',
    'shape without an area': 'left out',
    'attribute': 'left out',
    'keypoints': 'left out',
    'rotated box': 'enclosed by an upright one',
    'mask of pixels': 'its box is kept',
    'category without boxes': 'left out',
    'junk image': 'left out',
    'pair without its images': 'left out',
}
REFUSED = {
    'missing': 'missing',
    'unreadable': 'damaged or cut short',
    'size differs': 'of another size than their label maps',
    'unknown label': 'labelled with what is no class',
    'named twice': 'named twice',
    'outside of the source': 'outside of that folder',
    'annotated at another size': 'of another size than their annotations say',
    'label file of several images': 'images that share a label file',
}


class Report:
    """Counts by split and class, and problems by kind, each with its first examples.

    Args:
        classes: Names of the classes, in index order.
    """

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        self.splits: dict[str, dict] = {}
        self.problems: dict[str, dict] = {}
        self.archives: dict[str, Counter] = {}
        self.sizes: Counter[tuple[int, int]] = Counter()

    def note(self, kind: str, what: str, archive: str = '', done: str = '') -> None:
        """Count a problem of one of ``KINDS``; ``done`` overrides the kind's handling."""
        done = done or KINDS[kind] or 'left out'
        problem = self.problems.setdefault(kind, dict(count=0, done=done, examples=[]))
        problem['count'] += 1
        if len(problem['examples']) < EXAMPLES:
            problem['examples'].append(what)
        self.archives.setdefault(kind, Counter())[archive] += 1

    @property
    def faults(self) -> int:
        """Number of problems that make the set unusable."""
        return sum(p['count'] for kind, p in self.problems.items() if KINDS[kind] is None)

    @property
    def typical_size(self) -> list[int]:
        """Median width and median height of the images; empty without images."""
        return [_median(axis, self.sizes) for axis in (0, 1)] if self.sizes else []

    def count(
        self, split: str, published: int | None, images: int, boxes, labels, masks: int = 0
    ) -> None:
        """Record the counts of a split: ``labels`` has images, boxes or pixels by class index.

        ``boxes`` is None for sets without boxes, ``masks`` the number of those with a segmentation.
        """
        counts: dict[str, Any] = dict(images=images, published=published)
        if boxes is not None:
            counts['boxes'] = boxes
        if masks:
            counts['masks'] = masks
        counts['classes'] = {
            name: int(labels.get(number, 0)) for number, name in enumerate(self.classes)
        }
        self.splits[split] = counts

    def refuse(self, source: str, remedy: str) -> None:
        """Raise :class:`DataError` if there are problems that make the set unusable.

        ``remedy`` says what to do about them.
        """
        faults = [
            f'{problem["count"]} files are {REFUSED[kind]} '
            f'({_some(problem["examples"], problem["count"])}'
            f'{_archives(self.archives[kind])})'
            for kind, problem in self.problems.items()
            if KINDS[kind] is None
        ]
        if faults:
            raise DataError(
                f'{source}: {"; ".join(faults)}; {remedy}, or leave such files out with --partial'
            )


def sentence(content: dict) -> str:
    """Summary of a report file's counts and problems in words."""
    counts = '; '.join(
        f'{split}: {counts["images"]:,} images'
        + (f', {counts["boxes"]:,} boxes' if 'boxes' in counts else '')
        for split, counts in content['splits'].items()
    )
    problems = ''.join(
        f'\n  {problem["count"]:,} x {kind}, {problem["done"]}: '
        f'{_some(problem["examples"], problem["count"])}'
        for kind, problem in content['problems'].items()
    )
    return counts + problems


def _some(examples: list[str], count: int) -> str:
    rest = count - len(examples[:SHOWN])
    return ', '.join(examples[:SHOWN]) + (f' and {rest:,} more' if rest > 0 else '')


def _median(axis: int, sizes: Counter[tuple[int, int]]) -> int:
    counts: Counter[int] = Counter()
    for size, count in sizes.items():
        counts[size[axis]] += count
    left = sizes.total() // 2
    for value in sorted(counts):
        left -= counts[value]
        if left < 0:
            return value
    return 0


def _archives(archives: Counter) -> str:
    names = [name for name in archives if name]
    return f'; in {" and ".join(names)}' if names else ''
