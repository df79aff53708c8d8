"""Labels of several tasks in one pipeline equal those of separate pipelines."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, TRANSFORMS
from mmengine.structures import BaseDataElement
from shared_data import cls, det, lane, seg, shared, write_shared_data

from allinone.config.data_sets import scoped_dataset
from allinone.data import SharedDataset
from allinone.io.seeding import seeded
from allinone.tasks.joined_labels import JoinedMaps

RESIZE = dict(type='mmdet.Resize', scale=(60, 40), keep_ratio=True)
FLIP = dict(type='mmdet.RandomFlip', prob=1.0)
RANDOM = [
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.RandomResize', scale=(64, 48), ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type='mmdet.RandomCrop', crop_size=(32, 24), allow_negative_crop=True),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.Rotate', prob=0.5, level=5),
    dict(type='mmdet.Pad', size=(40, 40)),
]
LOADERS = dict(
    det=dict(type='mmdet.LoadAnnotations', with_bbox=True),
    inst=dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    seg=dict(type='mmseg.LoadAnnotations'),
    lane=dict(type='mmseg.LoadAnnotations'),
    cls=None,
)
PACKERS = dict(
    det='mmdet.PackDetInputs',
    inst='mmdet.PackDetInputs',
    seg='mmseg.PackSegInputs',
    lane='mmseg.PackSegInputs',
    cls='mmpretrain.PackInputs',
)
CONFIGS = dict(det=det, inst=det, seg=seg, lane=lane, cls=cls)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('shared')
    write_shared_data(root)
    return root


def alone(root, task, *transforms):
    """The data set of a task alone, with the pipeline of its library."""
    loader = LOADERS[task]
    pipeline = [
        dict(type='LoadImageFromFile'),
        *([loader] if loader else []),
        *transforms,
        dict(type=PACKERS[task]),
    ]
    return DATASETS.build(scoped_dataset(CONFIGS[task](root, pipeline=pipeline)))


def assert_equal(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    elif isinstance(one, BaseDataElement):
        assert one.keys() == other.keys() and one.metainfo.keys() == other.metainfo.keys()
        for key, value in one.all_items():
            assert_equal(value, other.get(key))
    elif hasattr(one, 'tensor'):
        assert_equal(one.tensor, other.tensor)
    elif hasattr(one, 'to_ndarray'):
        assert_equal(one.to_ndarray(), other.to_ndarray())
    else:
        assert one == other


def compare(root, tasks, transforms, **options):
    """Compare all samples of a shared data set with those of each task alone."""
    together = shared({task: CONFIGS[task](root) for task in tasks}, *transforms, **options)
    singles = {task: alone(root, task, *transforms) for task in tasks}
    seen = dict.fromkeys(tasks, 0)
    for index in range(len(together)):
        with seeded('sample', index):
            sample = together[index]
        for task, single in singles.items():
            column = together.tasks.index(task)
            assert together.labelled[index, column] == (task in sample['data_samples'].labels)
            if not together.labelled[index, column]:
                continue
            with seeded('sample', index):
                expected = single[int(together._positions[index, column])]
            assert_equal(sample['inputs'], expected['inputs'])
            assert_equal(sample['data_samples'].labels[task], expected['data_samples'])
            seen[task] += 1
    assert seen == {task: len(single) for task, single in singles.items()}


@pytest.mark.parametrize('task', CONFIGS)
def test_one_task_is_as_upstream_bit_for_bit(root, task):
    load = dict(with_mask=True) if task == 'inst' else {}
    compare(root, [task], RANDOM, load=load)


@pytest.mark.parametrize(
    'transforms',
    [
        [],
        [RESIZE, FLIP],
        [dict(type='mmdet.RandomCrop', crop_size=(20, 20), allow_negative_crop=True)],
        [dict(type='mmdet.Rotate', prob=1.0, level=5), dict(type='mmdet.Pad', size=(64, 64))],
        [dict(type='mmdet.Expand', prob=1.0, seg_ignore_label=255)],
        RANDOM,
    ],
    ids=['none', 'resize-flip', 'crop', 'rotate-pad', 'expand', 'random'],
)
def test_tasks_together_are_as_apart(root, transforms):
    # mmpretrain's own transforms would not see boxes, so all tasks go through mmdet's.
    compare(root, ['det', 'seg', 'lane', 'cls'], transforms)


def test_label_maps_alone_go_through_the_transforms_of_mmseg(root):
    transforms = [
        dict(type='RandomFlip', prob=1.0, direction='vertical'),
        dict(type='RandomResize', scale=(64, 48), ratio_range=(0.5, 1.5), keep_ratio=True),
        dict(type='mmseg.RandomRotate', prob=1.0, degree=20.0),
        dict(type='mmseg.PhotoMetricDistortion'),
    ]
    dataset = shared(dict(seg=seg(root)), *transforms)
    assert type(dataset.pipeline.transforms[2]).__module__.startswith('mmseg.')
    transforms = [dict(step, type=f'mmseg.{step["type"].split(".")[-1]}') for step in transforms]
    compare(root, ['seg', 'lane', 'cls'], transforms)


def test_a_transform_that_knows_no_boxes_is_named(root):
    dataset = shared(dict(det=det(root), seg=seg(root)), dict(type='mmseg.RandomFlip', prob=1.0))
    with pytest.raises(RuntimeError, match=r"mmseg.RandomFlip fails on boxes .*'mmdet.RandomFlip'"):
        dataset[0]
    # Without a prefix it is mmdet's.
    shared(dict(det=det(root), seg=seg(root)), dict(type='RandomFlip', prob=1.0))[0]


def test_a_loader_that_fails_is_not_mistaken_for_a_transform_of_boxes(root):
    load = dict(options=dict(seg=dict(reduce_zero_label=True)))
    dataset = shared(dict(det=det(root), seg=seg(root)), load=load)
    words = (
        r'^allinone\.LoadSharedAnnotations fails \(AssertionError: .*reduce_zero_label.*; change'
    )
    with pytest.raises(RuntimeError, match=words):
        dataset[0]


def test_labels_loaded_behind_a_resize_keep_the_size_of_the_file(root):
    pipeline = [
        dict(type='LoadImageFromFile'),
        RESIZE,
        dict(type='LoadSharedAnnotations'),
        dict(type='PackSharedInputs'),
    ]
    labels = dict(det=det(root), seg=seg(root), lane=lane(root))
    dataset = SharedDataset(labels=labels, pipeline=pipeline, test_mode=True)
    for index in range(len(dataset)):
        sample = dataset[index]
        assert sample['inputs'].shape == (3, 40, 60)
        for task in {'seg', 'lane'} & set(sample['data_samples'].labels):
            assert sample['data_samples'].labels[task].gt_sem_seg.shape == (64, 96)


def test_two_sets_of_boxes_one_with_masks(root):
    load = dict(options=dict(inst=dict(with_mask=True)))
    compare(root, ['det', 'inst', 'seg'], [RESIZE, FLIP], load=load)
    compare(root, ['inst', 'det'], RANDOM, load=load)


def test_polygons_of_two_tasks(root, monkeypatch):
    masks = dict(with_mask=True, poly2mask=False)
    for table, value in ((CONFIGS, det), (PACKERS, PACKERS['inst'])):
        monkeypatch.setitem(table, 'more', value)
    for task in ('inst', 'more'):
        monkeypatch.setitem(LOADERS, task, dict(LOADERS['det'], **masks))
    load = dict(options=dict(inst=masks, more=masks))
    compare(root, ['inst', 'more', 'det', 'seg'], [RESIZE, FLIP], load=load)


def test_maps_without_a_zero_label_beside_maps_with_one(root, monkeypatch):
    for table in (LOADERS, PACKERS):
        monkeypatch.setitem(table, 'reduced', table['seg'])
    monkeypatch.setitem(
        CONFIGS, 'reduced', lambda root, **options: seg(root, reduce_zero_label=True, **options)
    )
    compare(root, ['reduced', 'seg', 'lane', 'det'], RANDOM)


@pytest.mark.parametrize('count', range(2, 7))
def test_joined_maps_come_apart(count):
    random = np.random.default_rng(count)
    maps = [random.integers(0, 256, (7, 9), np.uint8) for _ in range(count)]
    for labels in maps:
        labels[0] = 255
    joined = JoinedMaps.encode(maps, (7, 9))
    assert (joined[0] == 255).all() and (joined[1:] > 255).all()
    for one, other in zip(maps, JoinedMaps.decode(joined, count), strict=True):
        assert np.array_equal(one, other)
    maps[1] = None
    assert (JoinedMaps.decode(JoinedMaps.encode(maps, (7, 9)), count)[1] == 255).all()


@pytest.mark.parametrize('count', [2, 5])
def test_what_a_transform_fills_is_filled_in_each_map(count):
    flip = dict(type='mmdet.Pad', size=(16, 16), pad_val=dict(img=0, seg=7))
    maps = [np.full((8, 8), index, np.uint8) for index in range(count)]
    results = dict(
        img=np.zeros((8, 8, 3), np.uint8),
        **JoinedMaps.join(
            {str(index): dict(gt_seg_map=labels) for index, labels in enumerate(maps)}, (8, 8)
        ),
    )
    padded = TRANSFORMS.build(flip)(copy.deepcopy(results))
    parts = JoinedMaps.split(padded, [str(index) for index in range(count)])
    for index, part in enumerate(parts.values()):
        assert (part['gt_seg_map'][:8, :8] == index).all()
        assert (part['gt_seg_map'][8:] == 7).all() and (part['gt_seg_map'][:, 8:] == 7).all()


def test_images_without_boxes_pass_transforms_that_need_some(root):
    transforms = [
        dict(type='mmdet.MinIoURandomCrop', min_ious=(0.1,), min_crop_size=0.5),
        dict(type='mmdet.RandomCrop', crop_size=(16, 16), allow_negative_crop=False),
        dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=True),
    ]
    labels = dict(seg=seg(root), det=det(root))
    dataset = shared(labels, *transforms)
    index = [path[-6:-4] for path in _names(dataset)].index('03')
    with seeded('sample'):
        sample = dataset[index]['data_samples']
    assert set(sample.labels) == {'seg'}
    assert sample.img_path.endswith('03.png')


def test_a_dropped_image_gives_way_to_one_with_its_labels(root):
    crop = dict(type='mmdet.RandomCrop', crop_size=(16, 16), allow_negative_crop=False)
    dataset = shared(dict(det=det(root), cls=cls(root), lane=lane(root)), crop)
    index = [path[-6:-4] for path in _names(dataset)].index('05')  # It has boxes' labels, but none.
    for seed in range(5):
        with seeded(seed):
            sample = dataset[index]['data_samples']
        assert {'det', 'cls'} <= set(sample.labels) and not sample.img_path.endswith('05.png')


def _names(dataset):
    return [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
