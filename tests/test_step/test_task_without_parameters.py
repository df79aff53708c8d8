"""A task whose parts have no parameters: its backbone gives the scores (VGG of mmpretrain)."""

import torch
from conftest import build_model
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample


def test_it_trains_the_backbone_where_gradients_are_compared():
    backbone = dict(type='mmpretrain.MobileNetV2', widen_factor=0.25, out_indices=(6,))
    task = dict(
        type='mmpretrain.ImageClassifier',
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='ClsHead'),
    )
    head = dict(type='LinearClsHead', num_classes=3, in_channels=80)
    model = build_model(
        ConfigDict(
            model=dict(
                type='AllInOne',
                backbone=backbone,
                tasks=dict(bare=task, cls=dict(task, head=head)),
                grad_similarity_interval=1,
            )
        )
    )
    assert not list(model.tasks.bare.parameters())
    before = model.backbone.conv1.conv.weight.clone()
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    batch = dict(
        inputs=[torch.full((3, 32, 32), 50 * i, dtype=torch.uint8) for i in range(2)],
        data_samples=[DataSample().set_gt_label(i) for i in range(2)],
    )
    log = model.train().train_step(dict(bare=batch, cls=batch), optim)
    assert torch.isfinite(log['loss'])
    assert not torch.equal(model.backbone.conv1.conv.weight, before)
