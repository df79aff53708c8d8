"""The package from a wheel, without the checkout: the command, its configs, the demo."""

import json
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

QUICK = (
    *('train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_cfg.warmup=None'),
    *('default_hooks.logger.interval=1', 'train_cfg.dry_run=False'),
    *(f'train_dataloader.{task}.batch_size=2' for task in ('cls', 'det', 'seg')),
)


@pytest.fixture
def allinone(installed):
    """Runs the installed command in an empty folder."""
    return installed


def test_the_wheel_has_all_configs_and_the_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    found = {name for name in names if name.startswith('allinone/_configs/')}
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('*.py')}
    assert found == {f'allinone/_{name}' for name in expected}
    assert any(name.endswith('.dist-info/licenses/LICENSE') for name in names)
    assert 'allinone/py.typed' in names
    assert not [name for name in names if name.split('/')[0] in ('tests', 'tools', 'benchmarks')]


def test_the_command_and_the_module_are_one(allinone):
    place = allinone('-c', 'import allinone; print(allinone.__file__)', program='python').stdout
    assert Path(place).is_relative_to(allinone.python.parents[1])
    text = allinone('--help').stdout
    assert text == allinone('-m', 'allinone', '--help', program='python').stdout
    assert 'print-config' in text
    assert 'toy/mobilenetv2_toy' in allinone('configs', '--names').stdout.split()
    assert 'do you mean train?' in allinone('trian', status=2).stderr


def test_the_demo_works_in_an_empty_folder_and_train_after_it(allinone):
    allinone('demo', '--images', '8', '--cfg-options', *QUICK)
    folder = allinone.folder / 'work_dirs/demo'
    metrics = json.loads((folder / 'metrics.json').read_text())
    assert {'cls/top1', 'det/bbox_mAP_50', 'seg/mIoU', 'score'} <= set(metrics)
    for name in ('all_tasks.png', 'curves.png', 'report.html'):
        assert (folder / name).stat().st_size > 1000
    quick = [*QUICK, 'val_cfg=None', 'val_dataloader=None', 'val_evaluator=None']
    quick += ['default_hooks.checkpoint.save_best=None', 'default_hooks.checkpoint.interval=2']
    allinone('train', 'toy/mobilenetv2_toy', '--work-dir', 'out', '--cfg-options', *quick)
    assert (allinone.folder / 'out/iter_2.pth').exists()
    (allinone.folder / 'child.py').write_text("_base_ = 'allinone::toy/mobilenetv2_toy.py'\n")
    assert 'LinearClsHead' in allinone('print-config', 'child.py', '--task', 'cls').stdout
