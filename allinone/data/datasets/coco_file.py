"""COCO sets whose classes are those of an annotation file."""

import json
import os

from mmdet.datasets import CocoDataset
from mmengine.fileio import get_local_path, join_path

from allinone.errors import DataError
from allinone.io.renames import renamed_arguments
from allinone.registry import DATASETS


@DATASETS.register_module()
class CocoFileDataset(CocoDataset):
    """mmdet's ``CocoDataset`` with the categories of a file as its classes, in their order.

    Args:
        classes_from_file: The annotation file, below ``data_root``; for all splits the same one, so
            that a split which orders its categories otherwise is found.
        data_root: As in mmdet.
        metainfo: As in mmdet, without ``classes``.
        **kwargs: As for ``mmdet.CocoDataset``.

    Raises:
        DataError: If the file has no categories.
    """

    METAINFO: dict = {}

    @renamed_arguments(classes_from='classes_from_file')
    def __init__(
        self, *, classes_from_file: str, data_root: str = '', metainfo: dict | None = None, **kwargs
    ):
        path = join_path(data_root, classes_from_file) if data_root else classes_from_file
        classes = category_names(path)
        super().__init__(
            data_root=data_root, metainfo=dict(metainfo or {}, classes=classes), **kwargs
        )


def category_names(path: str | os.PathLike) -> list[str]:
    """Names of the categories of a COCO file, in their order.

    Raises:
        DataError: If it has none.
    """
    with get_local_path(path) as local, open(local, encoding='utf-8') as file:
        content = json.load(file)
    try:
        return [category['name'] for category in content['categories']]
    except (KeyError, TypeError) as error:
        raise DataError(
            f'{path} has no categories with names, so the classes are not known; give the '
            'annotation file of the training set'
        ) from error
