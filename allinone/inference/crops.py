"""Tasks that run on detected boxes: classes such as car models, or embeddings to search for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from mmengine.config import Config

from allinone.errors import ConfigError
from allinone.models.allinone import AllInOne
from allinone.tasks.base import Json
from allinone.tasks.detection import ON_BOXES
from allinone.visualization.draw import to_numpy

from .preprocess import TestPipeline, find_pipeline, predict_packed
from .records import to_record

CROPS = 64  # per batch


class _Option(NamedTuple):
    able: str  # Attribute of the kinds that can
    does: str
    wanted: str


OPTIONS = {
    'classify_boxes': _Option('classifies_boxes', 'classify', 'a classification task'),
    'embed_boxes': _Option('embeds', 'embed', 'a retrieval task'),
}


class BoxTask:
    """Predicts a task on each detected box by its crop of the original image.

    A crop passes through the test pipeline of the task's data set (except its loading) and the
    task's ``test_step``, like an image of that data set.

    Args:
        model: The joint model.
        cfg: Its config, with ``test_dataloader`` or ``val_dataloader`` for the task.
        task: Name of the task.
        metainfo: Metadata with the names of its classes.
        option: The option that names the task, a key of ``OPTIONS``.

    Raises:
        ConfigError: If the kind of the task cannot do this, or its test pipeline is unknown.
    """

    def __init__(self, model: AllInOne, cfg: Config, task: str, metainfo: Mapping, option: str):
        self.task, self.metainfo = task, metainfo
        self.model, self.kind = model, model.kinds[task]
        able, does, wanted = OPTIONS[option]
        if not getattr(self.kind, able):
            raise ConfigError(f'{option} is {task!r}, which does not {does}; name {wanted}')
        config = find_pipeline(cfg, task)
        if config is None:
            raise ConfigError(
                f'{option} is {task!r}, but the config has no test or val data set of it, '
                'whose pipeline crops would go through; add one'
            )
        self.pipeline = TestPipeline(config, f'leave {option} out')

    def predict(self, crops: Sequence[np.ndarray]) -> Iterator[Json | np.ndarray]:
        """Records of crops, BGR images ``(h, w, 3)``."""
        packed = [self.pipeline(crop) for crop in crops]
        samples = predict_packed(self.model, self.task, packed, CROPS)
        return (to_record(sample, self.metainfo, kind=self.kind) for sample in samples)


def run_on_boxes(
    tasks: Sequence[BoxTask], images: Sequence[np.ndarray], detections: Sequence
) -> None:
    """Predict tasks on each box: sets ``instances.on_boxes``, a list of ``{task: prediction}``.

    Args:
        tasks: What to predict.
        images: BGR images ``(H, W, 3)``.
        detections: ``InstanceData`` of each image, with ``bboxes`` in its pixels.
    """
    crops = [
        crop
        for image, instances in zip(images, detections)
        for crop in _crops(image, to_numpy(instances.bboxes))
    ]
    found = {task.task: task.predict(crops) for task in tasks}
    for instances in detections:
        records = [
            {task: next(predictions) for task, predictions in found.items()}
            for _ in range(len(instances))
        ]
        setattr(instances, ON_BOXES, records)


def _crops(image: np.ndarray, boxes: np.ndarray):
    """The pixels that boxes ``[n, 4]`` cover, at least one per box."""
    height, width = image.shape[:2]
    # A diverged model returns non-finite boxes.
    corners = np.nan_to_num(boxes).reshape(-1, 2, 2).clip(0, (width, height))
    for (x1, y1), (x2, y2) in corners:
        left, top = min(int(x1), width - 1), min(int(y1), height - 1)
        right, bottom = max(int(np.ceil(x2)), left + 1), max(int(np.ceil(y2)), top + 1)
        yield np.ascontiguousarray(image[top:bottom, left:right])
