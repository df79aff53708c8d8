"""Classification of detected boxes, such as car models or traffic signs."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from allinone.config.build_errors import named
from allinone.errors import ConfigError
from allinone.models.allinone import AllInOne
from allinone.tasks import TaskKind
from allinone.tasks.base import Json
from allinone.tasks.detection import CLASSIFIED
from allinone.visualization.draw import to_numpy

from .records import to_record

CROPS = 64  # per batch


class BoxClassifier:
    """Classifies each detected box by its crop of the original image.

    A crop passes through the test pipeline of the task's data set (except its loading) and the
    task's ``test_step``, like an image of that data set.

    Args:
        model: The joint model.
        cfg: Its config, with ``test_dataloader`` or ``val_dataloader`` for the task.
        task: Name of the classification task.
        metainfo: Metadata with the names of its classes.

    Raises:
        ConfigError: If the task is not a classification task, or its test pipeline is unknown.
    """

    def __init__(self, model: AllInOne, cfg: Config, task: str, metainfo: Mapping):
        self.task, self.metainfo = task, metainfo
        self.model, self.kind = model.tasks[task], model.kinds[task]
        if not self.kind.classifies_boxes:
            raise ConfigError(
                f'classify_boxes is {task!r}, which does not classify; name a classification task'
            )
        self.pipeline = _crop_pipeline(cfg, task, self.kind)

    def classify(self, images: Sequence[np.ndarray], detections: Sequence) -> None:
        """Classify each box: sets ``instances.classified``, a list of ``{task: prediction}``.

        Args:
            images: BGR images ``(H, W, 3)``.
            detections: ``InstanceData`` of each image, with ``bboxes`` in its pixels.
        """
        crops = [
            self.pipeline(dict(img=crop, img_shape=crop.shape[:2], ori_shape=crop.shape[:2]))
            for image, instances in zip(images, detections)
            for crop in _crops(image, to_numpy(instances.bboxes))
        ]
        found = iter(self._records(crops))
        for instances in detections:
            records = [{self.task: next(found)} for _ in range(len(instances))]
            setattr(instances, CLASSIFIED, records)

    def _records(self, crops: list[dict]) -> list[Json | np.ndarray]:
        records: list[Json | np.ndarray] = [None] * len(crops)
        by_shape: dict[tuple, list[int]] = {}
        for number, crop in enumerate(crops):
            by_shape.setdefault(tuple(crop['inputs'].shape), []).append(number)
        for numbers in by_shape.values():
            for start in range(0, len(numbers), CROPS):
                batch = numbers[start : start + CROPS]
                data = dict(
                    inputs=[crops[number]['inputs'] for number in batch],
                    data_samples=[crops[number]['data_samples'] for number in batch],
                )
                with torch.no_grad():
                    samples = self.model.test_step(data)
                for number, sample in zip(batch, samples):
                    records[number] = to_record(sample, self.metainfo, kind=self.kind)
        return records


def _crops(image: np.ndarray, boxes: np.ndarray):
    """The pixels that boxes ``[n, 4]`` cover, at least one per box."""
    height, width = image.shape[:2]
    # A diverged model returns non-finite boxes.
    corners = np.nan_to_num(boxes).reshape(-1, 2, 2).clip(0, (width, height))
    for (x1, y1), (x2, y2) in corners:
        left, top = min(int(x1), width - 1), min(int(y1), height - 1)
        right, bottom = max(int(np.ceil(x2)), left + 1), max(int(np.ceil(y2)), top + 1)
        yield np.ascontiguousarray(image[top:bottom, left:right])


def _crop_pipeline(cfg: Config, task: str, kind: TaskKind) -> Compose:
    for stage in ('test', 'val'):
        dataset = ((cfg.get(f'{stage}_dataloader') or {}).get(task) or {}).get('dataset') or {}
        while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), Mapping):
            dataset = dataset['dataset']
        if 'pipeline' not in dataset:
            continue
        steps = [
            step
            for step in dataset['pipeline']
            if not step['type'].rpartition('.')[2].startswith('Load')
        ]
        key = f'{stage}_dataloader.{task}.dataset.pipeline'
        with DefaultScope.overwrite_default_scope(kind.library or 'allinone'), named(key, steps):
            return Compose(steps)
    raise ConfigError(
        f'classify_boxes is {task!r}, but the config has no test or val data set of it, whose '
        'pipeline crops would go through; add one'
    )
