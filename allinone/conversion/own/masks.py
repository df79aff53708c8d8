"""Images and label maps: a PNG file of the same stem for each image.

A pixel is a class by its value (one channel, or the index of a palette), or by its colour. Layouts:
``IMAGES/[SPLIT/]NAME.jpg`` with ``LABELS/[SPLIT/]NAME.png``, either with the split in front; VOC's
``JPEGImages`` with ``SegmentationClass`` and ``ImageSets/Segmentation/SPLIT.txt``, as CVAT's
"Segmentation mask 1.1" (https://docs.cvat.ai/docs/manual/advanced/formats/format-smask/, with the
colours in ``labelmap.txt``); and ``NAME.jpg`` with ``NAME_mask.png`` beside, as Roboflow's
"Semantic Segmentation Masks" with the values in ``_classes.csv``. A class file (``class_file``)
says names, values or colours. Without one, the values that are found are the classes. 255 is
ignored unless the file names it.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from allinone.conversion.data_set import Sample
from allinone.conversion.label_maps import IGNORED, Colours, Values
from allinone.errors import DataError

from .class_file import Classes, read_class_file
from .files import SEGMENTATION, is_image, listed
from .found import UNSPLIT, Found, Options
from .label_folders import map_format
from .lists import SplitLists
from .splits import split_of

__all__ = ['TITLE', 'WANTED', 'read']

TITLE = 'label maps'
FOLDERS = (
    *('labels', 'label', 'masks', 'mask', 'annotations', 'annotation', 'segmentationclass', 'gt'),
    *('seg', 'segmentation', 'groundtruth', 'ground_truth', 'labelimages', 'ann', 'ann_dir'),
)
WANTED = 'folders images and labels (or masks, annotations, SegmentationClass)'
MARK = '_mask'  # behind the stem of a label map beside its image
CLASS_FILES = ('classes.txt', 'classes.csv', '_classes.csv', 'labelmap.txt')
LISTS = 'ImageSets/Segmentation'
# Modes of Pillow with a value a pixel: of bytes, and others that need rewriting
BYTES, OTHERS = ('L', 'P'), ('1', 'I', 'I;16', 'I;16B')


def read(source: Path, options: Options) -> Found:
    """Read a folder of images and label maps."""
    files = listed(source)
    images, maps = _pairs(files)
    splits: dict[str, list[Sample]] = defaultdict(list)
    lists = SplitLists(source, files, LISTS, (path for some in maps.values() for path in some))
    for key, paths in images.items():
        label_maps = maps.get(key, [])
        sample = Sample(paths[0], label_map=label_maps[0] if label_maps else None)
        if not label_maps:
            continue
        if len(paths) > 1 or len(label_maps) > 1:
            what = f'{" and ".join(label_maps)} of {" and ".join(paths)}'
            sample.fault = ('label file of several images', paths[0], what)
        split = split_of(paths[0])
        if lists:
            split = lists.split_of(label_maps[0]) or lists.split_of(paths[0])
        splits[split].append(sample)
    if not splits:
        raise DataError(
            f'{source} has no image with a PNG of the same stem; give the folder that has {WANTED}'
        )
    alone = [path for key, paths in images.items() if key not in maps for path in paths]
    lost = [path for key, paths in maps.items() if key not in images for path in paths]
    notes = [('without a label file', path) for path in alone]
    notes += [('missing', f'image of {path}') for path in lost]
    if lists and len(splits) > 1:
        unlisted = splits.pop(UNSPLIT, [])
        notes += [('in no list of a split', sample.image) for sample in unlisted]
    every = [sample.label_map for samples in splits.values() for sample in samples]
    classes, coding = _coding(source, options.classes, [*filter(None, every)])
    format = map_format(splits, coding)
    return Found(classes, dict(splits), format, 'seg', notes=tuple(notes))


def _pairs(files: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Images and label maps by the path that they have in common."""
    images, maps = defaultdict(list), defaultdict(list)
    every = [p for p in files if is_image(p) and SEGMENTATION[1] not in p.split('/')]
    in_folders = any(_label_folder(path) is not None for path in every)
    for path in every:
        stem = os.path.splitext(path)[0]
        number = _label_folder(path) if in_folders else None
        parts = stem.split('/')
        if number is not None:
            if path.lower().endswith('.png'):
                maps[_key(parts[:number] + parts[number + 1 :])].append(path)
        elif not in_folders and stem.endswith(MARK) and path.lower().endswith('.png'):
            maps[_key(stem.removesuffix(MARK).split('/'))].append(path)
        else:
            images[_key(parts)].append(path)
    if in_folders:  # The folder of images has any name, so it is the one that differs.
        matched = _matched(images, maps)
        return matched, {_unmarked(key, matched): paths for key, paths in maps.items()}
    return images, maps


def _key(parts: list[str]) -> str:
    return '/'.join(parts)


def _label_folder(path: str) -> int | None:
    folders = path.split('/')[:-1]
    found = [number for number, name in enumerate(folders) if name.lower() in FOLDERS]
    return found[-1] if found else None


def _unmarked(key: str, images: dict[str, list[str]]) -> str:
    return key if key in images else key.removesuffix(MARK)


def _matched(images: dict[str, list[str]], maps: dict[str, list[str]]) -> dict[str, list[str]]:
    """Images by the key of their label map: their path without the folder of images."""
    found: dict[str, list[str]] = defaultdict(list)
    wanted = {*maps, *(key.removesuffix(MARK) for key in maps)}
    for key, paths in images.items():
        parts = key.split('/')
        forms = [key, *(_key(parts[:n] + parts[n + 1 :]) for n in range(len(parts) - 1))]
        found[next((form for form in forms if form in wanted), key)] += paths
    return found


def _coding(source: Path, given: Path | None, maps: Sequence[str]):
    """Names of the classes, and how label maps are read."""
    places = [given] if given else [source / name for name in CLASS_FILES]
    places += (
        [] if given else [place for n in CLASS_FILES for place in sorted(source.glob(f'*/{n}'))]
    )
    path = next((place for place in places if place.is_file()), None)
    if given and path is None:
        raise DataError(f'--classes {given} is no file; give one with a class a line')
    if path is None:
        return _found(source, maps)
    classes: Classes = read_class_file(path)
    if classes.colours:
        return classes.names, Colours(classes.colours)
    if classes.values is None:
        if len(classes.names) > IGNORED:
            raise DataError(f'{path} has {len(classes.names)} classes; label maps hold up to 255')
        values = {n: n for n in range(len(classes.names))}
    else:
        values = classes.values
    as_is = _as_is(source, values, maps)
    table = {IGNORED: IGNORED} | values
    return classes.names, Values(len(classes.names), None if as_is else table)


def _as_is(source: Path, values: Mapping[int, int], maps: Iterable[str]) -> bool:
    """Whether label maps need no rewriting: values are classes, and bytes."""
    if any(value != label for value, label in values.items()) or IGNORED in values:
        return False
    return all(_mode(source / path) not in OTHERS for path in maps)


def _mode(path: Path) -> str:
    try:
        with Image.open(path) as image:
            return image.mode
    except (OSError, SyntaxError):
        return ''  # The check of all files names it.


def _found(source: Path, maps: Iterable[str]) -> tuple[tuple[str, ...], Values]:
    """The values of all label maps as classes, named by their number."""
    values: set[int] = set()
    for path in maps:
        try:
            with Image.open(source / path) as image:
                if image.mode not in (*BYTES, *OTHERS):
                    raise DataError(
                        f'{source / path} has the mode {image.mode}, whose colours need names; '
                        'give --classes FILE with NAME,R,G,B a line'
                    )
                found = np.unique(np.asarray(image)).tolist()
        except (OSError, SyntaxError):
            continue  # The check of all files names it.
        if not 0 <= found[0] <= found[-1] <= IGNORED:
            raise DataError(
                f'{source / path} has the value {found[-1]}, and label maps hold up to 255; write '
                'classes into it, not instances or depths'
            )
        values.update(map(int, found))
    kept = sorted(values - {IGNORED})
    if len(kept) < 2:
        raise DataError(
            f'{source}: its label maps have only the values {sorted(values)}, and 255 is ignored '
            'unless it is named; give --classes FILE with NAME,VALUE a line, such as object,255'
        )
    table = {value: number for number, value in enumerate(kept)} | {IGNORED: IGNORED}
    as_is = _as_is(source, {value: table[value] for value in kept}, maps)
    return tuple(map(str, kept)), Values(len(kept), None if as_is else table)
