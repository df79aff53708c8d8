"""Labels that images have already, of some classes of a task, and that a teacher completes."""

import hashlib
import os.path as osp
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from allinone.config.build_errors import named
from allinone.config.sources import data_of_task
from allinone.data.image_paths import listed_images
from allinone.errors import ConfigError
from allinone.io.file_identity import file_identity
from allinone.io.text import shortened
from allinone.tasks.annotated_classes import annotated_labels
from allinone.tasks.labels import label_of


@dataclass(frozen=True)
class OwnLabels:
    """What a data set knows of its images, whose labels are of some classes alone.

    Attributes:
        annotated: Names of these classes.
        classes: Names of all classes, in the order of the data set.
        infos: ``{file: data info}``.
    """

    annotated: tuple[str, ...]
    classes: tuple[str, ...]
    infos: Mapping[Hashable, dict]

    def of(self, path: str) -> dict | None:
        """Data info of an image; None if the data set does not list it."""
        return self.infos.get(file_identity(path))

    def to_json(self) -> dict:
        digest = hashlib.sha256()
        for info in self.infos.values():
            digest.update(repr((osp.basename(info['img_path']), *label_of(info))).encode())
        return dict(annotated=list(self.annotated), labels_sha256=digest.hexdigest())


def own_labels(
    source: str,
    loaders: Mapping[str, Mapping],
    task: str,
    classes: Sequence[str],
    note: Callable[[str], None],
) -> OwnLabels | None:
    """The labels of a task of a source whose data set has ``metainfo.annotated_classes``.

    Args:
        source: Name of the source.
        loaders: ``train_dataloader`` of the config that has it.
        task: Name of the task.
        classes: Those of the teacher.
        note: Called with a sentence if the source has labels of all classes.

    Returns:
        None if it has none of the task, or all.

    Raises:
        ConfigError: If an annotated class is not one of the teacher.
    """
    data = next(data_of_task({source: loaders[source]}, 'train', task), None)
    if data is None:
        return None
    with named(data.dataset_key, data.dataset):
        parts = list(listed_images(data.dataset))
        found = {annotated_labels(dataset) for dataset in parts}
    if len(found) != 1 or found == {None}:
        note(
            f'{data.dataset_key} has labels of {task} without metainfo.annotated_classes; labels '
            'of the teacher take their place in --out'
        )
        return None
    names = tuple(map(str, parts[0].metainfo['classes']))
    annotated = tuple(names[label] for label in found.pop() or ())
    if strange := [name for name in annotated if name not in classes]:
        raise ConfigError(
            f'{data.dataset_key} annotates {shortened(strange)}, which the teacher of {task} does '
            f'not have; its classes are {shortened(classes, 6)}'
        )
    infos = [part.get_data_info(index) for part in parts for index in range(len(part))]
    return OwnLabels(annotated, names, {file_identity(info['img_path']): info for info in infos})
