"""A small joint model, and images with labels of several tasks, for tests of the shared step."""

import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import InstanceData, PixelData

from allinone.data.shared_sample import SharedDataSample, labelled_batch
from allinone.registry import MODELS

TASKS = ('det', 'sem', 'road', 'cls')
SIZE = (64, 96)


def model_of(balancer=None, norm=None, dtype=torch.float64, tasks=TASKS, **options):
    """Detector, two segmentors and a classifier around a tiny backbone with group norm."""
    import two_processes  # noqa: F401  # registers nothing; TinyBackbone is registered below

    register()
    norm = norm or dict(type='GN', num_groups=4)
    head = dict(
        type='FPNHead', in_channels=[8, 16, 32, 32], in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32], channels=8, dropout_ratio=0, norm_cfg=norm,
        align_corners=False, loss_decode=dict(type='CrossEntropyLoss'),
    )  # fmt: skip
    segmentor = dict(
        type='mmseg.EncoderDecoder', data_preprocessor=dict(size_divisor=32, seg_pad_val=255),
        train_cfg=dict(), test_cfg=dict(mode='whole'),
    )  # fmt: skip
    every = dict(
        det=dict(
            type='mmdet.FCOS', feature_indices=(1, 2, 3),
            neck=dict(type='FPN', in_channels=[16, 32, 32], out_channels=8, num_outs=3),
            bbox_head=dict(
                type='FCOSHead', num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1,
                strides=[8, 16, 32], regress_ranges=((-1, 32), (32, 64), (64, 1e8)),
                norm_cfg=norm),
            test_cfg=dict(nms_pre=50, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.6),
                          max_per_img=5)),
        sem=dict(segmentor, decode_head=dict(head, num_classes=5)),
        road=dict(segmentor, decode_head=dict(head, num_classes=2)),
        cls=dict(
            type='mmpretrain.ImageClassifier', feature_indices=(3,),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=4, in_channels=32)),
    )  # fmt: skip
    for task in options.get('shared_neck', {}).get('tasks', ()):
        # It has maps of 8 channels at strides 8 to 32.
        every[task] = {
            key: part for key, part in every[task].items() if key not in ('neck', 'feature_indices')
        }
        if 'decode_head' in every[task]:
            every[task]['decode_head'].update(
                in_channels=[8, 8, 8], in_index=[0, 1, 2], feature_strides=[8, 16, 32]
            )
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='AllInOne',
            backbone=dict(type='allinone.GroupNormBackbone', norm=norm['type']),
            tasks={task: every[task] for task in tasks},
            balancer=balancer,
            data_preprocessor=dict(
                mean=[120.0] * 3, std=[60.0] * 3, bgr_to_rgb=True, pad_size_divisor=32
            ),
            **{'grad_similarity_interval': 0, **options},
        )
    )
    model.init_weights()
    return model.to(dtype).train()


def register():
    import itertools

    from torch import nn

    if MODELS.get('allinone.GroupNormBackbone') is not None:
        return

    class GroupNormBackbone(nn.Module):
        """Maps of 8, 16, 32 and 32 channels at strides 4 to 32."""

        def __init__(self, norm='GN'):
            super().__init__()
            widths = (3, 8, 8, 16, 32, 32)
            self.stages = nn.ModuleList(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, 2, 1),
                    nn.GroupNorm(4, after) if norm == 'GN' else nn.BatchNorm2d(after),
                    nn.ReLU(),
                )
                for before, after in itertools.pairwise(widths)
            )

        def forward(self, x):
            x = x.to(self.stages[0][0].weight.dtype)
            return tuple(
                list(itertools.accumulate(self.stages, lambda y, stage: stage(y), initial=x))[2:]
            )

    MODELS.register_module(module=GroupNormBackbone)


def sample_of(task, generator):
    from mmdet.structures import DetDataSample
    from mmpretrain.structures import DataSample
    from mmseg.structures import SegDataSample

    height, width = SIZE
    info = dict(
        img_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0), img_path='a.jpg', flip=False
    )

    def number(below, size=()):
        return torch.randint(0, below, size, generator=generator)

    if task == 'det':
        corner = torch.rand(3, 2, generator=generator) * 30
        boxes = torch.cat([corner, corner + 10 + 20 * torch.rand(3, 2, generator=generator)], 1)
        none = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
        found = DetDataSample(metainfo=info)
        found.gt_instances = InstanceData(bboxes=boxes, labels=number(3, (3,)))
        found.ignored_instances = none
    elif task == 'cls':
        found = DataSample(metainfo=info).set_gt_label(int(number(4)))
    else:
        found = SegDataSample(metainfo=info)
        found.gt_sem_seg = PixelData(data=number(dict(sem=5, road=2)[task], (1, height, width)))
    return found


def batch_of(labels, seed=0):
    """A collated batch; ``labels`` are the tasks of each image, as in ``['det sem', 'cls']``."""
    generator = torch.Generator().manual_seed(seed)
    inputs, samples = [], []
    for tasks in labels:
        image = torch.randint(0, 256, (3, *SIZE), generator=generator, dtype=torch.uint8)
        # All are made, so that leaving one out changes no other
        every = {task: sample_of(task, generator) for task in TASKS}
        sample = SharedDataSample(metainfo=dict(img_path=f'{len(inputs)}.jpg'))
        sample.labels = {task: every[task] for task in TASKS if task in tasks.split()}
        inputs.append(image)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def separate(batch, tasks=TASKS):
    """``{task: batch}`` of the same labelled images, each task with a batch of its own."""
    return {task: found for task in tasks if (found := labelled_batch(batch, task))['data_samples']}


class Capture(OptimWrapper):
    """Keeps the gradients instead of a step."""

    def __init__(self, model, **options):
        super().__init__(torch.optim.SGD(model.parameters(), lr=0.1), **options)
        self.model = model

    def step(self, **_):
        self.grads = {
            name: param.grad.clone()
            for name, param in self.model.named_parameters()
            if param.grad is not None
        }


def gradients(model, data, sources=None):
    """Gradients and log of a training step on ``{source: batch}``."""
    if sources:
        model.bind_sources(sources)
    wrapper = Capture(model)
    log = model.train_step(data, wrapper)
    return wrapper.grads, log


def difference(ours, theirs):
    """Largest difference of two dictionaries of gradients, relative to the largest of each."""
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    return max(
        float((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max().clamp_min(1e-12))
        for name in ours
    )
