"""Training images that set the ranges of values in int8 graphs."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import cv2
import mmcv
import numpy as np
import torch
from mmengine.config import Config

from allinone.config.loading import load_config
from allinone.config.sources import data_of_task
from allinone.data.image_paths import image_paths
from allinone.errors import ConfigError, DataError
from allinone.inference.input_errors import in_words
from allinone.io.file_identity import file_identity
from allinone.io.images import read_image
from allinone.models.exported.graph_input import GraphInput

SEED = 0


class Calibration:
    """Train images of a config, sampled alike from all tasks.

    Args:
        config: The config or its file.
        tasks: Tasks of the graph.
        count: Number of images.
        on_note: Called with a sentence if there are fewer.

    Attributes:
        paths: Of the images, in the order in which they were sampled.

    Raises:
        ConfigError: If the config trains one of the tasks on nothing.
        DataError: If data sets cannot be read.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config,
        tasks: Sequence[str],
        count: int,
        on_note: Callable[[str], None],
    ):
        if type(count) is not int or count < 1:
            raise ConfigError(
                f'--calibration-images is {count!r}; give a whole number of at least 1'
            )
        cfg = config if isinstance(config, Config) else load_config(os.fspath(config))
        self.name = 'the config' if isinstance(config, Config) else os.fspath(config)
        self.paths = _sampled(self._paths_of(cfg, tasks), count)
        if len(self.paths) < count:
            on_note(
                f'--calibration-images is {count}, but the train sets of {", ".join(tasks)} have '
                f'{len(self.paths)} images; all are used'
            )

    def _paths_of(self, cfg: Config, tasks: Sequence[str]) -> dict[str, list[str]]:
        loaders = cfg.get('train_dataloader')
        data = {task: list(data_of_task(loaders, 'train', task)) for task in tasks}
        if without := [task for task in tasks if not data[task]]:
            raise ConfigError(
                f'--calibrate {self.name}: train_dataloader has no data of {without}; give a '
                'config that trains all tasks of the graph, or name others with --tasks'
            )
        found = {}
        for task, parts in data.items():
            paths: list[str] = []
            for part in parts:
                try:
                    paths += image_paths(part.dataset or {})
                except Exception as error:
                    # Data sets raise errors of many types for files that are not there.
                    raise DataError(
                        f'--calibrate {self.name}: {part.dataset_key} cannot be read: '
                        f'{in_words(error)}'
                    ) from error
            if not paths:
                raise DataError(
                    f'--calibrate {self.name}: {parts[0].dataset_key} has no images; check its '
                    'files'
                )
            found[task] = sorted(set(paths))
        return found

    def images(self, about: Mapping) -> Iterator[np.ndarray]:
        """The images as inputs of a graph, ``(1, 3, H, W)``.

        Args:
            about: ``input`` of the graph's metadata. Graphs of any size get images of their
                ``height`` and ``width`` too.

        Raises:
            DataError: If an image cannot be read.
        """
        taken = GraphInput('the graph', dict(about, dynamic=[]))
        for path in self.paths:
            image = _fitted(read_image(path), path, taken)
            yield taken.padded(torch.from_numpy(image).permute(2, 0, 1), path)[None]


def _sampled(paths: Mapping[str, list[str]], count: int) -> list[str]:
    """Images of each task in turn, no file twice."""
    orders = []
    for place, names in enumerate(paths.values()):
        order = np.random.default_rng([SEED, place]).permutation(len(names))
        orders.append([names[index] for index in order])
    found: dict = {}
    for place in range(max(map(len, orders))):
        for names in orders:
            if place < len(names) and len(found) < count:
                found.setdefault(file_identity(names[place]), names[place])
    return list(found.values())


def _fitted(image: np.ndarray, path: str, about: GraphInput) -> np.ndarray:
    height, width = image.shape[:2]
    size = about.scale
    if about.keep_ratio:
        factor = min(size[0] / width, size[1] / height)
        size = int(width * factor + 0.5), int(height * factor + 0.5)
    try:
        return mmcv.imresize(image, size)
    except cv2.error as error:
        raise DataError(
            f'{path} is {width} x {height}, of which the graph would have less than a pixel; '
            'remove it from the train set, or export another --size'
        ) from error
