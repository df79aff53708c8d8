"""Boxes marked ``ignore`` in COCO files, which mmdet's data sets leave out."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.fileio import get_local_path

from .coco import is_numbered_by_file
from .wrapped import wrapped_data_sets


class IgnoredBoxes:
    """Adds boxes marked ``ignore`` to what a data set knows of an image.

    Such boxes, as VOC's difficult ones, are crowds of the metrics
    (:func:`~allinone.tasks.coco.complete_annotations`), so the analysis has to know them, too.

    Args:
        dataset: May wrap or concatenate others. Those that are no COCO sets of mmdet have none.
    """

    def __init__(self, dataset: Any):
        self._of: dict[str, list[dict]] = {}
        for part in wrapped_data_sets(dataset):
            for path, instances in _ignored(part):
                self._of.setdefault(path, []).extend(instances)

    def added_to(self, info: Mapping) -> Mapping:
        """``info`` of an image with the further ``instances``, whose ``ignore_flag`` is 1."""
        others = self._of.get(info.get('img_path', ''))
        return dict(info, instances=[*info['instances'], *others]) if others else info


def _ignored(dataset: Any) -> Iterator[tuple[str, list[dict]]]:
    """Path and boxes of each image that has such boxes."""
    if not is_numbered_by_file(dataset):
        return
    # The file of the data set, not of the metric: training data has no metric.
    with get_local_path(dataset.ann_file, backend_args=dataset.backend_args) as path:
        with open(path, encoding='utf-8') as text:
            annotations = json.load(text).get('annotations', ())
    dataset.full_init()  # Without effect where it is complete
    labels: Mapping[int, int] = dataset.cat2label
    of: dict[Any, list[dict]] = {}
    for annotation in annotations:
        if annotation.get('ignore') and annotation['category_id'] in labels:
            x, y, width, height = annotation['bbox']
            of.setdefault(annotation['image_id'], []).append(
                dict(
                    bbox=[x, y, x + width, y + height],
                    bbox_label=labels[annotation['category_id']],
                    ignore_flag=1,
                )
            )
    for index in range(len(dataset) if of else 0):
        info = dataset.get_data_info(index)
        if info['img_id'] in of:
            yield info['img_path'], of.pop(info['img_id'])
