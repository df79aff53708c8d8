"""Image files that cannot be decoded: named, or skipped up to a limit."""

import os
import subprocess
import sys

import pytest
from bad_input import cut, data_error, load, no_image, only
from conftest import ROOT, write_config
from mmengine.logging import MMLogger

from allinone.data.task_loaders import TaskLoaders
from allinone.errors import ConfigError, DataError


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize(
    'task, name, spoil, says',
    [
        ('det', 'det/train/00005.jpg', cut, 'is truncated'),
        ('seg', 'seg/images/train/00005.jpg', no_image, 'is not a readable image'),
        ('cls', 'cls/train/00005.png', cut, 'is truncated'),
    ],
)
def test_a_broken_image_met_in_training_is_named(cfg, toy, workers, task, name, spoil, says):
    spoil(toy / name)
    cfg.train_dataloader[task].update(num_workers=workers, batch_size=16)
    with pytest.raises(DataError) as error:
        TaskLoaders({task: load(cfg, task)}).next(task)
    assert str(error.value).startswith(f'task {task}: {toy / name} {says}')
    assert str(error.value).endswith(f'train_dataloader.{task}.skip_corrupt=True')
    assert '\n' not in str(error.value)


def test_a_broken_image_met_in_validation_by_a_worker_is_named(cfg, toy):
    cut(toy / 'det/val/00005.jpg')
    cfg.val_dataloader.det.num_workers = 1
    says = rf'^task det: {toy}/det/val/00005.jpg is truncated \(\d+ bytes\); repair or remove the file$'
    with pytest.raises(DataError, match=says):
        list(TaskLoaders({'det': load(cfg, 'det', 'val')}))


def test_a_broken_label_map_is_found_at_the_start(cfg, toy):
    cut(toy / 'seg/label/train/00005.png')
    assert f'{toy}/seg/label/train/00005.png is not a readable label map' in data_error(cfg, 'seg')


def test_the_tool_stops_with_one_sentence_for_a_workers_broken_image(cfg, toy, tmp_path):
    only(cfg, 'det')
    cut(toy / 'det/train/00005.jpg')
    cfg.train_dataloader.det.update(num_workers=1, batch_size=8)
    done = subprocess.run(
        [sys.executable, 'tools/train.py', write_config(cfg, tmp_path / 'config.py')],
        cwd=ROOT,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert 'Traceback' not in done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert errors == done.stderr.splitlines()[-1:]
    assert errors[0].startswith(f'error: task det: {toy}/det/train/00005.jpg is truncated')
    assert not list(tmp_path.rglob('*.pth'))


@pytest.mark.parametrize('broken', [1, 2])
def test_skip_corrupt_trains_on_up_to_one_percent(cfg, toy, launch, tmp_path, broken):
    only(cfg, 'cls')
    for number in range(1, broken + 1):
        no_image(toy / f'cls/train/{number:05}.png')
    cfg.train_dataloader.cls.update(skip_corrupt=True, num_workers=broken - 1)
    cfg.default_hooks.checkpoint.interval = 4
    status, out, error = launch()
    first = f'task cls: skipped (1 so far): {toy}/cls/train/0000'
    if broken == 1:  # of 16: one is allowed however small the set
        assert status == 0 and out.count(first) == 1 and 'skipped (2' not in out
        assert (tmp_path / 'work/iter_4.pth').is_file()
    else:
        assert status == 2 and not list(tmp_path.rglob('*.pth'))
        assert 'task cls: 2 of 16 images cannot be read, more than the 1 %' in error
        assert error.count('\n') == 1


def test_workers_count_skipped_images_together(cfg, toy, capfd):
    MMLogger.get_instance(toy.parents[1].name, log_level='INFO')  # As a run has one
    cut(toy / 'cls/train/00001.png')
    cfg.train_dataloader.cls.update(skip_corrupt=True, num_workers=2, batch_size=1)
    loaders = TaskLoaders({'cls': load(cfg, 'cls')})
    for _ in range(3 * 16):  # Each worker draws the broken one.
        loaders.next('cls')
    loaders.close()
    assert ''.join(capfd.readouterr()).count('task cls: skipped') == 1
    assert int(loaders.loaders['cls'].dataset.corrupt.sum()) == 1


def test_skip_corrupt_is_for_training(cfg):
    cfg.val_dataloader.cls.skip_corrupt = True
    assert 'val_dataloader.cls.skip_corrupt=True' in data_error(cfg, 'cls', 'val', ConfigError)
