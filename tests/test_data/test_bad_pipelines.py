"""Pipelines and data set configs that cannot work, found before the first iteration."""

import re

import numpy as np
import pytest
import torch
from bad_input import data_error, load
from conftest import tiny

from allinone.errors import ConfigError


def test_parts_of_the_data_set_are_named(cfg):
    cfg.train_dataloader.cls.dataset.ann_fil = 'train.txt'
    says = "train_dataloader.cls.dataset has no key 'ann_fil'; do you mean 'ann_file'?"
    assert data_error(cfg, 'cls', kind=ConfigError) == says
    del cfg.train_dataloader.cls.dataset['ann_fil']
    cfg.train_dataloader.cls.dataset.pipeline[1].probb = 0.5
    assert data_error(cfg, 'cls', kind=ConfigError).startswith(
        "train_dataloader.cls.dataset.pipeline.1 has no key 'probb'; do you mean 'prob'"
    )
    cfg.train_dataloader.cls.dataset.pipeline[1] = dict(type='RandomFlp')
    assert data_error(cfg, 'cls', kind=ConfigError) == (
        "train_dataloader.cls.dataset.pipeline.1.type is 'RandomFlp', which no transform of "
        "mmpretrain is; do you mean 'RandomFlip'?"
    )
    cfg.train_dataloader.seg.dataset.type = 'mmseg.BaseSegDatset'
    assert data_error(cfg, 'seg', kind=ConfigError) == (
        "train_dataloader.seg.dataset.type is 'mmseg.BaseSegDatset', which no dataset of mmseg is; "
        "do you mean 'mmseg.BaseSegDataset'?"
    )
    cfg.train_dataloader.seg.dataset = dict(
        type='mmseg.BaseSegDataset', pipeline=[dict(type='LoadImagFromFile')]
    )
    assert "pipeline.0.type is 'LoadImagFromFile', which no" in data_error(
        cfg, 'seg', kind=ConfigError
    )
    cfg.train_dataloader.cls = dict(
        batch_size=1, dataset=tiny('unused').train_dataloader.cls.dataset, sampler=dict(type='Draw')
    )
    assert "train_dataloader.cls.sampler.type is 'Draw', which no data sampler" in data_error(
        cfg, 'cls', kind=ConfigError
    )
    del cfg.train_dataloader.det['dataset']
    assert 'train_dataloader.det.dataset is None' in data_error(cfg, 'det', kind=ConfigError)


@pytest.mark.parametrize('stage', ['train', 'val'])
@pytest.mark.parametrize(
    'change, says',
    [
        (
            lambda steps: steps[:-1],
            r"ends with \[.*'img', .*\], but models take 'inputs' and .*; end",
        ),
        (
            lambda steps: [steps[0], dict(type='Resize', scale='big'), steps[-1]],
            r'fails: task cls, sample \d+ \(.*/00001.png\): error: OpenCV.*; fix it',
        ),
    ],
)
def test_a_pipeline_that_cannot_work_is_found_at_the_start(cfg, stage, change, says):
    dataset = cfg[f'{stage}_dataloader'].cls.dataset
    dataset.pipeline = change(list(dataset.pipeline))
    text = data_error(cfg, 'cls', stage, ConfigError)
    assert re.search(rf'^{stage}_dataloader.cls.dataset.pipeline {says}', text)


def test_looking_at_a_pipeline_changes_no_random_numbers(cfg):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    load(cfg, 'cls')
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_transforms_that_remember_earlier_images_are_refused(cfg):
    """Also within others, and by their classes."""
    from mmdet.datasets.transforms import CachedMixUp

    dataset = cfg.train_dataloader.det.dataset
    plain = list(dataset.pipeline)
    for step, path, use in (
        (dict(type='CachedMosaic'), '', 'Mosaic'),
        (dict(type='RandomApply', transforms=[dict(type=CachedMixUp)]), '.transforms.0', 'MixUp'),
    ):
        dataset.pipeline = [*plain[:-1], step, plain[-1]]
        text = data_error(cfg, 'det', kind=ConfigError)
        assert text.startswith(
            f"train_dataloader.det.dataset.pipeline.{len(plain) - 1}{path}.type is 'Cached{use}', "
        )
        assert text.endswith(f"use {use!r} in the pipeline of type='mmdet.MultiImageMixDataset'")


def test_a_pipeline_that_is_no_list(cfg):
    cfg.train_dataloader.cls.dataset.pipeline = None
    assert data_error(cfg, 'cls', kind=ConfigError) == (
        'train_dataloader.cls.dataset: pipeline is None; give a list of transforms'
    )
