"""Checks that annotations, images and the head of a task fit, made before the first step."""

import os
from collections import defaultdict

from allinone.config.data_root import missing_data_set
from allinone.errors import DataError
from allinone.io.image_files import is_local
from allinone.io.text import shortened
from allinone.registry.kinds import kind_of_dataset_class
from allinone.tasks import TaskKind

from .seeded import IMAGE_KEYS, MapDataset


def check_dataset(
    dataset: MapDataset,
    num_classes: int | None,
    skip_corrupt: bool = False,
    kind: TaskKind | None = None,
) -> None:
    """Check a data set by what it says of its samples.

    Classes without any sample are legal, and named in the log.

    Args:
        dataset: After ``full_init``. Wrappers and concatenations are checked part by part; one
            without ``get_data_info`` is not checked.
        num_classes: Of the task's head; None: labels are not compared with it.
        skip_corrupt: Leave label maps that cannot be read for training to skip.
        kind: Of the task. Default: by the data set's class.

    Raises:
        DataError: Naming the file and the value, for a missing image or label map, a label
            outside ``num_classes``, categories that do not fit ``metainfo.classes``, or a label
            map of another size than its image.
    """
    for part in getattr(dataset, 'datasets', ()):
        check_dataset(part, num_classes, skip_corrupt, kind)
    if hasattr(dataset, 'dataset'):
        return check_dataset(dataset.dataset, num_classes, skip_corrupt, kind)
    if hasattr(dataset, 'datasets') or not hasattr(dataset, 'get_data_info'):
        return
    kind = kind or kind_of_dataset_class(type(dataset)) or TaskKind()
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    # Images to search have other identities than those of training.
    counted = not kind.embeds and num_classes is not None
    if classes and counted and len(classes) != num_classes:
        raise DataError(
            f'metainfo.classes has {len(classes)} names, but the head of the task has '
            f'num_classes={num_classes}; make them agree'
        )
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    _check_files(infos)
    kind.check_labels(dataset, infos, num_classes, skip_corrupt)


def _check_files(infos: list[dict]) -> None:
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for info in infos:
        for path in map(info.get, IMAGE_KEYS):
            if path and is_local(path):
                folder, name = os.path.split(path)
                wanted[folder].add(name)
    for folder, names in wanted.items():
        if not os.path.isdir(folder or '.'):
            remedy = missing_data_set(folder) or 'check data_root and data_prefix'
            raise DataError(f'the folder {folder} does not exist; {remedy}')
        missing = sorted(names.difference(os.listdir(folder or '.')))
        if missing:
            raise DataError(
                f'{len(missing)} of {len(names)} files are missing in {folder}: '
                f'{shortened(missing)}; add them, or take them off the annotations'
            )
