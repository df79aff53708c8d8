"""Losses on images of which some classes are not annotated: what they leave out, and what not."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from test_export_head import CHANNELS, HEADS, SIZE, STRIDES, TESTED

from allinone.errors import ConfigError
from allinone.registry.kinds import kind_of_class, kind_of_config
from allinone.tasks.annotated_classes import annotated_labels, ignore_others

ATSS = dict(assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1)
TRAINED = dict(
    FCOS=None,
    RetinaNet=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
    ),
    ATSS=ATSS,
    GFL=ATSS,
    VFNet=ATSS,
    RTMDet=dict(
        assigner=dict(type='DynamicSoftLabelAssigner', topk=13), allowed_border=-1, pos_weight=-1
    ),
)
BOXES = dict(loss_bbox=dict(type='GIoULoss', loss_weight=2.0))
QUALITY = dict(loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0))
ALL = dict(
    HEADS,
    ATSS=HEADS['ATSS'] | BOXES,
    GFL=HEADS['GFL'] | BOXES | QUALITY,
    RTMDet=HEADS['RTMDet'] | BOXES | QUALITY,
    VFNet=dict(
        type='VFNetHead',
        num_classes=3,
        in_channels=32,
        feat_channels=32,
        stacked_convs=1,
        strides=STRIDES,
        center_sampling=False,
        dcn_on_last_conv=False,
        use_atss=True,
        use_vfl=True,
        anchor_generator=dict(HEADS['ATSS']['anchor_generator'], center_offset=0.0),
    ),
)
DETR = dict(
    type='DeformableDETR',
    num_queries=12,
    num_feature_levels=3,
    with_box_refine=True,
    neck=dict(
        type='ChannelMapper', in_channels=list(CHANNELS), kernel_size=1, out_channels=32,
        num_outs=3, norm_cfg=dict(type='GN', num_groups=8),
    ),
    encoder=dict(
        num_layers=1,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=32, num_levels=3, num_heads=4),
            ffn_cfg=dict(embed_dims=32, feedforward_channels=32),
        ),
    ),
    decoder=dict(
        post_norm_cfg=None,
        num_layers=2,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=32, num_heads=4),
            cross_attn_cfg=dict(embed_dims=32, num_levels=3, num_heads=4),
            ffn_cfg=dict(embed_dims=32, feedforward_channels=32),
        ),
    ),
    positional_encoding=dict(num_feats=16, normalize=True, offset=-0.5),
    bbox_head=dict(
        type='DeformableDETRHead', num_classes=3, embed_dims=32, sync_cls_avg_factor=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=10),
)  # fmt: skip


def build(cfg):
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MMENGINE_MODELS.build(ConfigDict(cfg)).train()
    model.init_weights()
    return model, kind_of_class('model', type(model))


def detector(name, **head):
    return build(
        dict(
            type=name,
            _scope_='mmdet',
            backbone=dict(type='ResNet', depth=18, init_cfg=None),
            neck=dict(type='FPN', in_channels=list(CHANNELS), out_channels=32, num_outs=3),
            bbox_head=dict(ALL[name], **head),
            train_cfg=TRAINED[name],
            test_cfg=TESTED,
        )
    )


def detr():
    return build(dict(DETR, _scope_='mmdet', backbone=dict(type='ResNet', depth=18, init_cfg=None)))


def maps():
    generator = torch.Generator().manual_seed(2)
    height, width = SIZE
    return [
        torch.rand(2, c, height // s, width // s, generator=generator)
        for c, s in zip(CHANNELS, STRIDES)
    ]


def samples(kind):
    """Two images; their boxes are of the classes 0 and 2."""
    found = kind.samples(torch.zeros(2, 3, *SIZE), [SIZE] * 2)
    boxes = torch.tensor([[4.0, 6, 40, 50], [30, 20, 120, 90], [60, 5, 90, 30]])
    for sample, labels in zip(found, ([0, 2, 2], [2, 0, 0])):
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor(labels))
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
    return found


class Seen:
    """What a loss was given, and what it gave."""

    def __init__(self, loss):
        self.calls = []
        loss.register_forward_hook(self.keep, with_kwargs=True)

    def keep(self, loss, args, kwargs, value):
        self.calls.append((args, kwargs, value))


def losses_of(model, kind, labels=None, regions=None):
    """Losses and logits ``(..., C)`` of the head on :func:`maps`, whose batch norms are frozen."""
    model.eval()
    head, data = model.bbox_head.train(), samples(kind)
    for sample, boxes in zip(data, regions or ()):
        sample.ignored_instances = InstanceData(
            bboxes=torch.tensor([box for box, _ in boxes]),
            labels=torch.tensor([label for _, label in boxes]),
        )
        sample.set_metainfo(dict(ignored_regions=True))
    logits = []
    if hasattr(model, 'encoder'):
        features = model.neck(maps())
        none = dict(enc_outputs_class=None, enc_outputs_coord=None)
        inputs = none | model.forward_transformer(features, data)
        handles = [
            branch.register_forward_hook(lambda _, __, out: logits.append(out))
            for branch in head.cls_branches
        ]
        run = lambda: head.loss(**inputs, batch_data_samples=data)  # noqa: E731
    else:
        outputs = head(model.neck(maps()))
        logits = [level.permute(0, 2, 3, 1) for level in outputs[0]]
        handles = []
        gt = [sample.gt_instances for sample in data]
        metas = [sample.metainfo for sample in data]
        run = lambda: head.loss_by_feat(*outputs, gt, metas)  # noqa: E731
        for level in outputs[0]:
            level.retain_grad()
        logits = outputs[0]
    if labels is None and regions is None:
        losses = run()
    else:
        kind.check_partly_annotated('model.tasks.det', model)
        with kind.only_annotated(model, data, labels):
            losses = run()
    for handle in handles:
        handle.remove()
    return losses, logits


def total(losses, name):
    values = [value for key, value in losses.items() if name in key]
    return sum(part for value in values for part in (value if isinstance(value, list) else [value]))


@pytest.mark.parametrize('name', TRAINED)
def test_a_class_that_is_not_annotated_gets_no_gradient_from_a_dense_head(name):
    model, kind = detector(name)
    losses, logits = losses_of(model, kind, (0, 2))
    total(losses, 'loss').backward()
    for level in logits:
        grads = level.grad.permute(0, 2, 3, 1).unflatten(-1, (-1, 3))
        assert grads[..., 1].count_nonzero() == 0
        assert grads[..., 0].count_nonzero() and grads[..., 2].count_nonzero()
    losses, logits = losses_of(model, kind)
    total(losses, 'loss').backward()
    unmasked = logits[0].grad.permute(0, 2, 3, 1).unflatten(-1, (-1, 3))
    assert unmasked[..., 1].count_nonzero()


@pytest.mark.parametrize('name', [*TRAINED, 'DETR'])
def test_the_loss_is_that_of_the_annotated_classes_and_nothing_else_changes(name):
    model, kind = detr() if name == 'DETR' else detector(name)
    seen = Seen(model.bbox_head.loss_cls)
    unmasked, _ = losses_of(model, kind)
    count = len(seen.calls)
    masked, _ = losses_of(model, kind, (0, 2))
    # Boxes are assigned, and the quality of predictions measured, by all scores.
    for key in unmasked.keys() - {key for key in unmasked if 'cls' in key}:
        torch.testing.assert_close(masked[key], unmasked[key], rtol=0, atol=0)
    assert total(masked, 'cls') < total(unmasked, 'cls')
    new = {0: 0, 2: 1, 3: 2}  # The last is the background.
    for (before, kwargs, _), (args, _, value) in zip(seen.calls[:count], seen.calls[count:]):
        assert (args[0][:, 1] == -20).all() and torch.equal(args[0][:, ::2], before[0][:, ::2])
        logits, target, *others = before
        if isinstance(target, tuple):
            target = (target[0].clone().apply_(new.get), *target[1:])
        elif target.is_floating_point():  # A target for each class
            target = target[:, ::2]
        else:
            target = target.clone().apply_(new.get)
        alone = type(model.bbox_head.loss_cls).forward(
            model.bbox_head.loss_cls, logits[:, ::2], target, *others, **kwargs
        )
        torch.testing.assert_close(value, alone, rtol=1e-5, atol=1e-6)


def test_classes_of_queries_get_no_gradient_in_any_layer_of_a_detr():
    model, kind = detr()
    losses, _ = losses_of(model, kind, (0, 2))
    total(losses, 'loss').backward()
    for branch in model.bbox_head.cls_branches:
        assert branch.weight.grad[1].count_nonzero() == 0 and branch.bias.grad[1] == 0
        assert branch.weight.grad[0].count_nonzero() and branch.weight.grad[2].count_nonzero()


ONE, BOTH = ([10.0, 10.0, 100.0, 80.0], 1), ([0.0, 0.0, 30.0, 95.0], 0)
REGIONS = [[ONE, BOTH], [BOTH]]


@pytest.mark.parametrize('name', TRAINED)
def test_a_dense_head_learns_nothing_of_a_class_where_it_is_in_doubt(name):
    model, kind = detector(name)
    assert kind.leaves_out_regions(model)
    grads = []
    for regions in (None, REGIONS):
        losses, logits = losses_of(model, kind, regions=regions)
        total(losses, 'loss_cls').backward()
        grads.append([level.grad.permute(0, 2, 3, 1).unflatten(-1, (-1, 3)) for level in logits])
    left_out = 0
    for (before, after), stride in zip(zip(*grads), STRIDES):
        height, width = before.shape[1:3]
        # Centres of the cells, where these heads have points, or their corners, of anchors
        shift = 0 if name in ('RetinaNet', 'ATSS', 'GFL', 'VFNet', 'RTMDet') else stride / 2
        y, x = (torch.arange(size) * stride + shift for size in (height, width))
        inside = torch.zeros(2, height, width, 3, dtype=torch.bool)
        for image, boxes in enumerate(REGIONS):
            for (left, top, right, bottom), label in boxes:
                rows, columns = (y >= top) & (y <= bottom), (x >= left) & (x <= right)
                inside[image, ..., label] |= rows[:, None] & columns
        inside = inside[:, :, :, None].expand_as(before)
        changed = before != after
        assert not changed[~inside].any()
        # What stays inside are positives of the class itself, whose scores rise.
        assert (after[inside & ~changed] <= 0).all() and (after[changed] == 0).all()
        left_out += int(changed.sum())
    assert left_out > 20
    assert 'loss_by_feat' not in vars(model.bbox_head)


def test_positives_keep_their_class_where_it_is_in_doubt():
    model, kind = detector('FCOS')
    region = [([0.0, 0.0, float(SIZE[1]), float(SIZE[0])], label) for label in range(3)]
    seen = Seen(model.bbox_head.loss_cls)
    losses_of(model, kind, regions=[region] * 2)
    (args, _, _) = seen.calls[0]
    logits, target = args[:2]
    assert ((logits != -20).sum(1) == (target < 3)).all() and (target < 3).sum() > 5
    assert (logits != -20)[target < 3].int().argmax(1).equal(target[target < 3])


def test_heads_of_queries_and_of_two_stages_do_not_leave_out_regions():
    for model, kind in (detr(), build(dict(SECOND, _scope_='mmdet'))):
        assert not kind.leaves_out_regions(model)
    model, kind = detr()
    losses, _ = losses_of(model, kind, regions=REGIONS)
    unmasked, _ = losses_of(model, kind)
    assert torch.equal(total(losses, 'loss'), total(unmasked, 'loss'))


def test_positives_of_quality_heads_keep_their_class_where_it_is_in_doubt():
    model, kind = detector('VFNet')  # Its target is a number for each class.
    region = [([0.0, 0.0, float(SIZE[1]), float(SIZE[0])], label) for label in range(3)]
    seen = Seen(model.bbox_head.loss_cls)
    losses_of(model, kind, regions=[region] * 2)
    ((logits, target, *_), _, _) = seen.calls[0]
    assert torch.equal(logits != -20, target > 0) and (target > 0).any()


SECOND = dict(
    type='mmdet.FasterRCNN',
    backbone=dict(type='ResNet', depth=18, init_cfg=None),
    rpn_head=dict(type='RPNHead', in_channels=32, anchor_generator=dict(
        type='AnchorGenerator', ratios=[1.0], scales=[8], strides=STRIDES)),
    roi_head=None, train_cfg=dict(rpn=None, rcnn=None), test_cfg=dict(rpn=None, rcnn=None),
)  # fmt: skip
TWO_STAGE_DETR = dict(
    DETR, as_two_stage=True, backbone=dict(type='ResNet', depth=18, init_cfg=None),
)  # fmt: skip
CENTERNET = dict(
    type='CenterNet',
    backbone=dict(type='ResNet', depth=18, init_cfg=None),
    neck=dict(type='CTResNetNeck', in_channels=512, num_deconv_filters=(8, 8, 8),
              num_deconv_kernels=(4, 4, 4), use_dcn=False),
    bbox_head=dict(type='CenterNetHead', num_classes=3, in_channels=8, feat_channels=8),
)  # fmt: skip
YOLOX = dict(
    type='YOLOX',
    backbone=dict(type='ResNet', depth=18, init_cfg=None),
    neck=dict(type='FPN', in_channels=[64, 128, 256, 512], out_channels=32, num_outs=4),
    bbox_head=dict(type='YOLOXHead', num_classes=3, in_channels=32, feat_channels=32),
)


@pytest.mark.parametrize(
    'build_model, says',
    [
        (
            lambda: build(dict(SECOND, _scope_='mmdet')),
            r'FasterRCNN, whose first stage learns any object without a label as background',
        ),
        (
            lambda: build(dict(YOLOX, _scope_='mmdet')),
            r'bbox_head is a YOLOXHead, whose objectness learns any object without a label',
        ),
        (
            lambda: build(dict(TWO_STAGE_DETR, _scope_='mmdet')),
            r'bbox_head is a DeformableDETRHead, whose objectness learns any object without',
        ),
        (
            lambda: build(dict(CENTERNET, _scope_='mmdet')),
            r'bbox_head is a CenterNetHead, of which it is not known whether an object without',
        ),
        (
            lambda: detector('RetinaNet', loss_cls=dict(type='CrossEntropyLoss')),
            r'bbox_head is a RetinaHead without a sigmoid for each class',
        ),
        (
            lambda: detector('RetinaNet', loss_cls=dict(type='GHMC', use_sigmoid=True)),
            r'bbox_head is a RetinaHead with GHMC, of which it is not known',
        ),
    ],
)
def test_detectors_that_learn_any_object_as_background_are_refused(build_model, says):
    model, kind = build_model()
    with pytest.raises(ConfigError, match=says) as error:
        kind.check_partly_annotated('model.tasks.det', model)
    assert str(error.value).startswith('model.tasks.det')
    assert 'complete the labels (tools/pseudo_label.py)' in str(error.value)


@pytest.mark.parametrize(
    'loss', [dict(type='CrossEntropyLoss', use_sigmoid=True), dict(type='AsymmetricLoss')]
)
def test_a_multi_label_classifier_learns_nothing_of_a_class_that_is_not_annotated(loss):
    from mmpretrain.structures import DataSample

    head = dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=4, loss=loss)
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MMENGINE_MODELS.build(
            dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18), head=head)
        )
    kind = kind_of_class('model', type(model)).of_model(model)
    kind.check_partly_annotated('model.tasks.cls', model)
    features, data = (torch.rand(2, 4),), [DataSample().set_gt_label([0]) for _ in range(2)]
    with kind.only_annotated(model, data, (0, 2)):
        loss = model.head.loss(features, data)['loss']
    loss.backward()
    assert model.head.fc.weight.grad[1].count_nonzero() == 0
    assert model.head.fc.weight.grad[0].count_nonzero()
    before = model.head.fc.weight.detach().clone()
    model.head.fc.weight.data[1] += 5.0
    with kind.only_annotated(model, data, (0, 2)):
        again = model.head.loss(features, data)['loss']
    assert torch.equal(loss, again) and not torch.equal(before, model.head.fc.weight)


def test_a_classifier_with_one_class_an_image_is_refused():
    head = dict(type='LinearClsHead', num_classes=3, in_channels=4)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MMENGINE_MODELS.build(
            dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18), head=head)
        )
    kind = kind_of_class('model', type(model)).of_model(model)
    with pytest.raises(ConfigError, match=r'^model.tasks.cls gives each image one class'):
        kind.check_partly_annotated('model.tasks.cls', model)


def test_pixels_of_other_classes_are_ignored():
    from mmseg.structures import SegDataSample

    head = dict(
        type='FCNHead', in_channels=4, channels=4, num_classes=3, num_convs=0, concat_input=False,
        in_index=0, dropout_ratio=0,
    )  # fmt: skip
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MMENGINE_MODELS.build(
            ConfigDict(type='EncoderDecoder', backbone=dict(type='ResNetV1c', depth=18),
                       decode_head=head, train_cfg=dict(), test_cfg=dict(mode='whole'))
        )  # fmt: skip
    kind = kind_of_class('model', type(model))
    kind.check_partly_annotated('model.tasks.seg', model)
    label_map = torch.tensor([[[0, 1, 2, 255], [2, 2, 1, 0]]])

    def loss(label_map, labels=None):
        sample = SegDataSample(gt_sem_seg=PixelData(data=label_map))
        if labels:
            with kind.only_annotated(model, [sample], labels):
                return model.decode_head.loss(features, [sample], None)['loss_ce']
        return model.decode_head.loss(features, [sample], None)['loss_ce']

    features = [torch.rand(1, 4, 2, 4)]
    expected = torch.tensor([[[255, 1, 2, 255], [2, 2, 1, 255]]])
    assert torch.equal(ignore_others(label_map, (1, 2), 255), expected)
    assert ignore_others(label_map.to(torch.uint8), (1, 2), 255).dtype == torch.uint8
    assert torch.equal(loss(label_map, (1, 2)), loss(expected))
    assert not torch.equal(loss(label_map, (1, 2)), loss(label_map))


SEGMENTOR = dict(
    type='FCNHead', in_channels=4, channels=4, num_classes=3, num_convs=0, concat_input=False,
    in_index=0,
)  # fmt: skip


def decoder(head):
    """A segmentor's heads, without the rest of it."""
    from mmengine.registry import MODELS

    heads = torch.nn.Module()
    with DefaultScope.overwrite_default_scope('mmseg'):
        if isinstance(head, list):
            heads.decode_head = torch.nn.ModuleList(MODELS.build(dict(part)) for part in head)
        else:
            heads.decode_head = MODELS.build(dict(head))
        heads.auxiliary_head = MODELS.build(dict(SEGMENTOR))
    return heads


LOSSES = [dict(type='CrossEntropyLoss'), dict(type='DiceLoss')]
ENCODING = dict(SEGMENTOR, type='EncHead', in_channels=[4], in_index=[0], num_codes=2)
for _name in ('num_convs', 'concat_input'):
    ENCODING.pop(_name)


@pytest.mark.parametrize(
    'head',
    [
        SEGMENTOR,
        [SEGMENTOR, dict(SEGMENTOR, ignore_index=254)],
        dict(SEGMENTOR, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True)),
        dict(SEGMENTOR, loss_decode=dict(type='LovaszLoss', reduction='none')),
        dict(SEGMENTOR, loss_decode=dict(type='FocalLoss')),
        dict(ENCODING, use_se_loss=False),
    ],
)
def test_segmentors_whose_losses_ignore_pixels_are_accepted(head):
    kind = kind_of_config('model', dict(type='mmseg.EncoderDecoder'))
    kind.check_partly_annotated('model.tasks.seg', decoder(head))


@pytest.mark.parametrize(
    'head, says',
    [
        (
            dict(SEGMENTOR, loss_decode=LOSSES),
            r'decode_head.loss_decode is DiceLoss, in which ign',
        ),
        ([SEGMENTOR, dict(SEGMENTOR, loss_decode=LOSSES)], r'decode_head.1.loss_decode is DiceLos'),
        (ENCODING, r'decode_head is a EncHead, which learns more of an image than the classes'),
    ],
)
def test_segmentors_to_which_ignored_pixels_are_background_are_refused(head, says):
    kind = kind_of_config('model', dict(type='mmseg.EncoderDecoder'))
    with pytest.raises(ConfigError, match=says):
        kind.check_partly_annotated('model.tasks.seg', decoder(head))


def test_pixels_are_ignored_by_the_number_of_the_last_head_of_a_cascade():
    from mmseg.structures import SegDataSample

    heads = decoder([SEGMENTOR, dict(SEGMENTOR, ignore_index=254)])
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.tensor([[[0, 1, 2]]])))
    kind = kind_of_config('model', dict(type='mmseg.EncoderDecoder'))
    with kind.only_annotated(heads, [sample], (1,)):
        assert sample.gt_sem_seg.data.tolist() == [[[254, 1, 254]]]


class Some:
    def __init__(self, **metainfo):
        self.metainfo = metainfo


class Both:
    def __init__(self, *datasets):
        self.datasets = datasets
        self.metainfo = datasets[0].metainfo


CLASSES = ('car', 'bus', 'sign')


def test_annotated_classes_are_labels_in_rising_order():
    assert annotated_labels(Some(classes=CLASSES)) is None
    assert annotated_labels(Some(classes=CLASSES, annotated_classes=CLASSES[::-1])) is None
    few = Some(classes=CLASSES, annotated_classes=['sign', 'car'])
    assert annotated_labels(few) == annotated_labels(Both(few, few)) == (0, 2)
    assert annotated_labels(Some()) is None


@pytest.mark.parametrize(
    'dataset, says',
    [
        (Some(classes=CLASSES, annotated_classes=('cars',)), r"has 'cars', .*do you mean 'car'\?$"),
        (Some(classes=CLASSES, annotated_classes=('x',)), r"has 'x', .*; name some of \['car'"),
        (Some(classes=CLASSES, annotated_classes=()), r'is \(\); give names of classes'),
        (Some(classes=CLASSES, annotated_classes='car'), r"is 'car'; give names of classes"),
        (
            Both(Some(classes=CLASSES, annotated_classes=('car',)), Some(classes=CLASSES)),
            r'inside Both have different metainfo.annotated_classes.*make a source of each',
        ),
    ],
)
def test_annotated_classes_that_cannot_be_are_refused(dataset, says):
    with pytest.raises(ConfigError, match=says):
        annotated_labels(dataset)
