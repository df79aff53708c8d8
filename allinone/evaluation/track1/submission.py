"""Track 1's submission: what a joint model predicts, as one JSON file.

``{'cls': {image: class}, 'dec': [COCO detections], 'seg': {image: {class: polygons}}}``, as in
https://github.com/AquaSecure/CVPR2023_ComprehensiveModel_Track1 (README, "Submission Format").
"""

import json
import os
import os.path as osp
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook

from allinone.errors import ConfigError, DataError
from allinone.io.atomic import write_durably
from allinone.tasks import TaskKind
from allinone.tasks.wrapped import wrapped_data_sets

from .polygons import encode_label_map


class Submission(Hook):
    """Collects what is predicted on the test sets.

    Args:
        kinds: ``{task: kind}`` of the tasks that fill a section.
    """

    def __init__(self, kinds: Mapping[str, TaskKind]):
        self.kinds = dict(kinds)
        empty: dict[str, Any] = dict(cls={}, dec=[], seg={})
        filled = {kind.track1_section for kind in self.kinds.values()}
        self.content = {part: empty[part] for part in empty if part in filled}

    def after_test_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Mapping[str, list] | None = None
    ) -> None:
        for task, samples in (outputs or {}).items():
            dataset = next(wrapped_data_sets(runner.test_loop.dataloader.part(task).dataset))
            for sample in samples:
                self.add(task, sample, getattr(dataset, 'cat_ids', None))

    def add(self, task: str, sample, cat_ids: list[int] | None = None) -> None:
        """One image's prediction.

        Args:
            task: Name of the task.
            sample: A data sample of the task.
            cat_ids: ``category_id`` of each class; default: the classes' numbers.

        Raises:
            ConfigError: If the sample does not say of which image it is.
            DataError: If two images have one name.
        """
        section = self.kinds[task].track1_section
        content = self.kinds[task].track1_content(sample, cat_ids)
        if section == 'dec':
            image_id = int(_metadata_of(task, sample, 'img_id'))
            self.content['dec'] += [dict(image_id=image_id, **box) for box in content]
            return
        assert section is not None
        name = osp.basename(_metadata_of(task, sample, 'img_path'))
        if name in self.content[section]:
            raise DataError(
                f'task {task} has two images of the name {name}, and a submission knows them by '
                'their names; rename one'
            )
        self.content[section][name] = encode_label_map(content) if section == 'seg' else content

    def write(self, path: str | os.PathLike) -> None:
        """Write the file, whole or not at all.

        Raises:
            OSError: If it cannot be written.
        """
        os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
        write_durably(path, json.dumps(self.content, separators=(',', ':')).encode())


def _metadata_of(task: str, sample, key: str):
    value = sample.metainfo.get(key)
    if value is None:
        raise ConfigError(
            f'the samples of task {task} have no {key}; add it to meta_keys of the last transform '
            f'of test_dataloader.{task}.dataset.pipeline'
        )
    return value
