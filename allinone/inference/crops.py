"""Classification of detected boxes, such as car models or traffic signs."""

from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.config import Config

from allinone.errors import ConfigError
from allinone.models.allinone import AllInOne
from allinone.tasks.detection import CLASSIFIED
from allinone.visualization.draw import to_numpy

from .preprocess import TestPipeline, find_pipeline, predict_packed
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
        self.model, self.kind = model, model.kinds[task]
        if not self.kind.classifies_boxes:
            raise ConfigError(
                f'classify_boxes is {task!r}, which does not classify; name a classification task'
            )
        config = find_pipeline(cfg, task)
        if config is None:
            raise ConfigError(
                f'classify_boxes is {task!r}, but the config has no test or val data set of it, '
                'whose pipeline crops would go through; add one'
            )
        self.pipeline = TestPipeline(config, 'leave classify_boxes out')

    def classify(self, images: Sequence[np.ndarray], detections: Sequence) -> None:
        """Classify each box: sets ``instances.classified``, a list of ``{task: prediction}``.

        Args:
            images: BGR images ``(H, W, 3)``.
            detections: ``InstanceData`` of each image, with ``bboxes`` in its pixels.
        """
        crops = [
            self.pipeline(crop)
            for image, instances in zip(images, detections)
            for crop in _crops(image, to_numpy(instances.bboxes))
        ]
        samples = predict_packed(self.model, self.task, crops, CROPS)
        found = (to_record(sample, self.metainfo, kind=self.kind) for sample in samples)
        for instances in detections:
            records = [{self.task: next(found)} for _ in range(len(instances))]
            setattr(instances, CLASSIFIED, records)


def _crops(image: np.ndarray, boxes: np.ndarray):
    """The pixels that boxes ``[n, 4]`` cover, at least one per box."""
    height, width = image.shape[:2]
    # A diverged model returns non-finite boxes.
    corners = np.nan_to_num(boxes).reshape(-1, 2, 2).clip(0, (width, height))
    for (x1, y1), (x2, y2) in corners:
        left, top = min(int(x1), width - 1), min(int(y1), height - 1)
        right, bottom = max(int(np.ceil(x2)), left + 1), max(int(np.ceil(y2)), top + 1)
        yield np.ascontiguousarray(image[top:bottom, left:right])
