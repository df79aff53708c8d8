"""Label maps: what is checked of them, and their digest."""

import hashlib
import logging
import os
import os.path as osp
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from PIL import Image

from allinone.errors import DataError
from allinone.io.digests import file_hash
from allinone.io.image_files import IGNORED, check_upright, is_local, shown_size
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
    read = _reader(dataset)
    seen: set[int] = set()
    with ThreadPoolExecutor() as pool:
        # Decoding leaves the interpreter lock.
        for labels in pool.map(
            lambda info: _check_label_map(info, num_classes, ignored, skip_corrupt, read), local
        ):
            seen |= labels
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    absent = [str(name) for label, name in enumerate(classes) if label not in seen]
    if local and num_classes is not None and absent:
        folder = os.path.dirname(local[0]['seg_map_path'])
        print_log(
            f'{folder} has no sample of class {shortened(absent)}: no pixel',
            'current',
            logging.WARNING,
        )


def _reader(dataset: BaseDataset) -> Callable[[dict], np.ndarray] | None:
    """What loads label maps in the pipeline, if it may give other labels than Pillow does."""
    for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if derives(type(step), (LOADER,)):
            plain = type(step).__qualname__ == 'LoadAnnotations'
            if plain and step.imdecode_backend == 'pillow':
                return None
            return lambda info: step(dict(info, seg_fields=[]))['gt_seg_map']
    return None


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
    num_classes: int | None,
    ignored: int,
    skip_corrupt: bool,
    read: Callable[[dict], np.ndarray] | None,
) -> set[int]:
    """Check one label map; the labels in it, as the pipeline gives them."""
    image_path, label_path = info['img_path'], info['seg_map_path']
    try:
        with Image.open(label_path) as label_map:
            labels = np.asarray(label_map)
        given = labels if read is None else read(info)
    except Exception as error:
        if skip_corrupt:
            return set()
        raise DataError(
            f'{label_path} is not a readable label map: {error}; repair it, or '
            'remove it and its image'
        ) from error
    try:
        check_upright(image_path)
        size = shown_size(image_path)
    except DataError:
        raise
    except Exception:
        return set()  # Met again, with its name and the rule of skip_corrupt, when it is loaded.
    if labels.shape[:2] != size[::-1]:
        raise DataError(
            f'{label_path} is {labels.shape[1]} x {labels.shape[0]}, but its image '
            f'{image_path} is {size[0]} x {size[1]}; make them of one size'
        )
    if labels.ndim != 2:
        raise DataError(
            f'{label_path} has {labels.shape[2]} channels; a label map has one, the class numbers'
        )
    if given.ndim != 2:
        raise DataError(
            f'{label_path} has class numbers as a palette image, which the pipeline reads as '
            f'colours, {given.shape[2]} channels; leave out imdecode_backend of LoadAnnotations'
        )
    if num_classes is None:
        return set()
    found = values = np.unique(labels if read is None else given).astype(int)
    if read is None:
        if info.get('reduce_zero_label'):
            values = np.where((values == 0) | (values == IGNORED), IGNORED, values - 1)
        if info.get('label_map'):
            values = np.array([info['label_map'].get(int(value), value) for value in values])
    wrong = found[(values >= num_classes) & (values != ignored)]
    if len(wrong):
        raise DataError(
            f'{label_path} has label {wrong[0]}, but the head of the task has '
            f'num_classes={num_classes}; labels are 0 to {num_classes - 1}, and '
            f'{ignored} for ignored'
        )
    return set(values.tolist()) - {ignored}
