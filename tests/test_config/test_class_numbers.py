"""What follows a task's number of classes, and what cannot follow."""

import copy

import pytest
from conftest import ROOT, build_model
from mmengine.config import Config

from allinone.config.class_numbers import follow_data, follow_tasks
from allinone.config.loading import load_config
from allinone.errors import ConfigError
from allinone.tasks.class_numbers import set_num_classes
from allinone.tasks.classification import Classification
from allinone.tasks.detection import Detection
from allinone.tasks.segmentation import Segmentation

CASCADE = dict(
    type='mmdet.CascadeRCNN',
    rpn_head=dict(num_classes=1),
    roi_head=dict(
        bbox_head=[dict(num_classes=80, loss_cls=dict(class_weight=[1.0] * 80 + [0.1]))] * 2,
        mask_head=dict(num_classes=80),
        semantic_head=dict(num_classes=80),  # Of things and stuff, whatever the number
    ),
)
MASK2FORMER = dict(
    type='mmdet.Mask2Former',
    panoptic_head=dict(
        num_things_classes=80, num_stuff_classes=0, loss_cls=dict(class_weight=[1.0] * 80 + [0.1])
    ),
    panoptic_fusion_head=dict(num_things_classes=80, num_stuff_classes=0),
)
SEGMENTOR = dict(
    type='mmseg.EncoderDecoder',
    decode_head=[
        dict(type='FPNHead', num_classes=19, out_channels=19, channels=19),
        dict(type='PointHead', num_classes=19, loss_decode=[dict(class_weight=[0.5] * 19)]),
    ],
    auxiliary_head=dict(type='FCNHead', num_classes=19),
)
CLASSIFIER = dict(
    type='mmpretrain.ImageClassifier',
    data_preprocessor=dict(num_classes=1000),
    head=dict(num_classes=1000, loss=dict(type='LabelSmoothLoss', num_classes=1000)),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8, num_classes=1000)]),
)


def leaves(part, path=''):
    if isinstance(part, dict):
        for key, value in part.items():
            yield from leaves(value, f'{path}.{key}')
    elif isinstance(part, list) and any(isinstance(member, dict) for member in part):
        for number, value in enumerate(part):
            yield from leaves(value, f'{path}.{number}')
    else:
        yield path[1:], part


@pytest.mark.parametrize(
    'kind, model, expected',
    [
        (
            Detection(),
            CASCADE,
            {
                'rpn_head.num_classes': 1,
                'roi_head.bbox_head.0.num_classes': 7,
                'roi_head.bbox_head.0.loss_cls.class_weight': [1.0] * 7 + [0.1],
                'roi_head.bbox_head.1.num_classes': 7,
                'roi_head.bbox_head.1.loss_cls.class_weight': [1.0] * 7 + [0.1],
                'roi_head.mask_head.num_classes': 7,
                'roi_head.semantic_head.num_classes': 80,
            },
        ),
        (
            Detection(),
            MASK2FORMER,
            {
                'panoptic_head.num_things_classes': 7,
                'panoptic_head.num_stuff_classes': 0,
                'panoptic_head.loss_cls.class_weight': [1.0] * 7 + [0.1],
                'panoptic_fusion_head.num_things_classes': 7,
                'panoptic_fusion_head.num_stuff_classes': 0,
            },
        ),
        (
            Segmentation(),
            SEGMENTOR,
            {
                'decode_head.0.num_classes': 7,
                'decode_head.0.out_channels': 7,
                'decode_head.0.channels': 19,
                'decode_head.1.num_classes': 7,
                'decode_head.1.loss_decode.0.class_weight': [0.5] * 7,
                'auxiliary_head.num_classes': 7,
            },
        ),
        (
            Classification(),
            CLASSIFIER,
            {
                'data_preprocessor.num_classes': 7,
                'head.num_classes': 7,
                'head.loss.num_classes': 7,
                'train_cfg.augments.0.num_classes': 7,
                'train_cfg.augments.0.alpha': 0.8,
            },
        ),
    ],
    ids=['cascade', 'mask2former', 'segmentor', 'classifier'],
)
def test_what_follows(kind, model, expected):
    cfg = copy.deepcopy(Config(model).to_dict())
    changes = kind.set_num_classes('model.tasks.x', cfg, 7)
    found = {path: value for path, value in leaves(cfg) if not path.endswith('type')}
    assert found == expected
    before = dict(leaves(Config(model).to_dict()))
    assert len(changes) == sum(found[path] != before[path] for path in found)
    assert kind.set_num_classes('model.tasks.x', cfg, 7) == []


def test_things_and_stuff_of_the_right_number_stay():
    model = dict(
        bbox_head=dict(num_classes=80), fusion=dict(num_things_classes=80, num_stuff_classes=53)
    )
    assert set_num_classes('key', model, ['bbox_head'], (), 133) == []
    assert model['bbox_head']['num_classes'] == 80


@pytest.mark.parametrize(
    'before, weights, after',
    [
        (3, [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]),
        (6, [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]),  # Not of 6 classes and a background
        (8, [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8]),  # With a background
        (6, [1.0] * 6 + [0.1], [1.0] * 7 + [0.1]),
        (9, (2, 2, 2, 2, 2, 2, 2, 2, 2), [2] * 7),
    ],
)
def test_weights_of_the_new_classes_stay(before, weights, after):
    model = dict(head=dict(num_classes=before, loss=dict(class_weight=weights)))
    set_num_classes('key', model, ['head'], (), 7)
    assert model == dict(head=dict(num_classes=7, loss=dict(class_weight=after)))


def test_a_head_without_a_number_gets_one():
    model = dict(type='mmdet.FCOS', bbox_head=dict(type='FCOSHead', in_channels=8))
    assert Detection().set_num_classes('k', model, 4) == ['num_classes 4']
    assert model['bbox_head'] == dict(type='FCOSHead', in_channels=8, num_classes=4)


def test_all_heads_without_a_number_get_one():
    """mmseg's have no default, and that of mmdet's mask head is COCO's."""
    model = dict(
        type='mmseg.EncoderDecoder',
        decode_head=dict(type='UPerHead'),
        auxiliary_head=[dict(type='FCNHead'), dict(type='FCNHead')],
    )
    Segmentation().set_num_classes('k', model, 4)
    assert model['decode_head']['num_classes'] == 4
    assert [head['num_classes'] for head in model['auxiliary_head']] == [4, 4]
    heads = dict(bbox_head=dict(type='Shared2FCBBoxHead'), mask_head=dict(type='FCNMaskHead'))
    model = dict(type='mmdet.MaskRCNN', roi_head=heads)
    Detection().set_num_classes('k', model, 4)
    assert heads['bbox_head']['num_classes'] == heads['mask_head']['num_classes'] == 4


@pytest.mark.parametrize(
    'model, says',
    [
        (
            dict(head=dict(num_classes=3, loss=dict(class_weight=[1, 2, 1]))),
            'key.head.loss.class_weight has weights of 3 classes, but the task has 7; give 7 '
            'weights, or None',
        ),
        (
            dict(
                head=dict(num_classes=80), fusion=dict(num_things_classes=80, num_stuff_classes=53)
            ),
            'key has num_things_classes=80 and num_stuff_classes=53, but the task has 7 classes; '
            'write both numbers of its data',
        ),
    ],
)
def test_what_cannot_follow_is_refused(model, says):
    with pytest.raises(ConfigError) as error:
        set_num_classes('key', model, ['head'], (), 7)
    assert str(error.value) == says


def test_a_number_for_a_task_builds_its_model(tmp_path, capsys):
    (tmp_path / 'config.py').write_text(
        f"_base_ = '{ROOT}/configs/toy/mobilenetv2_toy.py'\n"
        "model = dict(tasks=dict(cars=dict(copy_of='det', num_classes=7)))\n"
    )
    cfg = load_config(str(tmp_path / 'config.py'), ['model.tasks.seg.num_classes=4'])
    assert capsys.readouterr().err.splitlines() == [
        "note: task 'cars' has 7 classes by model.tasks.cars.num_classes: "
        'bbox_head.num_classes 3 -> 7',
        "note: task 'seg' has 4 classes by model.tasks.seg.num_classes: "
        'decode_head.num_classes 7 -> 4',
    ]
    tasks = build_model(cfg).tasks
    assert tasks.cars.bbox_head.conv_cls.out_channels == 7
    assert tasks.det.bbox_head.conv_cls.out_channels == 3
    assert tasks.seg.decode_head.conv_seg.out_channels == 4


@pytest.mark.parametrize(
    'task, says',
    [
        (
            dict(type='mmpretrain.ImageClassifier', head=dict(num_classes=3), num_classes='7'),
            "model.tasks.a.num_classes is '7'; give a whole number of at least 1",
        ),
        (
            dict(type='mmdet.RPN', rpn_head=dict(num_classes=1), num_classes=7),
            'model.tasks.a.num_classes is 7, but no part of model.tasks.a takes a number of '
            'classes (bbox_head, roi_head.bbox_head, panoptic_head, mask_head, '
            'roi_head.mask_head); leave it out',
        ),
    ],
)
def test_numbers_that_cannot_be_are_refused(task, says):
    with pytest.raises(ConfigError) as error:
        follow_tasks(Config(dict(model=dict(tasks=dict(a=task)))))
    assert str(error.value) == says


def folders(tmp_path, count):
    for number in range(count):
        (tmp_path / f'c{number}').mkdir()
    return dict(type='mmpretrain.CustomDataset', data_prefix=str(tmp_path), pipeline=[])


@pytest.mark.parametrize(
    'make, count',
    [
        (lambda path: folders(path, 4), 4),
        (lambda path: dict(type='mmpretrain.CIFAR10', data_root=str(path), pipeline=[]), 10),
        (lambda path: dict(type='mmpretrain.NoSuchSet'), 3),  # As it was
    ],
    ids=['folders', 'class of the library', 'unknown'],
)
def test_a_data_set_says_its_number_before_it_is_loaded(tmp_path, make, count):
    head = dict(type='LinearClsHead', num_classes=3, in_channels=8)
    cfg = Config(
        dict(
            model=dict(tasks=dict(a=dict(type='mmpretrain.ImageClassifier', head=head))),
            train_dataloader=dict(a=dict(dataset=make(tmp_path))),
        )
    )
    follow_data(cfg, {'a': None})
    assert cfg.model.tasks.a.head.num_classes == count


@pytest.mark.parametrize('auto', ['auto', 'Auto'])
@pytest.mark.parametrize('counts, number', [({}, 4), ({'a': None}, 4), ({'a': 6}, 6)])
def test_auto_is_the_number_of_the_data(tmp_path, counts, number, auto):
    head = dict(type='LinearClsHead', num_classes=3, in_channels=8)
    task = dict(type='mmpretrain.ImageClassifier', head=head, num_classes=auto)
    cfg = Config(
        dict(
            model=dict(tasks=dict(a=task)),
            train_dataloader=dict(a=dict(dataset=folders(tmp_path, 4))),
        )
    )
    follow_data(cfg, counts)
    assert 'num_classes' not in cfg.model.tasks.a and cfg.model.tasks.a.head.num_classes == number


def test_a_number_for_a_task_is_before_that_of_its_data():
    head = dict(type='LinearClsHead', num_classes=3, in_channels=8)
    task = dict(type='mmpretrain.ImageClassifier', head=head, num_classes=5)
    cfg = Config(dict(model=dict(tasks=dict(a=task))))
    follow_data(cfg, {'a': 9})
    follow_tasks(cfg)
    assert cfg.model.tasks.a.head.num_classes == 5 and 'num_classes' not in cfg.model.tasks.a
