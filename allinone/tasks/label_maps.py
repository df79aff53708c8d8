"""Label maps: what is checked of them, and their digest."""

import hashlib
import logging
import os
import os.path as osp
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement, PixelData
from PIL import Image

from allinone.errors import DataError
from allinone.io.digests import file_hash
from allinone.io.file_facts import FileFacts
from allinone.io.image_files import IGNORED, decoded_size, is_local
from allinone.io.text import shortened
from allinone.registry.kinds import derives

LOADER = 'mmcv.transforms.loading.LoadAnnotations'
PACKS = ('pack://', 'lmdb://')


def digest_of_label_maps(paths: Iterable[str | None]) -> Iterator[tuple[str, str]]:
    """Folder, and SHA-256 over names and contents, of label maps; of none nothing.

    Label maps on a server are left out, for each would be read.
    """
    local = [path for path in paths if path and (is_local(path) or path.startswith(PACKS))]
    if local:
        with ThreadPoolExecutor() as pool:  # Hashing leaves the interpreter lock.
            found = list(zip(map(osp.basename, local), pool.map(file_hash, local)))
        yield osp.dirname(local[0]), hashlib.sha256(repr(found).encode()).hexdigest()


def check_label_maps(
    dataset: BaseDataset, infos: list[dict], num_classes: int | None, skip_corrupt: bool
) -> None:
    """Compare label maps with their images, and the labels that the pipeline gives with the head.

    Classes without a pixel are named in the log.

    Raises:
        DataError: If they do not fit.
    """
    local = [info for info in infos if is_local(info['img_path'])]
    if not dataset.ann_file:
        _check_alone(dataset, local)
    ignored = getattr(dataset, 'ignore_index', IGNORED)
    if not local:
        return
    read, how = _reader(dataset, local[0])
    maps: FileFacts[dict] = FileFacts(f'labels by {how}', os.path.dirname(local[0]['seg_map_path']))
    sizes: FileFacts[list[int]] = FileFacts('decoded sizes', os.path.dirname(local[0]['img_path']))

    def labels_of(info: dict) -> set[int]:
        try:
            facts = maps.of(info['seg_map_path'], lambda path: _label_facts(path, info, read))
        except Exception as error:
            if skip_corrupt:
                return set()
            raise DataError(
                f'{info["seg_map_path"]} is not a readable label map: {error}; repair it, or '
                'remove it and its image'
            ) from error
        try:
            size = sizes.of(info['img_path'], decoded_size)
        except DataError:
            raise
        except Exception:
            return set()  # Met again, with its name and the rule of skip_corrupt, when loaded.
        return _check_label_map(info, facts, size, num_classes, ignored, read is None)

    seen: set[int] = set()
    with ThreadPoolExecutor() as pool:
        # Decoding leaves the interpreter lock.
        for labels in pool.map(labels_of, local):
            seen |= labels
    maps.save()
    sizes.save()
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    absent = [str(name) for label, name in enumerate(classes) if label not in seen]
    if num_classes is not None and absent:
        folder = os.path.dirname(local[0]['seg_map_path'])
        print_log(
            f'{folder} has no sample of class {shortened(absent)}: no pixel',
            'current',
            logging.WARNING,
        )


def _reader(dataset: BaseDataset, info: dict) -> tuple[Callable[[dict], np.ndarray] | None, str]:
    """What loads label maps in the pipeline, if it may give other labels than Pillow; and how."""
    for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if derives(type(step), (LOADER,)):
            plain = type(step).__qualname__ == 'LoadAnnotations'
            if plain and step.imdecode_backend == 'pillow':
                break
            how = repr((step, info.get('reduce_zero_label'), info.get('label_map')))
            return partial(_read_by, step), how
    return None, 'Pillow'


def _read_by(step: Callable[[dict], dict], info: dict) -> np.ndarray:
    return step(dict(info, seg_fields=[]))['gt_seg_map']


def _label_facts(path: str, info: dict, read: Callable[[dict], np.ndarray] | None) -> dict:
    """Shape of a label map, and shape and labels of what the pipeline gives of it."""
    with Image.open(path) as label_map:
        labels = np.asarray(label_map)
    given = labels if read is None else read(info)
    return dict(shape=list(labels.shape), given=list(given.shape), labels=np.unique(given).tolist())


def _check_alone(dataset: BaseDataset, infos: list[dict]) -> None:
    """mmseg lists the images and takes their label maps; nobody asks for the other ones."""
    image_suffix, label_suffix = dataset.img_suffix, dataset.seg_map_suffix
    folders = {
        os.path.dirname(info['seg_map_path']): os.path.dirname(info['img_path']) for info in infos
    }
    for folder, images in folders.items():
        known = set(os.listdir(images))
        alone = sorted(
            name
            for name in os.listdir(folder)
            if name.endswith(label_suffix)
            and name.removesuffix(label_suffix) + image_suffix not in known
        )
        if alone:
            raise DataError(
                f'{len(alone)} label maps in {folder} have no {image_suffix} '
                f'image in {images}: {shortened(alone)}; add or remove them'
            )


def _check_label_map(
    info: dict,
    facts: dict,
    size: list[int],
    num_classes: int | None,
    ignored: int,
    raw: bool,
) -> set[int]:
    """Check what was read of a label map; the labels in it, as the pipeline gives them.

    Args:
        info: Of the sample.
        facts: Of :func:`_label_facts`.
        size: ``[width, height]`` of the image.
        num_classes: Of the head; None: labels are not compared with it.
        ignored: The label of pixels that are ignored.
        raw: Whether the labels are those of the file, which the pipeline will change.
    """
    label_path, shape = info['seg_map_path'], facts['shape']
    if shape[:2] != size[::-1]:
        raise DataError(
            f'{label_path} is {shape[1]} x {shape[0]}, but its image '
            f'{info["img_path"]} is {size[0]} x {size[1]}; make them of one size'
        )
    if len(shape) != 2:
        raise DataError(
            f'{label_path} has {shape[2]} channels; a label map has one, the class numbers'
        )
    if len(facts['given']) != 2:
        raise DataError(
            f'{label_path} has class numbers as a palette image, which the pipeline reads as '
            f'colours, {facts["given"][2]} channels; leave out imdecode_backend of LoadAnnotations'
        )
    if num_classes is None:
        return set()
    found = values = np.array(facts['labels'], int)
    if raw and info.get('reduce_zero_label'):
        values = np.where((values == 0) | (values == IGNORED), IGNORED, values - 1)
    if raw and info.get('label_map'):
        values = np.array([info['label_map'].get(int(value), value) for value in values])
    wrong = found[(values >= num_classes) & (values != ignored)]
    if len(wrong):
        raise DataError(
            f'{label_path} has label {wrong[0]}, but the head of the task has '
            f'num_classes={num_classes}; labels are 0 to {num_classes - 1}, and '
            f'{ignored} for ignored'
        )
    return set(values.tolist()) - {ignored}


def set_no_areas(sample: BaseDataElement, like: BaseDataElement | None) -> None:
    """Set label maps of class 0 alone, with a finite loss, as :meth:`TaskKind.set_no_labels`.

    Args:
        sample: Changed in place; its ``img_shape`` is the size of the maps.
        like: A sample whose label maps are matched, by the names of all their fields, channels and
            type; None: ``gt_sem_seg``.
    """
    height, width = sample.metainfo['img_shape'][:2]
    maps = {} if like is None else {n: v for n, v in like.items() if isinstance(v, PixelData)}
    for name, value in maps.items():
        empty = {
            field: labels.new_zeros(*labels.shape[:-2], height, width)
            for field, labels in value.items()
        }
        sample.set_field(PixelData(**empty), name)
    if not maps:
        zeros = torch.zeros(1, height, width, dtype=torch.int64)
        sample.set_field(PixelData(data=zeros), 'gt_sem_seg')
