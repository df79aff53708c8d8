"""What goes into a gallery, or is searched for: images with what is known of them, and boxes."""

import json
import os
import os.path as osp
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from allinone.config.build_errors import named
from allinone.data.image_paths import listed_images
from allinone.errors import DataError
from allinone.inference.inputs import flat
from allinone.inference.model_source import ModelSource, check_types
from allinone.inference.output_folder import MARK
from allinone.inference.urls import is_url
from allinone.io.identity_lists import identity_lines
from allinone.io.images import SUFFIXES

LINES = '.jsonl'
MAKER = 'embed_boxes'  # Where infer.json tells what made the embeddings of boxes
TAKEN = ('input', 'name', 'frames', 'rate', 'frame', 'time')  # Keys of a line that are no task

Note = Callable[[str], None]


class Entry(NamedTuple):
    """An image or a box.

    Attributes:
        row: What is known of it: ``image`` and others.
        embedding: float32 ``(D,)`` of a box; None for an image, which is still to be embedded.
    """

    row: dict[str, Any]
    embedding: np.ndarray | None = None

    @property
    def key(self) -> tuple:
        """The same for the same image, or box of an image."""
        return key_of(self.row)


def key_of(row: Mapping) -> tuple:
    return row.get('image'), row.get('frame'), tuple(row.get('bbox') or ())


def find_entries(
    given: str, note: Note, report: Callable[[DataError], None], root: str | None = None
) -> Iterator[Entry]:
    """Images of a list, a folder by identity, a plain folder, a pattern or a single file.

    Args:
        given: A path. A folder with images in it is a plain one; else its folders are identities.
            A file without the suffix of an image is a list of lines ``PATH IDENTITY [CAMERA]``.
        note: Called with a sentence about what is passed over.
        report: Called with the error of a path without images.
        root: Folder of the paths in a list. Default: that of the list.

    Raises:
        DataError: If a line of a list is wrong.
    """
    if osp.isfile(given) and not given.lower().endswith(SUFFIXES):
        yield from _listed(given, root)
    elif osp.isdir(given) and not _has_images(given):
        yield from _by_identity(given, note, report)
    else:
        for path in flat(given, report, note):
            yield Entry(dict(image=_absolute(str(path))))


def _listed(given: str, root: str | None) -> Iterator[Entry]:
    try:
        with open(given, encoding='utf-8-sig', newline='') as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f'{given} is no image, and cannot be read as a list of images: {error}'
        ) from error
    folder = osp.dirname(given) if root is None else root
    for line in identity_lines(given, text):
        path = line.path if is_url(line.path) else _absolute(osp.join(folder, line.path))
        camera = {} if line.camera is None else dict(camera=line.camera)
        yield Entry(dict(image=path, identity=line.identity, **camera))


def _by_identity(given: str, note: Note, report: Callable[[DataError], None]) -> Iterator[Entry]:
    names = sorted(
        entry.name for entry in os.scandir(given) if entry.is_dir() and entry.name[0] != '.'
    )
    if not any(_has_images(osp.join(given, name)) for name in names):
        report(
            DataError(f'{given} has no images, and no folders with images, one for each identity')
        )
        return
    for name in names:
        folder = osp.join(given, name)
        if not _has_images(folder):
            note(f'{folder} has no images and is passed over')
            continue
        for path in flat(folder, report, note):
            yield Entry(dict(image=_absolute(str(path)), identity=name))


def _has_images(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_file() and entry.name.lower().endswith(SUFFIXES) for entry in entries)


def _absolute(path: str) -> str:
    return path if is_url(path) else osp.abspath(path)


def read_boxes(given: str, task: str, score_thr: float) -> tuple[dict, list[Entry]]:
    """Boxes that ``tools/infer.py --embed-boxes`` has written.

    Args:
        given: Its ``predictions.jsonl``, or ``predictions/NAME.jsonl`` of a video.
        task: The task that embedded them.
        score_thr: Boxes below this score are left out.

    Returns:
        What made the embeddings, and the boxes with ``image``, ``bbox``, ``label``, ``name``,
        ``score``, and of a video ``frame`` and ``time``.

    Raises:
        DataError: If the file or its ``infer.json`` cannot be read, or has no embeddings of the
            task.
    """
    maker = _maker_of_boxes(given)
    if maker.get('task') != task:
        raise DataError(
            f'the boxes of {given} have embeddings of {maker.get("task")!r}, not of {task!r}; give '
            f'tools/infer.py --embed-boxes {task}'
        )
    found: list[Entry] = []
    number = 0
    try:
        with open(given, encoding='utf-8') as file:
            for number, text in enumerate(file, 1):  # noqa: B007  In the message
                found += _boxes_of_line(json.loads(text), given, task, score_thr)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        where = f', line {number},' if not isinstance(error, OSError) else ''
        raise DataError(
            f'{given}{where} is not as tools/infer.py writes it: {error!r}; run it again'
        ) from error
    return maker, found


def _maker_of_boxes(given: str) -> dict:
    folder = osp.dirname(osp.abspath(given))
    for place in (folder, osp.dirname(folder)):  # Of the frames of a video it is one further up.
        path = osp.join(place, MARK)
        if osp.exists(path):
            break
    try:
        with open(path, encoding='utf-8') as file:
            maker = json.load(file).get(MAKER)
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f'{given} has no {MARK} beside it that tells which checkpoint made it ({error}); give '
            'the file in the output folder of tools/infer.py'
        ) from error
    if not isinstance(maker, dict):
        raise DataError(
            f'the boxes of {given} have no embeddings; run tools/infer.py with --embed-boxes TASK'
        )
    return maker


def _boxes_of_line(line: Mapping, given: str, task: str, score_thr: float) -> Iterator[Entry]:
    image = line.get('input')
    if image is None:
        image = osp.basename(given).removesuffix(LINES)
    elif osp.exists(image):
        image = _absolute(image)
    moment = {key: line[key] for key in ('frame', 'time') if key in line}
    for name, boxes in line.items():
        for box in boxes if name not in TAKEN and isinstance(boxes, list) else ():
            record = box.get(task)
            if isinstance(record, dict) and 'embedding' in record and box['score'] >= score_thr:
                known = {key: box[key] for key in ('bbox', 'label', 'name', 'score')}
                embedding = np.array(record['embedding'], np.float32)
                yield Entry(dict(image=image, **moment, **known), embedding)


def read_metadata(given: str) -> dict[str, dict]:
    """``{image: further metadata}`` of a JSON Lines file with an object ``{'image', ...}`` a line.

    Paths are relative to the folder of the file.

    Raises:
        DataError: If it cannot be read, or a line is no such object.
    """
    found: dict[str, dict] = {}
    try:
        with open(given, encoding='utf-8-sig') as file:
            lines = file.read().split('\n')
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'--metadata {given} cannot be read: {error}') from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
            path = content.pop('image')
            if not isinstance(path, str):
                raise TypeError('image is no path')
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f'--metadata {given}, line {number} is {line!r}; it must be a JSON object with '
                '"image"'
            ) from error
        path = path if is_url(path) else _absolute(osp.join(osp.dirname(given), path))
        found.setdefault(path, {}).update(content)
    return found


def with_metadata(entries: list[Entry], further: Mapping[str, dict], note: Note) -> list[Entry]:
    """Entries whose rows have further metadata, by the paths of their images."""
    known = {entry.row['image'] for entry in entries}
    unused = [path for path in further if path not in known]
    if unused:
        note(f'{len(unused)} images of --metadata are not among the images, such as {unused[0]}')
    return [
        entry._replace(row=entry.row | further.get(entry.row['image'], {})) for entry in entries
    ]


def entries_of_config(source: ModelSource, key: str) -> list[Entry] | None:
    """Images of a dataloader of the model's config, with their identities and cameras.

    Args:
        source: The model.
        key: Such as ``test_dataloader.reid`` or ``val_cfg.references.reid``.

    Returns:
        None if the config has no dataloader of this key.

    Raises:
        CheckpointError: If a type in the config of a checkpoint is not registered.
        DataError: If the data set has no images, or cannot be read.
    """
    first, *parts = key.split('.')
    cfg: Any = source.cfg.get(first)
    for part in parts:
        cfg = cfg.get(part) if isinstance(cfg, Mapping) else None
    dataset = cfg.get('dataset') if isinstance(cfg, Mapping) else None
    if not isinstance(dataset, Mapping):
        return None
    if not source.trusted:
        check_types(dataset, source.path, f'{key}.dataset')
    found = []
    with named(f'{key}.dataset'):
        for part in listed_images(dataset):
            for index in range(len(part)):
                info = part.get_data_info(index)
                known = {name: info[name] for name in ('identity', 'camera') if info.get(name)}
                found.append(Entry(dict(image=_absolute(info['img_path']), **known)))
    return found
