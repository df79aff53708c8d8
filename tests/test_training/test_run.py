"""Training, testing and loading from Python, and the device of a program."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, run_tool, single, write_config
from mmengine.config import Config

import allinone
from allinone.distributed.device import use_device
from allinone.errors import ConfigError
from allinone.training.console import compact


@pytest.fixture
def path(toy_root, tmp_path):
    cfg = single('cls', 'top1', tmp_path / 'work')
    return write_config(cfg, tmp_path / 'config.py')


def test_a_path_and_overrides(path, tmp_path):
    work_dir = str(tmp_path / 'other')
    trained = allinone.train(
        path,
        seed=5,
        work_dir=work_dir,
        train_cfg=dict(max_iters=2, val_interval=2),
        **{'default_hooks.checkpoint.save_best': None},
    )
    assert sorted(p.name for p in (tmp_path / 'other').glob('*.pth')) == [
        'iter_1.pth',
        'iter_2.pth',
    ]
    checkpoint = f'{work_dir}/iter_2.pth'
    loaded = allinone.load(work_dir, device='cpu')
    assert not loaded.training and type(loaded).__name__ == 'AllInOne'
    for name, value in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    metrics = allinone.test(path, checkpoint, device='cpu', work_dir=work_dir)
    again = allinone.test(allinone.load_config(path), checkpoint, ['cls'], work_dir=work_dir)
    assert metrics == again and 'cls/top1' in metrics
    (sample,) = loaded.predict(torch.zeros(1, 3, 64, 64))['cls']
    assert sample.pred_score.shape == (8,)


def test_a_config_stays_as_it_is(path, tmp_path):
    cfg = allinone.load_config(path, work_dir=str(tmp_path / 'w'))
    before = cfg.to_dict()
    options = dict(train_cfg=dict(max_iters=2, val_interval=2))
    allinone.train(cfg, **options)
    allinone.test(cfg, str(tmp_path / 'w/iter_2.pth'), show_dir=str(tmp_path / 'drawn'))
    allinone.train(cfg, resume=tmp_path / 'w/iter_1.pth', **options)
    assert cfg.to_dict() == before
    plain = Config.fromfile(path)  # As mmengine reads it
    plain.pop('launcher', None)
    assert allinone.test(plain, str(tmp_path / 'w/iter_2.pth'), work_dir=str(tmp_path / 'w'))


def test_paths_may_be_paths_also_in_the_short_console(path, tmp_path, capsys):
    options = dict(train_cfg=dict(max_iters=1, val_interval=1))
    allinone.train(path, work_dir=str(tmp_path / 'a'), **options)
    saved = tmp_path / 'a/iter_1.pth'
    for sources in (saved, dict(cls=saved)):
        with compact():
            allinone.train(path, work_dir=str(tmp_path / 'b'), load_from=sources, **options)
        assert 'a/iter_1.pth' in capsys.readouterr().out


def test_an_override_without_effect_is_refused(path):
    with pytest.raises(ConfigError, match="'train_confg', which nothing reads; do you mean"):
        allinone.train(path, train_confg=dict(max_iters=2))
    with pytest.raises(ConfigError, match="'max_iter', which nothing reads"):
        allinone.test(allinone.load_config(path), 'x.pth', max_iter=2)


@pytest.mark.parametrize(
    'device, says',
    [
        ('gpu', "device is 'gpu'; give 'cpu', 'cuda' or 'cuda:N'"),
        ('cpu:0', "device is 'cpu:0'; give"),
        ('cuda:x', "device is 'cuda:x'; give"),
        ('cuda:99', "device is 'cuda:99', but PyTorch sees"),
    ],
)
def test_a_device_that_is_none(device, says, path, capsys):
    with pytest.raises(ConfigError) as error:
        use_device(device)
    assert str(error.value).startswith(says)
    assert run_tool('train', path, '--device', device) == 2
    assert f'error: {says}' in capsys.readouterr().err


def test_a_number_beside_a_launcher_is_refused(monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '0')
    with pytest.raises(ConfigError, match='each process of a launcher has a device of its own'):
        use_device('cuda:0')


@pytest.mark.parametrize(
    'device, visible, seen', [('cpu', '0,1', ''), ('cuda:1', '4,6', '6'), ('cuda:2', None, '2')]
)
def test_others_are_hidden_before_pytorch_is_imported(device, visible, seen):
    code = (
        'import os, sys\n'
        'from allinone.distributed.device import use_device\n'
        "assert 'torch' not in sys.modules\n"
        f'try: use_device({device!r})\n'
        'except ValueError: pass\n'  # There may be no CUDA device here.
        "print(os.environ['CUDA_VISIBLE_DEVICES'])\n"
    )
    env = {key: value for key, value in os.environ.items() if key != 'CUDA_VISIBLE_DEVICES'}
    if visible is not None:
        env['CUDA_VISIBLE_DEVICES'] = visible
    done = subprocess.run(
        [sys.executable, '-c', code], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1:] == ([seen] if seen else [''])
