"""Class weights of a segmentation task from the pixels of its training label maps."""

import sys
from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.registry import DATASETS
from PIL import Image

from allinone.config.build_errors import named
from allinone.config.data_sets import scoped_dataset
from allinone.config.loading import load_config
from allinone.config.sources import data_of_task, tasks_served
from allinone.data.checks import check_dataset
from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.tasks.annotated_classes import annotated_labels

OFFSET = 1.02


def class_weights(pixels: np.ndarray) -> np.ndarray:
    """Weights ``[C]`` from pixel counts ``[C]``, with a mean of 1 over the pixels.

    ``1 / log(1.02 + p)`` of `ENet <https://arxiv.org/abs/1606.02147>`_, section 5.2.
    """
    share = pixels / pixels.sum()
    weights = 1 / np.log(OFFSET + share)
    return weights / (weights * share).sum()


def count_pixels(infos: list[dict], num_classes: int) -> np.ndarray:
    """Pixels ``[C]`` of each class over the label maps of a data set's ``get_data_info``."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for info in infos:
        with Image.open(info['seg_map_path']) as label_map:
            labels = np.asarray(label_map).astype(np.int64)
        if info.get('reduce_zero_label'):
            labels = labels - 1
        counts += np.bincount(labels[(labels >= 0) & (labels < num_classes)], minlength=num_classes)
    return counts


def _pixels_of(cfg: Mapping) -> tuple[Sequence[str], np.ndarray]:
    """Class names of a data set, and the pixels ``[C]`` that training takes of each."""
    dataset = DATASETS.build(scoped_dataset(cfg))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    if not infos or 'seg_map_path' not in infos[0]:
        raise ConfigError('its samples have no label maps; name a segmentation task')
    classes = dataset.metainfo['classes']
    check_dataset(dataset, len(classes))
    pixels = count_pixels(infos, len(classes))
    annotated = annotated_labels(dataset)
    if annotated is not None:
        pixels[np.setdiff1d(np.arange(len(classes)), annotated)] = 0
    if not pixels.any():
        raise DataError('its label maps have no pixel of any class; label some')
    return classes, pixels


def print_class_weights(config: str, task: str) -> int:
    """Print class, share of pixels, weight, and the list for the config; the exit status."""
    try:
        cfg = load_config(config)
        sources = list(data_of_task(cfg.train_dataloader, 'train', task))
        if not sources:
            raise ConfigError(
                f'{task} is not in train_dataloader, which has {tasks_served(cfg.train_dataloader)}'
            )
        pixels = np.zeros(1, dtype=np.int64)
        for data in sources:
            with named(data.dataset_key, data.dataset):
                classes, counts = _pixels_of(data.dataset)
            pixels = pixels + counts
    except AllInOneError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    weights = class_weights(pixels)
    for name, share, weight in zip(classes, pixels / pixels.sum(), weights):
        print(f'{name:<20} {share:8.4%} {weight:8.2f}')
    print(f'class_weight=[{", ".join(f"{weight:.2f}" for weight in weights)}]')
    return 0
