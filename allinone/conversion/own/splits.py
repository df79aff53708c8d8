"""Splits of own data: those of the source, or random ones by groups of images."""

import os
import re
from collections import Counter
from pathlib import Path

from allinone.conversion.data_set import Sample
from allinone.conversion.split import choose, groups_of
from allinone.errors import DataError

from .found import UNSPLIT, Found

__all__ = ['divide', 'split_named', 'split_of']

NAMES = dict(train='train', val='val', test='test', training='train', testing='test')
NAMES |= dict(valid='val', validation='val')
ORDER = ('train', 'val', 'test')
YEAR = re.compile(r'[-_]?\d*$')  # of folders such as train2017
FOLDER = 'folder'


def split_named(name: str) -> str:
    """The split that a name stands for, such as ``val`` for ``Valid``; else :data:`UNSPLIT`."""
    return NAMES.get(YEAR.sub('', name.lower()), UNSPLIT)


def split_of(path: str) -> str:
    """The split whose name a folder of a path has."""
    found = (split_named(folder) for folder in path.split('/')[:-1])
    return next(filter(None, found), UNSPLIT)


def divide(
    source: Path, found: Found, share: float | None, group: str | None, seed: int
) -> dict[str, list[Sample]]:
    """Samples by split, in the order ``train``, ``val``, ``test``.

    Splits of the source are kept. Only what has no validation split is cut.

    Args:
        source: The source, for errors.
        found: What was read.
        share: Share of the images to train on, or 1 for all of them. None: the source says it.
        group: Regular expression as for ``split_list``, or ``folder``; images of a group stay in
            one split. None: each image alone, by class if ``found.by_class``.
        seed: Of the choice.

    Raises:
        DataError: If there is nothing to cut and a share is given, or the reverse.
    """
    splits = {name: samples for name, samples in found.splits.items() if samples}
    have = [name for name in ORDER if name in splits]
    _check(source, splits, have, share, group)
    if share is not None:
        pool = splits.pop(UNSPLIT, None) or splits.pop('train')
        splits['train'] = pool
        if share < 1:
            held_out = _held_out(source, pool, found.by_class, share, group, seed)
            splits['train'] = [s for n, s in enumerate(pool) if n not in held_out]
            splits['val'] = [s for n, s in enumerate(pool) if n in held_out]
    return {name: splits[name] for name in ORDER if name in splits}


def _check(source: Path, splits: dict, have: list[str], share, group) -> None:
    if not splits:
        raise DataError(f'{source} has no image with labels; give the folder that has some')
    if share is not None and not 0 < share <= 1:
        raise DataError(
            f'--split is {share:g}; give the share of images to train on, such as 0.8, or 1 for all'
        )
    if UNSPLIT in splits and have:
        stray = splits[UNSPLIT]
        raise DataError(
            f'{source} has {" and ".join(have)}, and {len(stray)} images in none of them, such as '
            f'{stray[0].image}; move them into one, or give the folder of a single split'
        )
    if {'train', 'val'} <= set(have):
        if share is not None or group is not None:
            raise DataError(
                f'{source} has {" and ".join(have)} already, which are kept; leave out --split and '
                '--group'
            )
        return
    if UNSPLIT not in splits and 'train' not in have:
        raise DataError(
            f'{source} has only {" and ".join(have)}, nothing to train on; name the folder or list '
            'of its training images train'
        )
    if share is None:
        raise DataError(
            f'{source} has no validation split; give --split 0.8 to train on 80 % of its images '
            '(with --group if several show one scene), or --split 1 to train on all'
        )


def _held_out(
    source: Path, pool: list[Sample], by_class: bool, share: float, group: str | None, seed: int
) -> set[int]:
    """Places in the pool of the samples to hold out."""
    names = [sample.image for sample in pool]
    if group == FOLDER:
        groups = [os.path.dirname(name) or os.curdir for name in names]
    else:
        groups = groups_of(names, group)
    strata = [sample.label if by_class and group is None else None for sample in pool]
    chosen: set[tuple] = set()
    for stratum in dict.fromkeys(strata):
        sizes = Counter(name for name, own in zip(groups, strata) if own == stratum)
        if len(sizes) > 1:
            chosen |= {(stratum, name) for name in choose(sizes, 1 - share, seed)}
    if not chosen:
        what = f'--group {group} finds a single group' if group else 'it has too few images'
        raise DataError(
            f'{source} cannot be cut: {what} ({len(pool)} images); give a --group that '
            'distinguishes them, or --split 1'
        )
    return {n for n, key in enumerate(zip(strata, groups)) if key in chosen}
