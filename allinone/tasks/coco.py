"""COCO annotation files as training and evaluation read them."""

import json
import logging
import os
from collections.abc import Iterator, Sized
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TypeGuard, cast

from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch.utils.data import Dataset

from allinone.errors import DataError
from allinone.io.text import shortened

from .annotated_classes import ANNOTATED
from .wrapped import wrapped_data_sets

BOX_METRICS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
COCO_SET = 'mmdet.datasets.coco', 'CocoDataset.load_data_list'


def is_numbered_by_file(dataset: Dataset) -> TypeGuard[BaseDataset]:
    """Whether labels follow the order of the file's categories, as in mmdet's own COCO sets."""
    reads = getattr(type(dataset), 'load_data_list', None)
    return (getattr(reads, '__module__', None), getattr(reads, '__qualname__', None)) == COCO_SET


def listed_categories(path: str) -> list[str]:
    """Names of a file's categories in their order; none of a file that cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        with open(path, encoding='utf-8') as text:
            return [category['name'] for category in json.load(text)['categories']]
    return []


@contextmanager
def reading_normalised() -> Iterator[None]:
    """Let mmdet's COCO sets that are built inside read normalised annotations."""
    from mmdet.datasets import CocoDataset

    class NormalisedCoco(CocoDataset.COCOAPI):
        def createIndex(self) -> None:
            normalise(self.dataset)
            super().createIndex()

        def get_cat_ids(self, cat_names=(), *others, **further) -> list:
            """As of mmdet; in the order of ``cat_names`` if the file has not all of them.

            mmdet numbers classes by the order of this list, from which an absent class would be
            missing. Such a class has no box here, and gets an id that no box has.
            """
            numbers = {part['name']: part['id'] for part in self.dataset['categories']}
            if not cat_names or not set(cat_names) - set(numbers):
                return super().get_cat_ids(cat_names, *others, **further)
            return [numbers.get(name, -1 - place) for place, name in enumerate(cat_names)]

    before = CocoDataset.COCOAPI
    CocoDataset.COCOAPI = NormalisedCoco
    try:
        yield
    finally:
        CocoDataset.COCOAPI = before


def normalise(content: dict) -> bool:
    """Fill in, in place, what exporters leave out of a COCO file; whether anything changed.

    Absent ``annotations`` are none. An absent ``iscrowd`` is 0. An ``area`` that is absent or not
    above 0 is that of the box. Ids of annotations become 1, 2, ... unless they are different whole
    numbers above 0: pycocotools would mix annotations of one id, and takes 0 for none. Training and
    evaluation both read annotations in this form.
    """
    changed = 'annotations' not in content
    annotations = content.setdefault('annotations', [])
    ids = {annotation.get('id') for annotation in annotations}
    if len(ids) < len(annotations) or not all(isinstance(i, int) and i > 0 for i in ids):
        changed = True
        for number, annotation in enumerate(annotations, 1):
            annotation['id'] = number
    for annotation in annotations:
        if 'iscrowd' not in annotation:
            annotation['iscrowd'] = 0
            changed = True
        if not annotation.get('area', 0) > 0 and 'bbox' in annotation:
            area = annotation['bbox'][2] * annotation['bbox'][3]
            changed = changed or annotation.get('area') != area
            annotation['area'] = area
    return changed


def complete_annotations(metric: BaseMetric) -> None:
    """Make the annotations that a COCO metric compares with as COCO's evaluation expects them.

    They are those that training reads (:func:`normalise`). COCO's evaluation does not know
    ``ignore``, whose boxes training leaves out, so such a box counts as a crowd: a detection of it
    is neither right nor wrong. Other files are left as they are.

    Args:
        metric: Changed in place; one without an annotation file stays as it is.
    """
    coco = getattr(metric, '_coco_api', None)  # LVIS has another one.
    if coco is None:
        return
    changed = normalise(coco.dataset)
    annotations = coco.dataset['annotations']
    for annotation in annotations:
        if annotation.get('ignore') and not annotation['iscrowd']:
            annotation['iscrowd'] = 1
            changed = True
    if changed:
        with redirect_stdout(None):  # It prints.
            coco.createIndex()


def fit_to_dataset(metric: BaseMetric, dataset: Dataset) -> None:
    """Let a COCO metric number categories as the data set does, and evaluate the images of it.

    Args:
        metric: Changed in place; one without an annotation file stays as it is.
        dataset: What is evaluated.

    Raises:
        DataError: If the metric's annotation file lacks a class or an image of the data set, or
            has another image under the same id.
    """
    coco = getattr(metric, '_coco_api', None)  # LVIS has another one.
    if coco is None:
        return
    parts = list(wrapped_data_sets(dataset))
    numbers = {category['name']: number for number, category in coco.cats.items()}
    classes = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
    lacking = [name for name in classes if name not in numbers]
    annotated = (getattr(dataset, 'metainfo', None) or {}).get(ANNOTATED)
    if lacking and annotated and not set(lacking) & set(annotated):
        # Classes without boxes, which the metric leaves out of its mean
        for number, name in enumerate(lacking, max(coco.cats, default=0) + 1):
            coco.dataset['categories'].append(dict(id=number, name=name))
            coco.cats[number] = coco.dataset['categories'][-1]
            numbers[name] = number
        lacking = []
    if lacking:
        raise DataError(
            f'its annotation file has no category {shortened(lacking)}, which the data set has; '
            f'its categories are {shortened(numbers, 6)}'
        )
    if classes:
        # mmdet would take them in the order of the file.
        metric.cat_ids = [numbers[name] for name in classes]
    if not all(map(is_numbered_by_file, parts)):
        return
    infos = [part.get_data_info(index) for part in parts for index in range(len(part))]
    strange = [info for info in infos if info['img_id'] not in coco.imgs]
    if strange:
        raise DataError(
            f'its annotation file lacks {len(strange)} of {len(infos)} images of the data set, '
            f'such as id {strange[0]["img_id"]} ({strange[0]["img_path"]}); give both the same '
            'images'
        )
    for info in infos:
        name = coco.imgs[info['img_id']].get('file_name')
        if name and os.path.basename(name) != os.path.basename(info['img_path']):
            raise DataError(
                f'its annotation file has {name} under the id {info["img_id"]}, and the data set '
                f'{info["img_path"]}; give both the same images'
            )
    different = len({info['img_id'] for info in infos})
    if (count := len(cast(Sized, dataset))) > different:
        raise DataError(
            f'its data set gives {count} images, of which {different} are different, and '
            'boxes of an image that comes again would count as false ones; evaluate each image '
            'once, without RepeatDataset and the like'
        )
    if len(infos) < len(coco.imgs):
        metric.img_ids = [info['img_id'] for info in infos]
        print_log(
            f'{len(infos)} of the {len(coco.imgs)} images of the annotation file are evaluated',
            'current',
            logging.WARNING,
        )
