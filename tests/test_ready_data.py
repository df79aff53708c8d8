"""Ready configs of public data sets: joint steps and a validation on tiny data in their layouts."""

import json
import sys

import cv2
import numpy as np
import pytest
import zoo_configs
from conftest import ROOT, run_tool
from small_images import shrink
from street_data import TRAINED, make_cityscapes

from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.config.sources import sources_of, tasks_served
from allinone.registry import RUNNERS

sys.path.append(str(ROOT / 'tests/test_conversion'))
from trees import CASES

CONFIGS = sorted(
    f'{folder}/{path.stem}'
    for folder in ('coco_ade20k', 'cityscapes_gtsrb')
    for path in (ROOT / 'configs' / folder).glob('*.py')
)
CLASSES = {'n00000007': 1, 'n00000900': 2}  # Images of folders of ImageNet; the others are empty.


@pytest.fixture(scope='module', autouse=True)
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ALLINONE_DATA', str(root))
        for name in ('coco', 'ade20k', 'gtsrb'):
            CASES[name].make(root / f'download/{name}')
            options = ('--partial', '--quiet')
            assert run_tool('convert', name, root / f'download/{name}', root / name, *options) == 0
        make_cityscapes(root / 'cityscapes')
        make_imagenet(root / 'imagenet')
        yield root


def make_imagenet(root) -> None:
    """Training images in a folder a class, validation images in one folder with a list."""
    random = np.random.default_rng(0)
    for number in range(1000):
        (root / f'train/n{number:08}').mkdir(parents=True)
    (root / 'val').mkdir()
    (root / 'meta').mkdir()
    names = [f'train/{name}/{i}.JPEG' for name, count in CLASSES.items() for i in range(count)]
    for name in (*names, 'val/0.JPEG', 'val/1.JPEG'):
        pixels = random.integers(0, 256, (60, 80, 3), np.uint8)
        (root / name).write_bytes(cv2.imencode('.jpg', pixels)[1].tobytes())
    (root / 'meta/val.txt').write_text('0.JPEG 7\n1.JPEG 900\n')


def ready(name, work_dir):
    """A config with few layers and images a sixteenth as large, for a few steps."""
    cfg = load_config(str(ROOT / f'configs/{name}.py'), work_dir=str(work_dir))
    check_config(cfg)
    zoo_configs.shallow(cfg, 64)
    if 'epochs' in cfg.train_cfg:
        steps = TRAINED // 2
        cfg.train_cfg.epochs.n = 1
    else:
        steps = cfg.train_cfg.max_iters = 1
    cfg.merge_from_dict(
        {
            'train_cfg.warmup': None,
            'train_cfg.val_interval': steps,
            'train_cfg.dry_run': False,
            'default_hooks.logger.interval': 1,
            'default_hooks.checkpoint': dict(  # Of hundreds of megabytes
                _delete_=True, type='CheckpointHook', by_epoch=False, interval=9, save_last=False
            ),
            'experiment_name': str(work_dir).replace('/', '_'),
        }
    )
    for stage in ('train', 'val', 'test'):
        for source, loader in cfg[f'{stage}_dataloader'].items():
            loader.update(batch_size=2 if stage == 'train' else 1, num_workers=0)
            if source != 'signs':  # Of 96 pixels
                shrink(loader)
    return cfg, steps


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_trains_and_validates_on_the_layouts_of_its_data(name, tmp_path):
    cfg, steps = ready(name, tmp_path)
    runner = RUNNERS.build(cfg)
    runner.train()
    assert runner.iter == steps
    assert runner.train_dataloader.batches == dict.fromkeys(sources_of(cfg.train_dataloader), steps)
    lines = [
        json.loads(line)
        for file in tmp_path.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    losses = [line for line in lines if 'loss' in line]
    assert len(losses) == steps
    for task in tasks_served(cfg.train_dataloader):
        assert all(0 < line[f'{task}/loss'] < 1e4 for line in losses)
    assert lines[-1].keys() >= {'score', *cfg.val_cfg.score}
