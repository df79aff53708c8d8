"""Augmentations of a batch that mix images get the number of classes of the head."""

import pytest
import torch
from conftest import build_model, classification
from mmpretrain.structures import DataSample


def model_of(tmp_path, **task):
    cfg = classification(tmp_path / 'work')
    cfg.model.tasks.cls.update(task)
    return build_model(cfg).tasks['cls']


@pytest.mark.parametrize(
    'augments',
    [
        dict(type='Mixup', alpha=0.8),
        [dict(type='CutMix', alpha=1.0), dict(type='Mixup', alpha=0.2)],
        [dict(type='ResizeMix', alpha=1.0)],
    ],
)
@pytest.mark.parametrize('own', [None, dict(pad_size_divisor=2)])
def test_labels_are_mixed(toy_root, tmp_path, augments, own):
    task = dict(train_cfg=dict(augments=augments))
    if own:
        task['data_preprocessor'] = own
    preprocessor = model_of(tmp_path, **task).data_preprocessor
    assert preprocessor.num_classes == 8
    torch.manual_seed(0)
    samples = [DataSample().set_gt_label(label) for label in (0, 5)]
    images = [torch.zeros(3, 8, 8, dtype=torch.uint8) for _ in samples]
    mixed = preprocessor(dict(inputs=images, data_samples=samples), training=True)
    scores = torch.stack([sample.gt_score for sample in mixed['data_samples']])
    assert scores.shape == (2, 8)
    assert torch.allclose(scores.sum(1), torch.ones(2))
    assert set(scores.nonzero()[:, 1].tolist()) == {0, 5}


def test_a_number_in_the_config_stays(toy_root, tmp_path):
    model = model_of(
        tmp_path,
        data_preprocessor=dict(num_classes=9),
        train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)),
    )
    assert model.data_preprocessor.num_classes == 9


def test_without_augmentations_nothing_is_added(toy_root, tmp_path):
    assert model_of(tmp_path).data_preprocessor.num_classes is None
