"""Heads as functions of feature maps: what they give is what the model predicts, before NMS."""

import pytest
import torch
from conftest import build_model, tiny
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope

from allinone.errors import ConfigError
from allinone.registry.kinds import kind_of_class
from allinone.tasks import TaskKind
from allinone.tasks.free_sizes import _bins

SIZE = (96, 128)
CHANNELS = (16, 48, 160)
STRIDES = (8, 16, 32)
TESTED = ConfigDict(nms_pre=10**6, min_bbox_size=-1, score_thr=-1.0, max_per_img=10**6)
TESTED['nms'] = dict(type='nms', iou_threshold=1.0)
COMMON = dict(num_classes=3, in_channels=32, feat_channels=32)
ANCHORS = dict(
    type='AnchorGenerator',
    ratios=[1.0],
    octave_base_scale=8,
    scales_per_octave=1,
    strides=STRIDES,
)
HEADS = dict(
    FCOS=dict(
        COMMON,
        type='FCOSHead',
        strides=STRIDES,
        regress_ranges=((-1, 48), (48, 96), (96, 1e8)),
        norm_on_bbox=True,
    ),
    RetinaNet=dict(COMMON, type='RetinaHead', anchor_generator=dict(ANCHORS, ratios=[0.5, 1.0])),
    ATSS=dict(COMMON, type='ATSSHead', anchor_generator=ANCHORS),
    GFL=dict(
        COMMON,
        type='GFLHead',
        anchor_generator=ANCHORS,
        loss_dfl=dict(type='DistributionFocalLoss'),
    ),
    RTMDet=dict(
        COMMON,
        type='RTMDetHead',
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=STRIDES),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        with_objectness=False,
    ),
)


def detector(name, **head):
    torch.manual_seed(1)
    cfg = dict(
        type=name,
        _scope_='mmdet',
        backbone=dict(type='ResNet', depth=18),
        neck=dict(type='FPN', in_channels=list(CHANNELS), out_channels=32, num_outs=3),
        bbox_head=dict(HEADS[name], **head),
        test_cfg=TESTED,
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MMENGINE_MODELS.build(cfg).eval()
    for parameter in model.bbox_head.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(2)
    height, width = SIZE
    return [
        torch.rand(2, c, height // s, width // s, generator=generator)
        for c, s in zip(CHANNELS, STRIDES)
    ]


@pytest.mark.parametrize('name', HEADS)
@torch.no_grad()
def test_boxes_of_all_priors_are_those_that_the_detector_predicts(name, maps):
    model = detector(name)
    exported = kind_of_class('model', type(model)).export_head(model)
    found = exported(maps, SIZE)
    metas = [dict(img_shape=SIZE, scale_factor=(1.0, 1.0))] * 2
    outputs = model.bbox_head(model.neck(maps))
    predicted = model.bbox_head.predict_by_feat(
        *outputs, batch_img_metas=metas, cfg=model.test_cfg, with_nms=False
    )
    for boxes, scores, instances in zip(found['boxes'], found['scores'], predicted):
        priors, classes = scores.shape
        assert len(instances) == priors * classes
        # Each prior has a box and C scores there, in the order of scores.
        for label in range(classes):
            of_label = instances[instances.labels == label]
            order = of_label.scores.argsort(descending=True)
            expected = scores[:, label].argsort(descending=True)
            torch.testing.assert_close(of_label.scores[order], scores[expected, label])
            torch.testing.assert_close(of_label.bboxes[order], boxes[expected], atol=1e-3, rtol=0)


@torch.no_grad()
def test_without_a_size_boxes_are_not_clipped(maps):
    exported = kind_of_class('model', type(model := detector('FCOS'))).export_head(model)
    clipped, free = exported(maps, SIZE)['boxes'], exported(maps)['boxes']
    assert (free < 0).any() and (clipped >= 0).all()
    inside = (free[..., :2] >= 0).all(-1) & (free[..., 2] <= SIZE[1]) & (free[..., 3] <= SIZE[0])
    assert torch.equal(clipped[inside], free[inside])


@torch.no_grad()
def test_the_toy_tasks(toy_root, tmp_path):
    model = build_model(tiny(tmp_path)).eval()
    images = torch.rand(2, 3, 64, 96)
    results = model(images)
    for task, kind in model.kinds.items():
        view = model.view(task)
        maps = view(images)
        found = kind.export_head(model.tasks[task])(maps, (64, 96))
        if task == 'cls':
            expected = dict(scores=results[task].softmax(1))
        elif task == 'seg':
            whole = model.tasks[task].encode_decode(images, [dict(img_shape=(64, 96))] * 2)
            expected = dict(logits=whole)
        else:
            expected = dict.fromkeys(('boxes', 'scores'))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert value is None or torch.equal(found[name], value)


def test_a_head_that_has_no_such_form_is_named():
    with DefaultScope.overwrite_default_scope('mmdet'):
        from mmdet.models import YOLOV3, YOLOV3Head

    class Model(YOLOV3):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.bbox_head = torch.nn.Module.__new__(YOLOV3Head)

    with pytest.raises(ConfigError, match='^Model cannot be exported: only heads .* is YOLOV3Head'):
        kind_of_class('model', Model).export_head(Model())
    with pytest.raises(ConfigError, match='^Linear cannot be exported: its kind'):
        TaskKind().export_head(torch.nn.Linear(1, 1))


@pytest.mark.parametrize('count', [1, 2, 3, 6])
def test_bins_of_any_size_pool_as_the_layer_does(count):
    for height, width in ((6, 8), (7, 11), (3, 2), (12, 6)):
        x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height))
        rows, columns = (_bins(side, count, x) for side in (height, width))
        expected = torch.nn.AdaptiveAvgPool2d(count)(x)
        torch.testing.assert_close(rows @ x @ columns.T, expected)
