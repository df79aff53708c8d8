"""Which model an inferencer is made of, and that the config in a checkpoint is data only."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from conftest import TOY_CONFIG

from allinone.checkpoint.loading import read_checkpoint
from allinone.config.loading import load_config
from allinone.errors import CheckpointError, ConfigError
from allinone.inference.model_source import check_types, find_model, literal_config


def test_a_config_text_as_mmengine_writes_it():
    text = """
max_iters = 1400
model = dict(
    backbone=dict(out_indices=(
        1,
        2,
    ), type='mmpretrain.MobileNetV2'),
    tasks=dict({'a-1': [1, -2.5, None, inf]}, b=True))
test_cfg = dict(score=dict({'cls/top1': 1}))
"""
    assert literal_config(text) == dict(
        max_iters=1400,
        model=dict(
            backbone=dict(out_indices=(1, 2), type='mmpretrain.MobileNetV2'),
            tasks={'a-1': [1, -2.5, None, float('inf')], 'b': True},
        ),
        test_cfg=dict(score={'cls/top1': 1}),
    )


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        'a = __import__("os").system("true")',
        'a = dict(**b)',
        'a = dict(b)',
        'a = dict({}, {})',
        'a = dict([(1, 2)])',
        'a = [x for x in (1,)]',
        'a = f"{1}"',
        'a.b = 1',
        'a = b',
        'a = (',
    ],
)
def test_a_config_text_that_is_more_than_literals(text):
    with pytest.raises((ValueError, SyntaxError)):
        literal_config(text)


@pytest.mark.parametrize(
    'part',
    [
        dict(type='os.system', command='true'),
        dict(type='RandomResize', scale=(1, 1), resize_type='os.system'),
        dict(type='mmengine.load', file='x.pkl'),
        dict(type='mmdet.models.GFL'),
        dict(type='subprocess'),
        dict(type='GFL', _scope_='os'),
        dict(test_cfg=dict(nms=dict(type='__import__("os").system("true")'))),
        dict(test_cfg=dict(nms=dict(type='load_ext'))),
    ],
)
def test_types_that_no_library_has_registered(part):
    with pytest.raises(CheckpointError, match='model.* which the libraries have not registered'):
        check_types(dict(model=dict(tasks=[part])), 'some.pth')


def test_a_prefix_of_a_library_also_names_what_it_has_of_mmengine():
    kinds = 'mmdet.LoadImageFromFile', 'mmseg.RepeatDataset', 'allinone.OptimWrapper', 'mmdet.BN'
    check_types(dict(model=[dict(type=kind) for kind in kinds]), 'some.pth')


def test_types_of_our_own_configs_are_registered(toy_root):
    for path in (TOY_CONFIG, TOY_CONFIG.parents[1] / 'traffic_mini/mobilenetv2_joint.py'):
        cfg = load_config(str(path))
        check_types(dict(model=cfg.model, test_dataloader=cfg.test_dataloader), str(path))


@pytest.fixture
def work_dir(trained, tmp_path):
    """A copy of a work dir: steps 2 and 4, no best."""
    for name in ('iter_2.pth', 'iter_4.pth'):
        shutil.copy(trained[2] / name, tmp_path)
    return tmp_path


def test_a_checkpoint_brings_its_config(trained):
    source = find_model(trained[2] / 'iter_4.pth', options=['inference.scale=(640,480)'])
    assert source.cfg.model.to_dict() == trained[1].model.to_dict()
    assert source.cfg.inference.scale == (640, 480)
    assert not source.trusted and 'default_hooks' not in source.cfg


def test_a_work_dir_is_its_best_else_its_newest_whole_checkpoint(work_dir):
    assert find_model(work_dir).path == str(work_dir / 'iter_4.pth')
    shutil.copy(work_dir / 'iter_2.pth', work_dir / 'best_score_iter_2.pth')
    assert find_model(work_dir).path == str(work_dir / 'best_score_iter_2.pth')
    data = (work_dir / 'iter_4.pth').read_bytes()
    for name in ('best_score_iter_2.pth', 'iter_4.pth'):
        (work_dir / name).write_bytes(data[: len(data) // 2])
    assert find_model(work_dir).path == str(work_dir / 'iter_2.pth')
    (work_dir / 'iter_2.pth').write_bytes(b'')
    with pytest.raises(
        CheckpointError, match='none that is whole: .*best.*iter_4.*iter_2.pth is an empty'
    ):
        find_model(work_dir)


def test_what_names_no_model(trained, tmp_path):
    with pytest.raises(
        CheckpointError, match='is a folder in which a checkpoint .* has none; name'
    ):
        find_model(tmp_path)
    with pytest.raises(ConfigError, match='mobilenetv2_toy.py is a config, which has no weights'):
        find_model(TOY_CONFIG)
    with pytest.raises(CheckpointError, match='gone.pth: no such checkpoint'):
        find_model(tmp_path / 'gone.pth')
    checkpoint = read_checkpoint(trained[2] / 'iter_4.pth')
    for meta, sentence in (
        ({}, 'has no config in it; give its config before it'),
        (
            dict(cfg='import os\n'),
            r'is no plain data \(line 1 is no assignment\); give its config file',
        ),
        (dict(cfg='model = 3\n'), 'model is 3; give dict'),
        (dict(cfg='a = 1\n'), 'model.tasks is None'),
    ):
        torch.save(dict(state_dict=checkpoint['state_dict'], meta=meta), tmp_path / 'some.pth')
        with pytest.raises((CheckpointError, ConfigError), match=sentence):
            find_model(tmp_path / 'some.pth')


def test_a_config_in_a_checkpoint_runs_nothing(trained, tmp_path):
    checkpoint = read_checkpoint(trained[2] / 'iter_4.pth')
    there = tmp_path / 'there'
    text = (
        checkpoint['meta']['cfg']
        + f'\nother = __import__("pathlib").Path({str(there)!r}).touch()\n'
    )
    checkpoint['meta']['cfg'] = text
    torch.save(checkpoint, tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match='evil.pth is no plain data'):
        find_model(tmp_path / 'evil.pth')
    assert not there.exists()
    assert os.listdir(tmp_path) == [Path('evil.pth').name]
