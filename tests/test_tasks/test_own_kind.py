"""A kind of task in a test file goes through the whole program; see :mod:`quality`."""

import copy
import json

import numpy as np
import pytest
import torch
from conftest import run_tool, tiny
from mmengine.config import Config
from quality import Quality, quality_config

from allinone.checkpoint.loading import read_checkpoint
from allinone.errors import ConfigError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.io.images import read_image
from allinone.registry import RUNNERS


def with_quality(root, work_dir, **options):
    """The toy config with the tasks cls, det and quality, made tiny."""
    cfg = tiny(work_dir, experiment_name=str(work_dir).replace('/', '_'))
    model, train, val, metric = quality_config(root / 'toy')
    for stage in ('train', 'val', 'test'):
        del cfg[f'{stage}_dataloader']['seg']
        cfg[f'{stage}_dataloader'].quality = train if stage == 'train' else val
        if stage != 'train':
            del cfg[f'{stage}_evaluator']['seg']
            cfg[f'{stage}_evaluator'].quality = metric
            cfg[f'{stage}_cfg'].score = {'cls/top1': 1, 'quality/mae': 100}
    del cfg.model.tasks['seg']
    cfg.model.tasks.quality = model
    cfg.custom_hooks = [
        dict(type='PredictionVisualizationHook', out_dir=str(work_dir / 'drawn'), during_val=True)
    ]
    cfg.merge_from_dict(options)
    return Config(cfg.to_dict())


def train(cfg):
    runner = RUNNERS.build(copy.deepcopy(cfg))
    runner.train()
    return runner


@pytest.fixture(scope='module')
def run(toy_root, tmp_path_factory):
    """A run of 4 steps: ``(config file, work dir, runner)``."""
    work_dir = tmp_path_factory.mktemp('quality')
    cfg = with_quality(toy_root, work_dir)
    file = work_dir / 'config.py'
    cfg.dump(str(file))
    return file, work_dir, train(cfg)


def test_it_trains_and_validates_beside_others(run):
    _, work_dir, runner = run
    metrics = runner.val_loop.run()
    assert 0 < metrics['quality/mae'] < 2
    expected = (metrics['cls/top1'] + 100 * metrics['quality/mae']) / 2
    assert metrics['score'] == pytest.approx(expected)
    count = len(runner.val_loop.dataloader.loaders['quality'].dataset)
    assert len(list((work_dir / 'drawn/quality').iterdir())) == count


def test_its_metrics_are_known_before_validation(toy_root, tmp_path):
    cfg = with_quality(toy_root, tmp_path, **{'val_cfg.score': {'quality/mse': 1}})
    with pytest.raises(ConfigError, match=r"'quality/mse', but val_evaluator.quality gives \['mae"):
        train(cfg)


def test_its_labels_are_part_of_what_a_run_is(run, toy_root, tmp_path):
    """Though no field that other kinds have holds them."""
    kind, changed = Quality(), Quality()
    dataset = run[2].train_dataloader.loaders['quality'].dataset.dataset
    changed.label_of = lambda info: (info['gt_quality'] / 2,)
    first, second = (dict(k.further_digests(dataset, False)) for k in (kind, changed))
    assert first.keys() == second.keys() and first != second


def test_a_resumed_run_is_the_same(run, toy_root, tmp_path):
    train(with_quality(toy_root, tmp_path, resume=str(run[1] / 'iter_2.pth')))
    whole, resumed = (
        read_checkpoint(folder / 'iter_4.pth')['state_dict'] for folder in (run[1], tmp_path)
    )
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_it_is_recorded_and_drawn(run, toy_root, tmp_path):
    file, work_dir, _ = run
    image = next((toy_root / 'toy/cls/val').iterdir())
    checkpoint = work_dir / 'iter_4.pth'
    options = ('--out-dir', tmp_path / 'out', '--scale', 'none')
    assert run_tool('infer', file, checkpoint, image, *options) == 0
    (path,) = (tmp_path / 'out/predictions').iterdir()
    record = json.loads(path.read_text())
    assert Quality().misfit(record['quality']) is None
    inferencer = AllInOneInferencer(str(file), str(checkpoint), tasks=['quality'], scale=None)
    (found,) = inferencer(str(image))
    assert record['quality'] == found['quality']
    (drawing,) = (tmp_path / 'out/vis').iterdir()
    height = read_image(str(image)).shape[0]
    assert read_image(str(drawing)).shape[0] > max(480, height), 'a line below the image'


def test_its_training_images_are_browsed(run, tmp_path):
    options = ('--tasks', 'quality', '--count', 4)
    assert run_tool('browse_dataset', run[0], '--out-dir', tmp_path, *options) == 0
    drawings = [read_image(str(path)) for path in sorted((tmp_path / 'quality').iterdir())]
    assert len(drawings) == 4 and not np.array_equal(drawings[0], drawings[1])


def test_it_is_extracted(run, tmp_path, toy_root):
    file, work_dir, _ = run
    checkpoint = work_dir / 'iter_4.pth'
    options = ('--tasks', 'quality', '--out', tmp_path / 'part')
    assert run_tool('extract', file, checkpoint, *options) == 0
    # There is no form for another library.
    assert sorted(p.name for p in (tmp_path / 'part').iterdir()) == ['config.py', 'model.pth']
    image = str(next((toy_root / 'toy/cls/val').iterdir()))
    (whole,) = AllInOneInferencer(str(file), str(checkpoint), tasks=['quality'], scale=None)(image)
    (part,) = AllInOneInferencer(str(tmp_path / 'part/model.pth'), scale=None)(image)
    assert part == whole


def test_it_learns_from_a_teacher(run, toy_root, tmp_path):
    file, work_dir, _ = run
    cfg = with_quality(toy_root, tmp_path, **{'train_cfg.max_iters': 1})
    cfg.model.distill = dict(
        teacher=dict(config=str(file), checkpoint=str(work_dir / 'iter_4.pth')),
        losses=dict(quality=dict(maps=dict(type='FeatureImitation'))),
    )
    scalars = train(cfg).message_hub.log_scalars
    assert scalars['train/quality/distill_loss_maps'].current() > 0


def test_a_default_module_that_the_kind_has_not_is_named(run, toy_root, tmp_path):
    file, work_dir, _ = run
    cfg = with_quality(toy_root, tmp_path)
    cfg.model.distill = dict(
        teacher=dict(config=str(file), checkpoint=str(work_dir / 'iter_4.pth')),
        losses=dict(quality=dict(logits=dict(type='LogitDistillation'))),
    )
    with pytest.raises(ConfigError, match="the kind 'quality' have no usual one for logits"):
        train(cfg)
