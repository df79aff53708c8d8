"""Transforms that leave labels behind are found, and those that work pass."""

import json

import cv2
import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS as MMDET_TRANSFORMS
from shared_data import cls, det, lane, seg, shared, write_shared_data

from allinone.data.pipeline_probe import check_pipeline
from allinone.data.shared_pipeline import check_loading, refuse_mixing
from allinone.errors import ConfigError
from allinone.io.seeding import seeded

KEY = 'train_dataloader.street.dataset.pipeline'
FLIP = dict(type='mmdet.RandomFlip', prob=0.5)
COLOUR = [
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmdet.YOLOXHSVRandomAug'),
    dict(type='mmdet.CutOut', n_holes=(1, 3), cutout_ratio=[(0.2, 0.2), (0.4, 0.4)]),
    dict(type='mmdet.RandomErasing', n_patches=(1, 4), ratio=(0.1, 0.4)),
    dict(type='mmseg.RandomCutOut', prob=0.7, n_holes=2, cutout_ratio=(0.3, 0.3)),
    dict(type='mmseg.CLAHE'),
    dict(type='mmseg.AdjustGamma', gamma=2.0),
    dict(type='mmseg.RGB2Gray'),
    dict(type='mmdet.Invert', prob=0.5),
    dict(type='mmdet.Equalize', prob=0.5),
    dict(type='mmdet.AutoContrast', prob=0.5),
    dict(type='mmdet.Solarize', prob=0.5),
    dict(type='mmdet.Posterize', prob=0.5),
    dict(type='mmdet.Sharpness', prob=0.5),
    dict(type='mmdet.Color', prob=0.5),
    dict(type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    dict(type='mmpretrain.Lighting', eigval=[55.46, 4.79, 1.15], eigvec=[[1, 0, 0]] * 3),
    dict(type='mmpretrain.GaussianBlur', magnitude_range=(0.1, 2), prob=0.5),
    dict(type='mmpretrain.RandomErasing', erase_prob=0.5, mode='rand'),
    dict(type='RandomGrayscale', prob=0.5, keep_channels=True),
    dict(type='Normalize', mean=[123.0, 116.0, 103.0], std=[58.0, 57.0, 57.0]),
]
MOVING = [
    dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=True),
    dict(type='mmdet.Resize', scale=(30, 60), keep_ratio=False),
    dict(type='mmdet.FixScaleResize', scale=(64, 64), keep_ratio=True),
    dict(type='mmdet.FixShapeResize', width=40, height=40),
    dict(type='mmdet.RandomResize', scale=(64, 48), ratio_range=(0.3, 2.0), keep_ratio=True),
    dict(type='mmdet.RandomChoiceResize', scales=[(64, 48), (30, 30)], keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.RandomFlip', prob=0.5, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmdet.RandomCrop', crop_size=(20, 24)),
    dict(type='mmdet.RandomCrop', crop_type='relative_range', crop_size=(0.3, 0.3)),
    dict(type='mmdet.RandomCrop', crop_size=(20, 24), bbox_clip_border=False),
    dict(type='mmdet.MinIoURandomCrop'),
    dict(type='mmdet.Rotate', prob=0.5, level=8),
    dict(type='mmdet.ShearX', prob=0.5, level=8),
    dict(type='mmdet.ShearY', prob=0.5, level=8),
    dict(type='mmdet.TranslateX', prob=0.5, level=8),
    dict(type='mmdet.TranslateY', prob=0.5, level=8),
    dict(type='mmdet.Pad', size_divisor=32),
    dict(type='mmdet.Pad', size=(64, 64)),
    dict(type='mmdet.Expand', ratio_range=(1, 3), seg_ignore_label=255),
    dict(type='mmdet.SegRescale', scale_factor=0.5),
    dict(
        type='mmdet.RandomChoice',
        transforms=[
            [dict(type='Resize', scale=(40, 40))],
            [dict(type='RandomCrop', crop_size=(16, 16)), dict(type='Pad', size=(20, 20))],
        ],
    ),
    dict(type='mmdet.RandomOrder', transforms=[dict(type='RandomFlip', prob=0.5)]),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1, 1)),
]
MAPS_ALONE = [
    dict(type='mmseg.Resize', scale=(64, 64), keep_ratio=True),
    dict(type='mmseg.RandomResize', scale=(64, 48), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.RandomCrop', crop_size=(20, 24), cat_max_ratio=0.75),
    dict(type='mmseg.RandomRotate', prob=0.5, degree=20.0),
    dict(type='mmseg.RandomRotFlip', rotate_prob=0.0, flip_prob=0.5),
    dict(type='mmseg.ResizeToMultiple', size_divisor=32),
    dict(type='mmseg.ResizeShortestEdge', scale=(40, 40), max_size=100),
    dict(type='mmseg.SegRescale', scale_factor=0.5),
    dict(type='mmseg.Pad', size=(64, 64)),
    dict(type='mmseg.GenerateEdge', edge_width=4),
]
BOXES_ALONE = [
    dict(type='mmdet.RandomShift', prob=0.5, max_shift_px=16),
    dict(type='mmdet.RandomAffine'),
    dict(type='mmdet.ResizeShortestEdge', scale=(40, 40), max_size=100),
]
IMAGE_ALONE = [
    dict(type='mmpretrain.RandomResizedCrop', scale=24),
    dict(type='mmpretrain.RandomCrop', crop_size=24),
    dict(type='mmpretrain.ResizeEdge', scale=24),
    dict(type='mmpretrain.Rotate', angle=30.0, prob=0.5),
    dict(
        type='mmpretrain.RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
    ),
]


class FlipsImageAlone(BaseTransform):
    """Leaves all labels behind, with a probability."""

    def __init__(self, prob=1.0):
        self.prob = prob

    def transform(self, results):
        if np.random.rand() < self.prob:
            results['img'] = cv2.flip(results['img'], 1)
        return results


class TakesRealImages(BaseTransform):
    """Fails on images of two colours."""

    def transform(self, results):
        assert len(np.unique(results['img'])) > 200
        return results


def name_of(step):
    return step['type']


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('probe')
    write_shared_data(root)
    return root


@pytest.fixture(scope='module', autouse=True)
def _registered():
    MMDET_TRANSFORMS.register_module(module=FlipsImageAlone)
    yield
    MMDET_TRANSFORMS.module_dict.pop('FlipsImageAlone')


def passes(root, tasks, step, **options):
    """Check that a transform passes, and that the trial goes on behind it."""
    check_pipeline(KEY, shared(labels(root, *tasks), step, **options))
    flip = dict(type='mmdet.FlipsImageAlone')
    with pytest.raises(ConfigError, match=r'\.3 \(FlipsImageAlone\) moves the image'):
        check_pipeline(KEY, shared(labels(root, *tasks), step, flip, **options))


def labels(root, *tasks):
    configs = dict(det=det, seg=seg, lane=lane, cls=cls)
    return {task: configs[task](root) for task in tasks}


@pytest.mark.parametrize('step', COLOUR + MOVING, ids=name_of)
def test_transforms_of_all_labels_pass(root, step):
    passes(root, ('det', 'seg', 'lane', 'cls'), step)


@pytest.mark.parametrize('step', MAPS_ALONE, ids=name_of)
def test_transforms_of_label_maps_pass_without_boxes(root, step):
    passes(root, ('seg', 'lane'), step)


@pytest.mark.parametrize('step', BOXES_ALONE, ids=name_of)
def test_transforms_of_boxes_pass_without_label_maps(root, step):
    passes(root, ('det', 'cls'), step)


@pytest.mark.parametrize('step', BOXES_ALONE[:2], ids=name_of)
def test_transforms_of_boxes_alone_leave_label_maps_behind(root, step):
    dataset = shared(
        labels(root, 'seg', 'det', 'lane'),
        dict(type='mmdet.CutOut', n_holes=1, cutout_shape=(4, 4)),
        step,
    )
    with pytest.raises(ConfigError) as refused:
        check_pipeline(KEY, dataset)
    assert str(refused.value) == (
        f'{KEY}.3 ({step["type"].split(".")[1]}) moves the image, but not the label maps of seg '
        "and lane; use a transform that moves all labels, such as mmdet's Resize, RandomFlip, "
        'RandomCrop, Rotate and Pad, or give seg and lane another source'
    )


@pytest.mark.parametrize('step', IMAGE_ALONE, ids=name_of)
@pytest.mark.parametrize('task, what', [('det', 'boxes'), ('seg', 'label maps')])
def test_transforms_of_the_image_alone_are_refused(root, step, task, what):
    with pytest.raises(ConfigError, match=f'moves the image, but not the {what} of {task};'):
        check_pipeline(KEY, shared(labels(root, task, 'cls'), step))


@pytest.mark.parametrize('step', IMAGE_ALONE, ids=name_of)
def test_transforms_of_the_image_alone_pass_with_classes_of_images(root, step):
    check_pipeline(KEY, shared(labels(root, 'cls'), step))


def test_masks_left_behind_are_named(root):
    dataset = shared(
        labels(root, 'det', 'cls'),
        dict(type='mmdet.RandomShift', prob=1.0, max_shift_px=16),
        load=dict(with_mask=True),
    )
    with pytest.raises(ConfigError, match='but not the masks of det;'):
        check_pipeline(KEY, dataset)


@pytest.mark.parametrize('step', MOVING, ids=name_of)
def test_transforms_of_masks_pass(root, step):
    passes(root, ('det', 'seg'), step, load=dict(with_mask=True))


def test_a_rare_move_of_the_image_alone_is_found_behind_others(root):
    dataset = shared(
        labels(root, 'det', 'seg'),
        dict(type='mmdet.Resize', scale=(96, 64)),
        dict(type='mmdet.RandomCrop', crop_size=(40, 40)),
        dict(type='mmdet.PhotoMetricDistortion'),
        dict(type='mmdet.FlipsImageAlone', prob=0.3),
    )
    with pytest.raises(ConfigError, match=r'\.5 \(FlipsImageAlone\) moves .* boxes of det'):
        check_pipeline(KEY, dataset)


def test_interpolated_label_maps_are_refused_where_several_go_together(root):
    step = dict(type='mmseg.RandomRotFlip', rotate_prob=0.5)
    check_pipeline(KEY, shared(labels(root, 'seg'), step))
    with pytest.raises(ConfigError, match=r'\.2 \(RandomRotFlip\) takes one label map, but fails'):
        check_pipeline(KEY, shared(labels(root, 'seg', 'lane'), step))
    four = dict(labels(root, 'seg', 'lane'), more=seg(root), most=seg(root))
    with pytest.raises(ConfigError, match=r'\.2 \(RandomRotFlip\) interpolates the label maps of'):
        check_pipeline(KEY, shared(four, step))
    pillow = dict(type='mmseg.Resize', scale=(40, 40), backend='pillow')
    with pytest.raises(ConfigError) as refused:
        check_pipeline(KEY, shared(labels(root, 'seg', 'lane'), pillow))
    assert str(refused.value) == (
        f"{KEY}.2 (Resize) takes one label map with backend='pillow', but gets those of seg and "
        'lane together; leave backend out'
    )


@pytest.mark.parametrize('step', MAPS_ALONE, ids=name_of)
def test_transforms_of_label_maps_pass_with_five_maps(root, step):
    five = dict(labels(root, 'seg', 'lane', 'cls'), **{f'seg{n}': seg(root) for n in range(3)})
    check_pipeline(KEY, shared(five, step))


def test_labels_are_not_swapped_in_all_maps(root):
    step = dict(type='mmseg.RandomFlip', prob=0.5, swap_seg_labels=[(0, 1)])
    check_pipeline(KEY, shared(labels(root, 'seg'), step))
    with pytest.raises(ConfigError, match=r'\.2 \(RandomFlip\)\.swap_seg_labels is \[\(0, 1\)\]'):
        check_pipeline(KEY, shared(labels(root, 'seg', 'lane'), step))


def test_random_numbers_and_the_data_set_are_as_before(root):
    dataset = shared(labels(root, 'det', 'seg'), *MOVING[4:10])
    with seeded('sample'):
        expected = np.random.rand(), dataset[2]['inputs']
    with seeded('sample'):
        check_pipeline(KEY, dataset)
        found = np.random.rand(), dataset[2]['inputs']
    assert found[0] == expected[0] and (found[1] == expected[1]).all()


@pytest.mark.parametrize(
    'step, name',
    [
        (dict(type='mmdet.RandomResize', scale=(40, 40), ratio_range=(1, 2)), 'RandomResize'),
        (dict(type='mmdet.RandomChoice', transforms=[[dict(type='Resize', scale=(9, 9))]]), ''),
    ],
)
def test_pillow_inside_another_transform_is_named(root, step, name):
    inner = step['transforms'][0][0] if 'transforms' in step else step
    inner['backend'] = 'pillow'
    with pytest.raises(ConfigError, match="takes one label map with backend='pillow'"):
        check_pipeline(KEY, shared(labels(root, 'seg', 'lane', 'det'), step))


def test_a_transform_that_fails_now_and_then_is_refused_with_its_place(root):
    # Without a label to fill with, it fails where it expands, in half of the images.
    dataset = shared(labels(root, 'det', 'seg'), FLIP, dict(type='mmdet.Expand'))
    with pytest.raises(ConfigError) as refused:
        check_pipeline(KEY, dataset)
    assert str(refused.value).startswith(f'{KEY}.3 (Expand) fails (TypeError: ')
    assert str(refused.value).endswith('); change its options, or leave it out')
    with pytest.raises(RuntimeError, match=r'^mmdet\.Expand fails \(TypeError: '):
        for index in range(20):
            dataset[index % 8]


@pytest.mark.parametrize(
    'step',
    [
        dict(type='mmseg.RandomFlip', prob=0.2),
        dict(type='mmseg.RandomResize', scale=(40, 40), ratio_range=(1, 2)),
    ],
    ids=name_of,
)
def test_a_transform_of_another_library_that_fails_on_boxes_is_refused_with_its_place(root, step):
    with pytest.raises(ConfigError) as refused:
        check_pipeline(KEY, shared(labels(root, 'det'), step))
    name = step['type'].removeprefix('mmseg.')
    assert f'{KEY}.2 ({name}) fails on boxes (' in str(refused.value)
    assert str(refused.value).endswith(f"; use 'mmdet.{name}'")


def test_a_transform_that_takes_images_but_not_marks_ends_the_trial(root):
    MMDET_TRANSFORMS.register_module(module=TakesRealImages)
    try:
        check_pipeline(KEY, shared(labels(root, 'det'), dict(type='mmdet.TakesRealImages')))
    finally:
        MMDET_TRANSFORMS.module_dict.pop('TakesRealImages')


CACHED = dict(type='mmdet.CachedMosaic', img_scale=(96, 64), max_cached_images=6)
MIXING = [
    CACHED,
    dict(type='mmdet.CachedMixUp', img_scale=(96, 64)),
    dict(type='mmdet.Mosaic'),
    dict(type='mmdet.MixUp'),
    dict(type='mmdet.CopyPaste'),
    dict(type='mmseg.RandomMosaic', prob=1.0),
    dict(type='mmdet.RandomChoice', transforms=[[FLIP], [FLIP, CACHED]]),
    dict(type='mmcv.RandomApply', transforms=[CACHED], prob=0.5),
    dict(type='mmdet.RandomOrder', transforms=[FLIP, CACHED]),
    dict(type='mmcv.Compose', transforms=[dict(type='mmcv.RandomApply', transforms=[CACHED])]),
]


@pytest.mark.parametrize('step', MIXING, ids=name_of)
@pytest.mark.parametrize(
    'tasks, reason',
    [
        ('det seg lane', 'this source has label maps (seg and lane)'),
        ('full cls', 'this source has labels of images (cls)'),
        ('full det', 'this source has 2 images without labels of det'),
    ],
)
def test_transforms_of_several_images_are_refused(root, step, tasks, reason):
    dataset = shared(boxes_of_all(root, *tasks.split()), FLIP, step)
    with pytest.raises(ConfigError) as refused:
        refuse_mixing(KEY, dataset)
    sentence = str(refused.value)
    assert sentence.startswith(f'{KEY}.3 (') and 'mixes several images' in sentence
    assert reason in sentence and '; leave it out, or make a separate source of ' in sentence


def test_cached_images_of_boxes_alone_are_tried_like_others(root):
    everywhere = boxes_of_all(root, 'full', 'more')
    for step in MIXING[:2]:
        dataset = shared(everywhere, step)
        refuse_mixing(KEY, dataset)
        check_pipeline(KEY, dataset)
        with pytest.raises(ConfigError, match=r'\.3 \(FlipsImageAlone\) moves the image'):
            check_pipeline(KEY, shared(everywhere, step, dict(type='mmdet.FlipsImageAlone')))
        check_pipeline(KEY, shared(everywhere, step, load=dict(with_mask=True)))
    # What it mixes comes from a data set that is not that of a shared source.
    with pytest.raises(ConfigError, match=r'\.2 \(Mosaic\) fails \(AssertionError\); ch'):
        check_pipeline(KEY, shared(everywhere, dict(type='mmdet.Mosaic')))


def boxes_of_all(root, *tasks):
    """Labels of tasks, of which ``full`` and ``more`` have boxes' labels of all images."""
    content = json.loads((root / 'boxes.json').read_text())
    number = {image['file_name']: image['id'] for image in content['images']}
    content['images'] = [
        dict(id=number.get(f'{n:02d}.png', n), file_name=f'{n:02d}.png', width=96, height=64)
        for n in range(8)
    ]
    path = root / 'all.json'
    path.write_text(json.dumps(content))
    everywhere = dict(det(root), ann_file=str(path))
    return {
        task: everywhere if task in ('full', 'more') else labels(root, task)[task] for task in tasks
    }


SEG_MAPS = dict(options=dict(det=dict(with_seg=True)))


def with_label_map(root):
    """Boxes with a label map of each image, as PanopticFPN and HTC have it."""
    (root / 'stuff').mkdir(exist_ok=True)
    for number in range(8):
        cv2.imwrite(str(root / f'stuff/{number:02d}.png'), np.zeros((64, 96), np.uint8))
    cfg = det(root)
    cfg['data_prefix'] = dict(img=f'{root}/images/', seg=f'{root}/stuff/')
    return cfg


def test_a_label_map_of_a_detector_is_refused(root):
    # The first image of the data set has no labels of det.
    given = dict(seg=dict(seg(root), indices=[2, 3]), det=with_label_map(root), lane=lane(root))
    dataset = shared(given, FLIP, load=SEG_MAPS)
    assert not dataset.labelled[0, 1]
    with pytest.raises(ConfigError) as refused:
        check_loading(KEY, dataset)
    assert str(refused.value) == (
        f"{KEY}.1: LoadSharedAnnotations loads 'gt_seg_map' of det, which transforms would not "
        'change with the image; take out of options.det what loads it (with_seg=True for the label '
        'map of a detector), or let a task with label maps load it'
    )
    check_loading(KEY, shared(given, FLIP))


@pytest.mark.parametrize(
    'task, options',
    [
        ('det', dict(with_mask=True, poly2mask=False)),
        ('det', dict(box_type='rbox', with_bbox=True)),
        ('det', dict(with_mask=True)),
        ('seg', dict(imdecode_backend='cv2')),
        ('seg', dict(reduce_zero_label=True)),
    ],
)
def test_labels_that_transforms_change_are_loaded(root, task, options):
    check_loading(
        KEY, shared(labels(root, 'det', 'seg', 'cls'), load=dict(options={task: options}))
    )
