"""Track 1's submission: what a joint model predicts, as one JSON file.

``{'cls': {picture: class}, 'dec': [COCO detections], 'seg': {picture: {class: polygons}}}``, as in
https://github.com/AquaSecure/CVPR2023_ComprehensiveModel_Track1 (README, "Submission Format").
"""

import json
import os
import os.path as osp
from collections.abc import Mapping

import numpy as np
from mmengine.hooks import Hook

from allinone.errors import ConfigError, DataError
from allinone.io.atomic import write_durably

from .polygons import encode_label_map

SECTIONS = dict(mmpretrain='cls', mmdet='dec', mmseg='seg')


class Submission(Hook):
    """Collects what is predicted on the test sets.

    Args:
        sections: ``{task: 'cls', 'dec' or 'seg'}``.
    """

    def __init__(self, sections: Mapping[str, str]):
        self.sections = dict(sections)
        empty = dict(cls={}, dec=[], seg={})
        self.content = {part: empty[part] for part in empty if part in self.sections.values()}

    def after_test_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Mapping[str, list] | None = None
    ) -> None:
        for task, samples in (outputs or {}).items():
            dataset = runner.test_loop.dataloader.loaders[task].dataset
            for sample in samples:
                self.add(task, sample, getattr(dataset, 'cat_ids', None))

    def add(self, task: str, sample, cat_ids: list[int] | None = None) -> None:
        """One picture's prediction.

        Args:
            task: Name of the task.
            sample: A data sample of the task's library.
            cat_ids: ``category_id`` of each class; default: the classes' numbers.

        Raises:
            ConfigError: If the sample does not say of which picture it is.
            DataError: If two pictures have one name.
        """
        section = self.sections[task]
        if section == 'dec':
            self.content['dec'] += _detections(_told(task, sample, 'img_id'), sample, cat_ids)
            return
        name = osp.basename(_told(task, sample, 'img_path'))
        if name in self.content[section]:
            raise DataError(
                f'task {task} has two pictures of the name {name}, and a submission knows them by '
                'their names; rename one'
            )
        if section == 'cls':
            # As the accuracy is counted, also where two classes have the highest score.
            self.content['cls'][name] = int(sample.pred_score.topk(1).indices)
        else:
            labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
            self.content['seg'][name] = encode_label_map(labels)

    def write(self, path: str | os.PathLike) -> None:
        """Write the file, whole or not at all.

        Raises:
            OSError: If it cannot be written.
        """
        os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
        write_durably(path, json.dumps(self.content, separators=(',', ':')).encode())


def _told(task: str, sample, key: str):
    value = sample.metainfo.get(key)
    if value is None:
        raise ConfigError(
            f'the samples of task {task} have no {key}; add it to meta_keys of the last transform '
            f'of test_dataloader.{task}.dataset.pipeline'
        )
    return value


def _detections(image_id: int, sample, cat_ids: list[int] | None) -> list[dict]:
    found = sample.pred_instances
    return [
        dict(
            image_id=int(image_id),
            category_id=int(cat_ids[label] if cat_ids else label),
            bbox=[left, top, right - left, bottom - top],
            score=score,
        )
        for (left, top, right, bottom), label, score in zip(
            found.bboxes.tolist(), found.labels.tolist(), found.scores.tolist()
        )
    ]
