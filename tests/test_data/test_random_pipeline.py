"""Branches of augmentation, and classes from a file."""

import json
from collections import Counter

import numpy as np
import pytest
from mmengine.registry import DATASETS
from track1_data import SIGNS, make_track1

from allinone.data.checks import check_dataset
from allinone.data.datasets.coco_file import CocoFileDataset
from allinone.data.seeded import Draw, SeededDataset
from allinone.errors import ConfigError, DataError

MOSAIC = [
    dict(type='Mosaic', img_scale=(64, 64)),
    dict(type='MixUp', img_scale=(64, 64)),
    dict(type='PackDetInputs'),
]
PLAIN = [dict(type='Resize', scale=(48, 48), keep_ratio=True), dict(type='PackDetInputs')]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_track1(tmp_path_factory.mktemp('track1'))


def branches(root, prob):
    return DATASETS.build(
        dict(
            type='allinone.RandomPipelineDataset',
            _scope_='mmdet',
            prob=prob,
            pipelines=[MOSAIC, PLAIN],
            dataset=dict(
                type='allinone.CocoFileDataset',
                data_root=str(root / 'dec'),
                classes_from_file='train.json',
                ann_file='train.json',
                data_prefix=dict(img='train/'),
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadAnnotations', with_bbox=True),
                ],
            ),
        )
    )


def sizes(dataset):
    return {tuple(dataset[index]['inputs'].shape[1:]) for index in range(len(dataset))}


def test_a_branch_is_left_out_by_a_0(root):
    assert sizes(branches(root, [1, 0])) == {(128, 128)}
    assert sizes(branches(root, [0, 1])) == {(48, 48)}


def test_branches_follow_from_the_draw_alone(root):
    first, second = (SeededDataset(branches(root, [1, 1]), 'det', 5) for _ in range(2))
    shapes = Counter()
    for number in range(12):
        draw = Draw(number % 6, number)
        again, image = first[draw]['inputs'], second[draw]['inputs']
        np.testing.assert_array_equal(again, image)
        shapes[tuple(image.shape[1:])] += 1
    assert len(shapes) == 2


def test_the_data_set_inside_is_the_one_that_is_known(root):
    dataset = branches(root, [1, 1])
    check_dataset(dataset, 45)
    assert list(dataset.metainfo['classes']) == SIGNS
    assert dataset.cat_ids == list(range(1, 46))
    with pytest.raises(DataError, match='45 names.*num_classes=4'):
        check_dataset(dataset, 4)


def test_probabilities_that_do_not_fit_are_refused(root):
    with pytest.raises(ConfigError, match='prob is .* 3 numbers for 2 pipelines'):
        branches(root, [1, 1, 1])
    with pytest.raises(ConfigError, match='make at least one positive'):
        branches(root, [0, 0])


def test_a_truncated_image_is_named_also_where_it_is_mixed_into_another(tmp_path):
    root = make_track1(tmp_path)
    path = root / 'dec/train/103.jpg'
    path.write_bytes(path.read_bytes()[:-200])
    dataset = branches(root, [1, 0])
    strict, lenient = (
        SeededDataset(dataset, 'det', 0, skip_corrupt=skip) for skip in (False, True)
    )
    others = [index for index in range(6) if index != 3]
    for index in others * 4:
        lenient[Draw(index, index)]
    assert not lenient.corrupt.any()
    dataset.skip_broken_parts(False)
    with pytest.raises(DataError, match='task det: .*103.jpg is truncated.*; repair or remove'):
        for number in range(20):
            strict[Draw(others[number % 5], number)]


def test_a_split_that_orders_its_categories_otherwise_is_refused(tmp_path):
    root = make_track1(tmp_path)
    content = json.loads((root / 'dec/val.json').read_text())
    content['categories'].reverse()
    (root / 'dec/val.json').write_text(json.dumps(content))
    dataset = CocoFileDataset(
        data_root=str(root / 'dec'),
        classes_from_file='train.json',
        ann_file='val.json',
        data_prefix=dict(img='val/'),
    )
    with pytest.raises(DataError, match='write the categories of the file in the order'):
        check_dataset(dataset, 45)


def test_a_file_without_categories_is_named(tmp_path):
    (tmp_path / 'train.json').write_text('{"images": []}')
    with pytest.raises(DataError, match='train.json has no categories'):
        CocoFileDataset(
            data_root=str(tmp_path), classes_from_file='train.json', ann_file='train.json'
        )
