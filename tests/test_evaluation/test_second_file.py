"""The evaluator's own annotation file: other order of categories, other images."""

import copy
import json

import numpy as np
import pytest
from mmdet.evaluation import CocoMetric
from mmengine.registry import DefaultScope
from PIL import Image

from allinone.data.loaders import _build_dataset
from allinone.errors import DataError
from allinone.tasks import Detection

NAMES = ('car', 'sign', 'tree')


@pytest.fixture
def files(tmp_path):
    """A file of two images with a box of each class, and what reads it."""
    for number in (1, 2):
        Image.new('RGB', (64, 64)).save(tmp_path / f'{number}.png')
    box = dict(bbox=[10, 10, 20, 20], area=400, iscrowd=0)
    content = dict(
        images=[dict(id=n, file_name=f'{n}.png', width=64, height=64) for n in (1, 2)],
        categories=[dict(id=n, name=name) for n, name in enumerate(NAMES, 1)],
        annotations=[
            dict(box, id=3 * image + label, image_id=image, category_id=label)
            for image in (1, 2)
            for label in (1, 2, 3)
        ],
    )
    (tmp_path / 'data.json').write_text(json.dumps(content))
    return tmp_path, content


def dataset(folder, **options):
    cfg = dict(
        type='mmdet.CocoDataset',
        ann_file=str(folder / 'data.json'),
        data_prefix=dict(img=str(folder)),
        metainfo=dict(classes=NAMES),
        test_mode=True,
        pipeline=[],
        **options,
    )
    with DefaultScope.overwrite_default_scope('allinone'):
        return _build_dataset(cfg)


def precision(folder, content, labels, **options):
    """mAP of one detection of each of ``labels`` on each image, by a second file."""
    file = folder / 'second.json'
    file.write_text(json.dumps(content))
    metric = CocoMetric(ann_file=str(file), metric='bbox')
    data = dataset(folder, **options)
    metric.dataset_meta = data.metainfo
    Detection().prepare_metric(metric, data, len(NAMES))
    for index in range(len(data)):
        prediction = dict(
            img_id=data.get_data_info(index)['img_id'],
            bboxes=np.array([[10.0, 10, 30, 30]] * len(labels)),
            scores=np.full(len(labels), 0.9),
            labels=np.array(labels),
        )
        metric.results.append(({}, prediction))
    return metric.compute_metrics(metric.results)['bbox_mAP']


def test_categories_in_another_order_are_the_same_classes(files):
    folder, content = files
    assert precision(folder, content, (0, 1, 2)) == 1.0
    for order in ((2, 1, 0), (1, 2, 0)):
        other = copy.deepcopy(content)
        other['categories'] = [content['categories'][i] for i in order]
        assert precision(folder, other, (0, 1, 2)) == 1.0
    # Boxes of sign alone
    assert precision(folder, content, (1,)) == pytest.approx(1 / 3, abs=1e-3)
    assert precision(folder, other, (1,)) == pytest.approx(1 / 3, abs=1e-3)


def test_other_numbers_of_categories_and_annotations(files):
    folder, content = files
    numbers = {1: 70, 2: 5, 3: 31}
    for category in content['categories']:
        category['id'] = numbers[category['id']]
    for annotation in content['annotations']:
        annotation['category_id'] = numbers[annotation['category_id']]
        annotation['id'] -= 4
        del annotation['iscrowd'], annotation['area']
    assert precision(folder, content, (0, 1, 2)) == 1.0


def test_a_part_of_the_images_is_evaluated_alone(files):
    folder, content = files
    assert precision(folder, content, (0, 1, 2), indices=1) == 1.0


@pytest.mark.parametrize(
    'change, says',
    [
        (lambda c: c['categories'].pop(), r'has no category tree, .*categories are car, sign'),
        (lambda c: c['images'].pop(), r'lacks 1 of 2 images of the data set, such as id 2'),
        (
            lambda c: c['images'][0].update(file_name='9.png'),
            r'has 9.png under the id 1, and the data set .*1.png; give both the same images',
        ),
    ],
)
def test_a_file_of_other_data_is_refused(files, change, says):
    folder, content = files
    change(content)
    with pytest.raises(DataError, match=says):
        precision(folder, content, (0, 1, 2))
