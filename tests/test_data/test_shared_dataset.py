"""Images with labels of several tasks, joined by their files."""

import copy
import json
import os
import pickle

import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope
from shared_data import (
    BOXED,
    CLASSED,
    CLASSES,
    LANED,
    MAPPED,
    cls,
    det,
    lane,
    seg,
    shared,
    write_shared_data,
)
from torchvision.datasets import FakeData

from allinone.config.data_sets import scoped_dataset
from allinone.data import SharedDataset
from allinone.data.checks import check_dataset
from allinone.data.loaders import build_loader
from allinone.errors import ConfigError, DataError

PRESENT = dict(det=BOXED, seg=MAPPED, lane=LANED, cls=CLASSED)
MAKE = dict(det=det, seg=seg, lane=lane, cls=cls)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('shared')
    write_shared_data(root)
    return root


def labels(root, *tasks):
    return {task: MAKE[task](root) for task in tasks}


def numbers(dataset):
    """Number of each image, from the name of its file."""
    return [int(dataset.get_data_info(i)['img_path'][-6:-4]) for i in range(len(dataset))]


def test_images_are_joined_in_the_order_of_the_tasks(root):
    dataset = SharedDataset(labels(root, 'seg', 'det', 'lane', 'cls'))
    assert dataset.tasks == ('seg', 'det', 'lane', 'cls')
    order = [*MAPPED, *(n for n in BOXED if n not in MAPPED)]
    assert numbers(dataset) == order and len(dataset) == 8
    expected = [[n in PRESENT[task] for task in dataset.tasks] for n in order]
    assert dataset.labelled.dtype == bool and dataset.labelled.tolist() == expected
    info = dataset.get_data_info(order.index(4))
    assert set(info['labels']) == {'seg', 'det', 'lane', 'cls'}
    assert info['labels']['det']['img_id'] == 104 and info['labels']['cls']['gt_label'] == 1
    assert dataset.metainfo['lane']['classes'] == ('other', 'lane')
    assert dataset.paths(order.index(4)) == [
        f'{root}/images/04.png',
        f'{root}/seg/04.png',
        f'{root}/lane/04.png',
    ]
    assert dataset.paths(order.index(2)) == [f'{root}/images/02.png']


def test_paths_that_are_written_otherwise_are_the_same_file(root, monkeypatch):
    monkeypatch.chdir(root)
    relative = dict(cls(root), data_prefix='./images/../images')
    dataset = SharedDataset(dict(det=det(root), cls=relative))
    assert len(dataset) == 8 and dataset.labelled.all(axis=1).sum() == len({*BOXED} & {*CLASSED})


@pytest.mark.parametrize('link', [os.symlink, os.link])
def test_links_to_a_file_are_the_same_image(root, tmp_path, link):
    for name in os.listdir(root / 'images'):
        link(root / 'images' / name, tmp_path / name)
    dataset = SharedDataset(dict(det=det(root), cls=dict(cls(root), data_prefix=str(tmp_path))))
    assert len(dataset) == 8
    # Each task's sample has the path of its own data set.
    info = dataset.get_data_info(0)['labels']
    assert info['cls']['img_path'] == f'{tmp_path}/00.png' != info['det']['img_path']


def test_images_a_task_and_a_combination(root):
    table = SharedDataset(labels(root, 'det', 'lane')).coverage()
    assert [line.split() for line in table.splitlines()] == [
        '6 images with labels of 2 tasks'.split(),
        ['task', 'images'],
        ['det', '6'],
        ['lane', '2'],
        ['labels', 'images'],
        ['det', '4'],
        ['det+lane', '2'],
    ]


def test_images_that_a_filter_leaves_out_are_not_labelled(root):
    filtered = dict(det(root), filter_cfg=dict(filter_empty_gt=True))
    dataset = SharedDataset(dict(det=filtered, cls=cls(root)))
    assert not dataset.labelled[numbers(dataset).index(5), 0]
    # As upstream, what is evaluated is not filtered.
    dataset = SharedDataset(dict(det=filtered, cls=cls(root)), test_mode=True)
    assert dataset.labelled[numbers(dataset).index(5), 0]
    assert dataset.parts['det'].test_mode and dataset.parts['cls'].test_mode


def test_concatenations_of_data_sets_are_one_part(root, tmp_path):
    halves = []
    for number, numbers_ in enumerate((BOXED[:3], BOXED[3:])):
        content = json.loads((root / 'boxes.json').read_text())
        ids = {100 + n for n in numbers_}
        content['images'] = [image for image in content['images'] if image['id'] in ids]
        content['annotations'] = [b for b in content['annotations'] if b['image_id'] in ids]
        (tmp_path / f'{number}.json').write_text(json.dumps(content))
        halves.append(dict(det(root), ann_file=str(tmp_path / f'{number}.json')))
    both = dict(type='ConcatDataset', datasets=halves)
    dataset = shared(dict(det=both, seg=seg(root)))
    assert dataset.labelled.sum(axis=0).tolist() == [6, 5]
    assert dataset.kinds['det'].name == 'detection'
    sample = dataset[numbers(dataset).index(7)]['data_samples']
    assert sample.labels['det'].img_id == 107 and len(sample.labels['det'].gt_instances) == 3


def test_workers_get_the_same_data_set(root):
    dataset = shared(labels(root, 'det', 'seg'))
    for other in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert numbers(other) == numbers(dataset)
        assert (other[3]['inputs'] == dataset[3]['inputs']).all()


def test_annotations_are_read_once_and_not_before_they_are_needed(root, monkeypatch):
    from mmdet.datasets import CocoDataset

    reads = []
    load = CocoDataset.load_data_list
    monkeypatch.setattr(
        CocoDataset, 'load_data_list', lambda self: reads.append(self.ann_file) or load(self)
    )
    dataset = shared(labels(root, 'det', 'cls'), lazy_init=True)
    assert dataset.metainfo['det']['classes'] == CLASSES and not reads
    assert len(dataset) == 8 and dataset[0] and dataset.full_init() is None
    assert len(reads) == 1


def test_checks_of_each_part_see_the_transform_that_loads_it(root, tmp_path):
    content = json.loads((root / 'boxes.json').read_text())
    del content['annotations'][0]['segmentation']
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    broken = dict(det(root), ann_file=str(tmp_path / 'boxes.json'))
    check_dataset(shared(dict(det=broken, seg=seg(root))).parts['det'], 3)
    dataset = shared(dict(det=broken, seg=seg(root)), load=dict(with_mask=True))
    with pytest.raises(DataError, match='segmentation'):
        check_dataset(dataset.parts['det'], 3)


def test_a_label_map_of_another_size_than_its_image_is_refused(root, tmp_path):
    import cv2

    for name in os.listdir(root / 'lane'):
        (tmp_path / 'lane').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'lane' / name), np.zeros((32, 48), np.uint8))
    small = lane(root)
    small['data_prefix'] = dict(small['data_prefix'], seg_map_path=str(tmp_path / 'lane'))
    dataset = shared(dict(det=det(root), lane=small))
    with pytest.raises(DataError, match=r'lane/0\d.png'):
        check_dataset(dataset.parts['lane'], 2)


def refusal(*args, **kwargs):
    with pytest.raises((ConfigError, DataError)) as refused:
        SharedDataset(*args, **kwargs)
    return str(refused.value)


def test_label_files_that_share_no_image_are_refused(root, tmp_path):
    write_shared_data(tmp_path / 'other')
    sentence = refusal(dict(det=det(root), seg=seg(root), lane=lane(tmp_path / 'other')))
    assert sentence == (
        f'labels.lane has 2 images ({tmp_path}/other/images/01.png, '
        f'{tmp_path}/other/images/04.png), and the other tasks of the source have 8 images '
        f'({root}/images/00.png, {root}/images/01.png, {root}/images/02.png, ...): no image is the '
        'same file; make ann_file and data_prefix name the same images, or move lane to another '
        'source'
    )


def test_an_image_twice_in_a_part_is_refused(root, tmp_path):
    (tmp_path / 'twice.txt').write_text((root / 'classes.txt').read_text() + '03.png 1\n')
    sentence = refusal(
        dict(det=det(root), cls=dict(cls(root), ann_file=str(tmp_path / 'twice.txt')))
    )
    assert sentence == (
        f'labels.cls has {root}/images/03.png twice; leave out all but one of its entries'
    )


def test_an_empty_part_is_refused(root, tmp_path):
    (tmp_path / 'none.txt').write_text('')
    none = dict(cls(root), ann_file=str(tmp_path / 'none.txt'))
    assert refusal(dict(det=det(root), cls=none)) == (
        f"labels.cls: the data set is empty; check its files and filter_cfg (ann_file='{tmp_path}/"
        f"none.txt', data_prefix='{root}/images')"
    )


def test_a_damaged_file_is_named_with_its_task_alone(root, tmp_path):
    (tmp_path / 'boxes.json').write_text((root / 'boxes.json').read_text()[:-40])
    damaged = dict(det(root), ann_file=str(tmp_path / 'boxes.json'))
    with DefaultScope.overwrite_default_scope('allinone'), pytest.raises(DataError) as refused:
        build_loader(
            'train_dataloader.street',
            'street',
            dict(dataset=dict(type='SharedDataset', labels=dict(seg=seg(root), det=damaged))),
            0,
            None,
            True,
            True,
        )
    assert str(refused.value).startswith(
        'train_dataloader.street.dataset: labels.det: the annotation file is damaged '
        f"(ann_file='{tmp_path}/boxes.json', data_prefix={{'img': '{root}/images/'}}): "
    )
    assert str(refused.value).endswith('; make it again') and 'seg' not in str(refused.value)


@pytest.mark.parametrize(
    'change, sentence',
    [
        (lambda labels: labels.clear(), 'labels is {}; give {task: config of a data set}'),
        (
            lambda labels: labels.update(seg='seg'),
            "labels.seg is 'seg'; give the config of a data set",
        ),
        (
            lambda labels: labels['seg'].update(pipeline=[dict(type='LoadImageFromFile')]),
            'labels.seg.pipeline has 1 entries, but the tasks of a source share the pipeline '
            'beside labels; remove pipeline here',
        ),
        (
            lambda labels: labels['seg'].update(ann_fil='x'),
            "labels.seg has no key 'ann_fil'; do you mean 'ann_file'?",
        ),
        (
            lambda labels: labels.update({f'm{n}': labels['seg'] for n in range(6)}),
            'labels has 7 tasks with label maps (seg, m0, m1, m2, m3, m4, m5), but one source '
            'takes 6 at most; make a second source of some of them',
        ),
        (
            lambda labels: labels.update(seg=dict(type=FakeData, size=3, image_size=(3, 8, 8))),
            'labels.seg.type is FakeData, which does not list its images '
            '(get_data_info); give the data set inside it',
        ),
    ],
)
def test_what_is_no_data_set_of_a_task_is_refused(root, change, sentence):
    given = labels(root, 'det', 'seg')
    change(given)
    assert refusal(given) == sentence


def test_pipelines_that_do_not_load_are_refused(root):
    given = labels(root, 'det', 'seg')
    pack = [dict(type='LoadImageFromFile'), dict(type='PackSharedInputs')]
    assert refusal(given, pipeline=pack) == (
        'pipeline has PackSharedInputs, but no LoadSharedAnnotations; add '
        "dict(type='LoadSharedAnnotations') behind the transform that loads the image"
    )
    load = [dict(type='LoadSharedAnnotations', options=dict(lane={}))]
    assert refusal(given, pipeline=load) == (
        "pipeline: LoadSharedAnnotations.options has 'lane'; labels has ['det', 'seg']"
    )


def test_a_sample_that_the_pipeline_drops_in_test_mode_is_an_error(root):
    crop = dict(type='mmdet.RandomCrop', crop_size=(8, 8), allow_negative_crop=False)
    dataset = shared(labels(root, 'det', 'cls'), crop, test_mode=True)
    with pytest.raises(DataError, match=r'05.png is dropped by the pipeline in test mode'):
        dataset[numbers(dataset).index(5)]


def test_it_is_built_without_a_scope(root):
    cfg = dict(type='SharedDataset', labels=labels(root, 'det', 'cls'), pipeline=[])
    assert len(DATASETS.build(scoped_dataset(cfg))) == 8
