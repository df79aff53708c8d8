"""Small joint models for tests of exported graphs, and runtimes as functions."""

import numpy as np
import torch
from conftest import build_model, tiny
from torch.nn import functional as F

SIZE = (64, 96)
STRIDES = (8, 16, 32)
ANCHORS = dict(
    type='AnchorGenerator',
    ratios=[1.0],
    octave_base_scale=4,
    scales_per_octave=1,
    strides=STRIDES,
)
BOX_HEADS = dict(
    retina=dict(
        type='mmdet.RetinaNet',
        bbox_head=dict(
            type='RetinaHead', anchor_generator=dict(ANCHORS, ratios=[0.5, 1.0]), stacked_convs=1
        ),
    ),
    atss=dict(
        type='mmdet.ATSS',
        bbox_head=dict(
            type='ATSSHead',
            anchor_generator=ANCHORS,
            stacked_convs=1,
            norm_cfg=dict(type='GN', num_groups=4),
        ),
    ),
    gfl=dict(
        type='mmdet.GFL',
        bbox_head=dict(
            type='GFLHead',
            anchor_generator=ANCHORS,
            loss_dfl=dict(type='DistributionFocalLoss'),
            stacked_convs=1,
            norm_cfg=dict(type='GN', num_groups=4),
        ),
    ),
    rtm=dict(
        type='mmdet.RTMDet',
        bbox_head=dict(
            type='RTMDetHead',
            anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=STRIDES),
            bbox_coder=dict(type='DistancePointBBoxCoder'),
            with_objectness=False,
            stacked_convs=1,
            norm_cfg=dict(type='GN', num_groups=4),
        ),
    ),
)
MAPS = dict(in_channels=[8, 16, 32, 64], in_index=[0, 1, 2, 3])
PIXEL_HEADS = dict(
    fcn=dict(type='FCNHead', in_channels=32, in_index=2, num_convs=1),
    uper=dict(type='UPerHead', **MAPS, pool_scales=(1, 2)),
    segformer=dict(type='SegformerHead', **MAPS),
    deeplab=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=64,
        in_index=3,
        dilations=(1, 2),
        c1_in_channels=8,
        c1_channels=8,
    ),
)


def small(work_dir):
    """The toy config on a backbone of few layers, which are traced in seconds."""
    cfg = tiny(work_dir)
    tasks = cfg.model.tasks
    cfg.model.backbone = dict(
        type='mmpretrain.ResNet',
        depth=18,
        stem_channels=8,
        base_channels=8,
        out_indices=(0, 1, 2, 3),
    )
    tasks.cls.head.in_channels = 32
    tasks.det.neck.in_channels = [16, 32, 64]
    tasks.det.bbox_head.stacked_convs = 1
    tasks.seg.decode_head.in_channels = [8, 16, 32, 64]
    return cfg


def of_many_heads(work_dir):
    """The toy config with tasks of ten heads beside FCOS, FPN and a softmax."""
    cfg = small(work_dir)
    toy = cfg.model.tasks
    for name, parts in BOX_HEADS.items():
        task = toy.det.to_dict() | dict(type=parts['type'])
        task['neck'] = dict(task['neck'], out_channels=16)
        task['bbox_head'] = dict(
            parts['bbox_head'], num_classes=3, in_channels=16, feat_channels=16
        )
        cfg.model.tasks[name] = task
    for name, head in PIXEL_HEADS.items():
        loss = dict(type='CrossEntropyLoss', use_sigmoid=name == 'fcn')
        classes = dict(num_classes=2, out_channels=1) if name == 'fcn' else dict(num_classes=5)
        common = dict(channels=16, align_corners=False, norm_cfg=dict(type='BN'))
        task = toy.seg.to_dict()
        task['decode_head'] = head | common | classes | dict(loss_decode=loss)
        cfg.model.tasks[name] = task
    cfg.model.tasks['many'] = dict(
        type='mmpretrain.ImageClassifier',
        feature_indices=(3,),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='MultiLabelLinearClsHead', num_classes=6, in_channels=64),
    )
    cfg.model.tasks['search'] = dict(
        type='allinone.EmbeddingModel',
        feature_indices=(3,),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(
            type='EmbeddingHead',
            in_channels=64,
            embedding_size=8,
            num_classes=5,
            losses=[dict(type='SoftmaxLoss')],
        ),
    )
    return cfg


def shaken(cfg, **options):
    """The model of a config, with weights by which its tasks find something."""
    cfg.merge_from_dict(options)
    model = build_model(cfg)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    for name, value in model.named_parameters():
        last = name.rpartition('.')[0].rpartition('.')[2]
        if last in ('conv_cls', 'retina_cls', 'atss_cls', 'gfl_cls') or 'rtm_cls' in name:
            value.data = value.data * 3 if name.endswith('weight') else torch.full_like(value, -1)
    return model.eval()


def write_checkpoint(cfg, model, path):
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text)), path)
    return path


def some_images(count=3, size=SIZE, seed=1):
    """Smooth noise, ``(N, 3, H, W)`` BGR uint8."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 8, 12, generator=generator)
    large = F.interpolate(small, size, mode='bicubic')
    return (large.clamp(0, 1) * 255).to(torch.uint8)


def as_input(images):
    return images.flip(1).float().numpy()


def onnx_runtime(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, dict(images=images))))


def openvino_runtime(path):
    import openvino

    # Where the processor has bfloat16, OpenVINO would compute in it.
    hints = dict(INFERENCE_PRECISION_HINT='f32', INFERENCE_NUM_THREADS=1)
    compiled = openvino.Core().compile_model(str(path), 'CPU', hints)
    return lambda images: {
        output.get_any_name(): value for output, value in compiled(images).items()
    }


def predictions(model, metadata, outputs, images):
    """``{task: data samples}`` of the outputs of a graph."""
    size = tuple(images.shape[-2:])
    found = {}
    for task, about in metadata['tasks'].items():
        kind = model.kinds[task]
        samples = kind.samples(images, [size] * len(images))
        found[task] = [
            kind.from_outputs(
                {name.rpartition('.')[2]: outputs[name][index] for name in about['outputs']},
                sample,
                about['options'],
            )
            for index, sample in enumerate(samples)
        ]
    return found


def assert_same(found, expected, pixels=0.999):
    """Predictions of a runtime are those of PyTorch, within what float32 gives."""
    for task, samples in found.items():
        for ours, theirs in zip(samples, expected[task]):
            if 'pred_instances' in theirs:
                ours, theirs = ours.pred_instances, theirs.pred_instances
                assert len(ours) == len(theirs), task
                assert torch.equal(ours.labels, theirs.labels), task
                torch.testing.assert_close(ours.scores, theirs.scores, atol=1e-4, rtol=0)
                torch.testing.assert_close(ours.bboxes, theirs.bboxes, atol=0.05, rtol=0)
            elif 'pred_sem_seg' in theirs:
                same = ours.pred_sem_seg.data == theirs.pred_sem_seg.data
                assert same.shape == theirs.pred_sem_seg.data.shape
                assert np.mean(same.numpy()) >= pixels, task
            elif 'pred_feature' in theirs:
                ours, theirs = (F.normalize(each.pred_feature, dim=0) for each in (ours, theirs))
                torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
            else:
                assert torch.equal(ours.pred_label, theirs.pred_label), task
                torch.testing.assert_close(ours.pred_score, theirs.pred_score, atol=1e-4, rtol=0)
