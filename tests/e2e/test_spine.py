"""The whole program on tiny data: train, validate, save, test, resume, add data sets."""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import ROOT, build_model, tiny
from mmengine.config import Config
from PIL import Image

from allinone.apis.run import run
from allinone.checkpoint.loading import read_checkpoint
from allinone.config.loading import load_config
from allinone.errors import ConfigError
from allinone.registry import RUNNERS

TASKS = ('cls', 'det', 'seg')


def arguments(config, **given):
    defaults = dict(
        config=str(config),
        work_dir=None,
        cfg_options=None,
        launcher='none',
        local_rank=0,
        seed=None,
        amp=False,
        resume=None,
        tasks=None,
        out=None,
        show_dir=None,
    )
    return argparse.Namespace(**(defaults | given))


def last_validation(work_dir):
    lines = [
        json.loads(line)
        for file in work_dir.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    return [line for line in lines if 'score' in line][-1]


def test_a_run_trains_validates_and_saves(trained):
    runner, _, work_dir = trained
    assert runner.iter == 4
    assert (work_dir / 'iter_4.pth').is_file()
    assert list(work_dir.glob('best_score_iter_*.pth'))
    metrics = last_validation(work_dir)
    for name in (
        'cls/top1',
        'cls/top5',
        'det/bbox_mAP',
        'det/bbox_mAP_50',
        'seg/mIoU',
        'seg/aAcc',
        'seg/mAcc',
        'seg/IoU.road',
    ):
        assert name in metrics
    expected = (metrics['cls/top1'] + 100 * metrics['det/bbox_mAP_50'] + metrics['seg/mIoU']) / 3
    assert metrics['score'] == pytest.approx(expected)


def test_the_log_has_every_tasks_values(trained):
    _, _, work_dir = trained
    lines = [
        json.loads(line)
        for file in work_dir.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    first = next(line for line in lines if 'lr' in line)
    for task, size in dict(cls=8, det=2, seg=2).items():
        for name in ('loss', 'weight', 'grad_norm', 'data_time'):
            assert f'{task}/{name}' in first
        assert first[f'{task}/batch_size'] == size
    text = next(work_dir.glob('*/*.log')).read_text()
    assert 'eta:' in text


def test_testing_the_checkpoint_gives_the_last_validation_exactly(trained, tmp_path):
    _, cfg, work_dir = trained
    cfg.dump(str(tmp_path / 'config.py'))
    out = tmp_path / 'metrics.json'
    status = run(
        'test',
        arguments(
            tmp_path / 'config.py',
            checkpoint=str(work_dir / 'iter_4.pth'),
            out=str(out),
            work_dir=str(tmp_path / 'test'),
        ),
    )
    assert status == 0
    found, expected = json.loads(out.read_text()), last_validation(work_dir)
    assert {name: expected[name] for name in found} == found
    assert found.keys() >= {'cls/top1', 'det/bbox_mAP_50', 'seg/mIoU', 'score'}


def test_testing_some_tasks(trained, tmp_path):
    _, cfg, work_dir = trained
    cfg.dump(str(tmp_path / 'config.py'))
    out = tmp_path / 'metrics.json'
    given = dict(
        checkpoint=str(work_dir / 'iter_4.pth'), out=str(out), work_dir=str(tmp_path / 'test')
    )
    assert run('test', arguments(tmp_path / 'config.py', tasks=['cls'], **given)) == 0
    found = json.loads(out.read_text())
    assert set(name.split('/')[0] for name in found) == {'cls'}
    assert run('test', arguments(tmp_path / 'config.py', tasks=['clss'], **given)) == 2


def test_resuming_gives_the_run_that_never_stopped(toy_root, trained, tmp_path):
    """To the last bit, with dropout in play, and with workers in the second half only."""
    _, _, work_dir = trained
    expected = read_checkpoint(work_dir / 'iter_4.pth')
    cfg = tiny(tmp_path, resume=True, load_from=str(work_dir / 'iter_2.pth'))
    for loader in cfg.train_dataloader.values():
        loader.num_workers = 1
    cfg.train_cfg.val_interval = 100
    RUNNERS.build(cfg).train()
    found = read_checkpoint(tmp_path / 'iter_4.pth')
    for name, value in expected['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name
    for number, state in expected['optimizer']['state'].items():
        assert torch.equal(found['optimizer']['state'][number]['exp_avg'], state['exp_avg'])
    assert found['message_hub']['runtime_info']['batches_drawn'] == dict(cls=4, det=4, seg=4)


@pytest.mark.parametrize('schedule', ['RoundRobin', 'SizeProportional'])
def test_one_task_a_step(toy_cfg, schedule):
    toy_cfg.train_cfg.schedule = dict(type=schedule)
    toy_cfg.train_cfg.val_interval = 100
    toy_cfg.pop('val_dataloader'), toy_cfg.pop('val_cfg'), toy_cfg.pop('val_evaluator')
    toy_cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=4)
    runner = RUNNERS.build(toy_cfg)
    runner.train()
    assert sum(runner.train_dataloader.batches.values()) == 4
    if schedule == 'RoundRobin':
        assert runner.train_dataloader.batches == dict(cls=2, det=1, seg=1)


def test_upstream_hooks_keep_working(toy_cfg):
    """EMA, accumulation, per-parameter settings and global clipping together."""
    toy_cfg.custom_hooks = [dict(type='EMAHook', momentum=0.5)]
    toy_cfg.optim_wrapper.update(
        accumulative_counts=2,
        clip_grad=dict(max_norm=1.0),
        paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    )
    runner = RUNNERS.build(toy_cfg)
    runner.train()
    rates = {group['lr'] for group in runner.optim_wrapper.param_groups}
    assert len(rates) == 2
    checkpoint = read_checkpoint(f'{toy_cfg.work_dir}/iter_4.pth')
    ema, plain = checkpoint['state_dict'], checkpoint['ema_state_dict']
    changed = [
        name
        for name in ema
        if f'module.{name}' in plain and not torch.equal(ema[name], plain[f'module.{name}'])
    ]
    assert any(name.startswith('backbone.') for name in changed)
    assert any(name.startswith('tasks.det.') for name in changed)


def test_a_fourth_task_is_a_child_config(toy_root, tmp_path):
    path = ROOT / 'configs/toy/mobilenetv2_toy_signs.py'
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith('#')]
    assert len(lines) <= 15
    cfg = load_config(str(path), work_dir=str(tmp_path))
    tiny_options = tiny(tmp_path)
    cfg.merge_from_dict(
        dict(train_cfg=tiny_options.train_cfg, default_hooks=tiny_options.default_hooks)
    )
    for loader in (*cfg.train_dataloader.values(), *cfg.val_dataloader.values()):
        loader.update(batch_size=2, num_workers=0)
    RUNNERS.build(cfg).train()
    assert last_validation(tmp_path).keys() >= {'det/bbox_mAP_50', 'signs/bbox_mAP_50'}


def test_upstream_coco_and_ade20k_sets(toy_root, tmp_path):
    """mmdet's CocoDataset and CocoMetric, mmseg's ADE20KDataset and IoUMetric, as they are."""
    generator = np.random.default_rng(0)
    for split in ('training', 'validation'):
        for folder in ('images', 'annotations'):
            (tmp_path / f'ade/{folder}/{split}').mkdir(parents=True)
        for number in range(4):
            image = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            label = generator.integers(0, 151, (64, 64), dtype=np.uint8)  # 0 is not labelled
            name = f'ADE_{number}'
            Image.fromarray(image).save(tmp_path / f'ade/images/{split}/{name}.jpg')
            Image.fromarray(label).save(tmp_path / f'ade/annotations/{split}/{name}.png')
    cfg = tiny(tmp_path / 'work')
    for stage in ('train', 'val', 'test'):
        loader = cfg[f'{stage}_dataloader'].seg
        split = 'training' if stage == 'train' else 'validation'
        loader.dataset = dict(
            type='mmseg.ADE20KDataset',
            data_root=str(tmp_path / 'ade'),
            data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', reduce_zero_label=True),
                dict(type='PackSegInputs'),
            ],
        )
        metainfo = cfg[f'{stage}_dataloader'].det.dataset.metainfo
    cfg.model.tasks.seg.decode_head.num_classes = 150
    for stage in ('val', 'test'):
        cfg[f'{stage}_evaluator'].seg = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
        cfg[f'{stage}_evaluator'].det.type = 'mmdet.CocoMetric'
        cfg[f'{stage}_evaluator'].det.pop('_scope_')
        cfg[f'{stage}_cfg'].score = {'seg/mIoU': 1}
    assert metainfo.classes == ('vehicle', 'pedestrian', 'sign')
    runner = RUNNERS.build(cfg)
    runner.train()
    metrics = runner.test()
    assert 0 <= metrics['seg/mIoU'] < 5


def test_heads_of_every_library_fit(toy_cfg):
    """Two-stage and transformer heads, of which the demo has none."""
    toy_cfg.model.tasks.det = Config.fromfile('mmdet::_base_/models/faster-rcnn_r50_fpn.py').model
    det = toy_cfg.model.tasks.det
    det.type, det.feature_indices = 'mmdet.FasterRCNN', (0, 1, 2, 3)
    det.pop('backbone'), det.pop('data_preprocessor')
    det.neck.update(in_channels=[16, 16, 48, 160], out_channels=32)
    det.rpn_head.update(in_channels=32, feat_channels=32)
    det.roi_head.bbox_roi_extractor.out_channels = 32
    det.roi_head.bbox_head.update(in_channels=32, fc_out_channels=32, num_classes=3)
    toy_cfg.model.tasks.seg.decode_head = dict(
        type='SegformerHead',
        in_channels=[16, 16, 48, 160],
        in_index=[0, 1, 2, 3],
        channels=16,
        num_classes=7,
        align_corners=False,
        norm_cfg=dict(type='GN', num_groups=2),
        loss_decode=dict(type='CrossEntropyLoss'),
    )
    toy_cfg.model.tasks.cls.head = dict(
        type='StackedLinearClsHead', num_classes=8, in_channels=48, mid_channels=[16]
    )
    model = build_model(toy_cfg).eval()
    predictions = model.predict([torch.zeros(3, 64, 96, dtype=torch.uint8)])
    assert list(predictions) == list(TASKS)
    assert predictions['seg'][0].pred_sem_seg.shape == (64, 96)


def test_a_score_member_that_no_metric_gives_is_refused_at_start(toy_cfg):
    toy_cfg.val_cfg.score = {'det/bbox_mAP50': 100}
    with pytest.raises(ConfigError, match=r"val_cfg.score names 'det/bbox_mAP50'.*bbox_mAP_50"):
        RUNNERS.build(toy_cfg).train()


@pytest.mark.parametrize('tool', ['train', 'test', 'infer', 'submit', 'make_toy_data'])
def test_help_answers_at_once(tool):
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(ROOT / f'tools/{tool}.py'), '--help'],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and 'usage' in done.stdout
    assert time.perf_counter() - start < 2


def test_load_from_takes_weights_but_nothing_that_a_balancer_learned(trained, tmp_path):
    _, _, work_dir = trained
    saved = read_checkpoint(work_dir / 'iter_4.pth')
    saved['state_dict']['balancer.log_variance'] = torch.ones(3)
    torch.save(saved, tmp_path / 'saved.pth')
    cfg = tiny(tmp_path / 'work', load_from=str(tmp_path / 'saved.pth'))
    cfg.model.balancer = dict(type='Uncertainty')
    runner = RUNNERS.build(cfg)
    runner.load_or_resume()
    state = runner.model.state_dict()
    assert state['balancer.log_variance'].tolist() == [0, 0, 0]
    name = 'backbone.conv1.conv.weight'
    assert torch.equal(state[name], saved['state_dict'][name])
