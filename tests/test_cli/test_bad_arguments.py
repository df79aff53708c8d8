"""Command lines that a program refuses before it does anything."""

import argparse

import numpy as np
import pytest
from conftest import TOY_CONFIG
from PIL import Image

from allinone.cli import test as test_program
from allinone.cli.programs import demo
from allinone.cli.programs.class_weights import print_class_weights
from allinone.cli.programs.demo import run_demo
from allinone.io.outputs import require_writable
from allinone.training.signals import Stopped


@pytest.mark.parametrize(
    'option, place, says',
    [
        ('out', 'file/metrics.json', 'but nothing can be written in {root}/file: Not a directory'),
        ('out', '.', 'which is a folder; give the name of a file'),
        ('show_dir', 'file', 'but nothing can be written in {root}/file: Not a directory; give an'),
    ],
)
def test_a_place_where_nothing_can_be_written(tmp_path, capsys, option, place, says):
    (tmp_path / 'file').write_text('')
    args = dict(out=None, show_dir=None, checkpoint='none.pth', tasks=None, cfg_options=None)
    args |= dict(config=str(TOY_CONFIG), work_dir=str(tmp_path / 'work'), launcher='none')
    assert test_program.main(argparse.Namespace(**args | {option: str(tmp_path / place)})) == 2
    flag = option.replace('_', '-')
    error = capsys.readouterr().err
    assert f"error: --{flag} is '{tmp_path / place}', {says.format(root=tmp_path)}" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file']


def test_a_place_yet_to_be_made_is_left_unmade(tmp_path):
    require_writable('--out', str(tmp_path / 'new/deep/metrics.json'))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'change, says',
    [
        (dict(config='none.py'), 'none.py: no such config file'),
        (dict(data='{root}/file'), "--data is '{root}/file': {root}/file already exists and holds"),
        (dict(work_dir='{root}/file'), "--work-dir is '{root}/file', but nothing can be written"),
    ],
)
def test_the_demo_refuses_before_it_paints(tmp_path, monkeypatch, capsys, change, says):
    monkeypatch.setenv('ALLINONE_DATA', '')
    (tmp_path / 'file').write_text('')
    args = dict(config=str(TOY_CONFIG), data=f'{tmp_path}/toy', work_dir=f'{tmp_path}/work')
    args |= {key: value.format(root=tmp_path) for key, value in change.items()}
    assert run_demo(argparse.Namespace(**args)) == 2
    assert f'error: {says.format(root=tmp_path)}' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file']


def test_a_demo_that_is_stopped(toy, tmp_path, monkeypatch, capsys):
    """``tools/demo.py`` has no ``--resume``, which the training would name."""

    def train(cfg):
        raise Stopped(15, 'SIGTERM: stopped after step 3. Go on with: demo.py --resume')

    monkeypatch.setattr(demo, 'train', train)
    monkeypatch.setattr(demo, 'make_toy_data', lambda *args, **kwargs: None)
    args = dict(config=str(TOY_CONFIG), data=str(toy), work_dir=f'{tmp_path}/work')
    assert run_demo(argparse.Namespace(**args)) == 128 + 15
    assert capsys.readouterr().err.endswith('stopped; the same command begins the demo anew\n')


def test_class_weights_of_labels_outside_the_classes(toy, capsys):
    assert print_class_weights(str(TOY_CONFIG), 'seg') == 0
    for path in (toy / 'seg/label/train').iterdir():
        Image.fromarray(np.full((192, 256), 255, np.uint8)).save(path)
    assert print_class_weights(str(TOY_CONFIG), 'seg') == 2
    assert 'seg.dataset: its label maps have no pixel of any class' in capsys.readouterr().err
    Image.fromarray(np.full((192, 256), 9, np.uint8)).save(path)
    assert print_class_weights(str(TOY_CONFIG), 'seg') == 2
    assert f'{path} has label 9' in capsys.readouterr().err
