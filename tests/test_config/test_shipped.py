"""Configs that come with the package: found by name, inherited from anywhere."""

import os
from pathlib import Path

import pytest
from conftest import ROOT, TOY_CONFIG, tiny, write_config
from mmengine.config import Config

from allinone.config import shipped
from allinone.config.loading import load_config
from allinone.errors import ConfigError

NAME = 'toy/mobilenetv2_toy'


@pytest.mark.parametrize(
    'name',
    [
        *(NAME, f'{NAME}.py', f'configs/{NAME}.py', f'./configs/{NAME}', Path(NAME)),
        *(f'allinone::{NAME}', f'allinone::{NAME}.py'),
    ],
)
def test_a_name_in_any_spelling_is_the_file_of_the_checkout(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert os.path.samefile(shipped.find_config(name), TOY_CONFIG)
    assert load_config(name).work_dir == 'work_dirs/mobilenetv2_toy'


def test_a_file_that_exists_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'toy').mkdir()
    (tmp_path / f'{NAME}.py').write_text("work_dir = 'mine'\n")
    assert load_config(f'{NAME}.py').work_dir == 'mine'
    assert load_config(NAME).work_dir != 'mine'  # Without the ending there is no such file.


def test_a_wheel_has_them_in_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, 'PACKAGE', tmp_path / 'allinone')
    (tmp_path / 'configs').mkdir()
    assert shipped.shipped_folder() == tmp_path / 'configs'
    packed = tmp_path / 'allinone/_configs/one'
    packed.mkdir(parents=True)
    (packed / 'two.py').write_text('# A small one. It has no more.\nmodel = dict()\n')
    assert shipped.ready_configs() == ['one/two'] and shipped.base_configs() == []
    assert shipped.find_config('one/two') == str(packed / 'two.py')
    assert shipped.comment_of('one/two') == 'A small one'


@pytest.mark.parametrize(
    'name, near',
    [
        ('toy/mobilenetv2_toi', 'do you mean toy/mobilenetv2_toy'),
        ('mobilenetv2_toy', 'do you mean toy/mobilenetv2_toy'),
        ('none.py', '"allinone configs" lists them'),
        ('../configs/toy/mobilenetv2_toy', 'do you mean toy/mobilenetv2_toy'),
        (Path('toy/mobilenetv2_toi'), 'do you mean toy/mobilenetv2_toy'),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(tmp_path, monkeypatch, name, near):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refusal:
        load_config(name)
    assert f'{name}: no such config file, and no ready config is called so; {near}' in str(
        refusal.value
    )


def test_every_ready_config_is_listed():
    files = {
        path.relative_to(ROOT / 'configs').with_suffix('').as_posix()
        for path in (ROOT / 'configs').rglob('*.py')
    }
    assert files == {*shipped.ready_configs(), *shipped.base_configs()}
    assert all(shipped.comment_of(name) for name in shipped.ready_configs())


def test_a_config_elsewhere_inherits_by_name(tmp_path):
    change = 'train_cfg = dict(max_iters=7)\n'
    (tmp_path / 'child.py').write_text(f"_base_ = ['allinone::{NAME}.py']\n{change}")
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/child.py').write_text(f"_base_ = ['{TOY_CONFIG}']\n{change}")
    found, expected = (
        load_config(str(tmp_path / name)).to_dict() for name in ('child.py', 'other/child.py')
    )
    assert found == expected and found['train_cfg']['max_iters'] == 7
    # As MMEngine itself reads it, with variables of the base
    (tmp_path / 'parts.py').write_text(
        "_base_ = 'allinone::_base_/tasks/linear_cls.py'\n"
        'model = dict(tasks=dict(a={{_base_.linear_cls}}))\n'
    )
    task = Config.fromfile(str(tmp_path / 'parts.py')).model.tasks.a
    assert task.type == 'mmpretrain.ImageClassifier' and '_scope_' not in task


def test_a_base_that_is_unknown_is_named_with_the_nearest(tmp_path):
    path = tmp_path / 'child.py'
    path.write_text("_base_ = 'allinone::toy/mobilenet_toy.py'\n")
    with pytest.raises(
        ConfigError, match=r'allinone::toy/mobilenet_toy.py: no such .* do you mean'
    ):
        load_config(str(path))


def test_configs_of_the_libraries_are_found_as_before(tmp_path):
    path = tmp_path / 'child.py'
    path.write_text("_base_ = 'mmdet::_base_/schedules/schedule_1x.py'\n")
    assert Config.fromfile(str(path)).train_cfg.max_epochs == 12


def test_a_checkpoint_of_such_a_child_needs_no_base(toy_root, tmp_path, monkeypatch):
    """The config in a checkpoint is written out, so the model loads where there are no configs."""
    from allinone.inference.model_source import find_model
    from allinone.registry import RUNNERS

    base = write_config(tiny(tmp_path / 'w', experiment_name='shipped'), tmp_path / 'base.py')
    monkeypatch.setattr(shipped, 'PACKAGE', tmp_path / 'allinone')
    (tmp_path / 'configs').mkdir()
    os.rename(base, tmp_path / 'configs/base.py')
    (tmp_path / 'child.py').write_text(
        "_base_ = 'allinone::base.py'\n"
        'model = dict(tasks=dict(cls=dict(head=dict(topk=(1, 3)))))\n'
        'train_cfg = dict(max_iters=1, val_interval=2)\n'
        f"work_dir = '{tmp_path}/w'\n"
    )
    RUNNERS.build(load_config(str(tmp_path / 'child.py'))).train()
    (tmp_path / 'configs/base.py').unlink()
    source = find_model(str(tmp_path / 'w/iter_1.pth'))
    assert list(source.cfg.model.tasks.cls.head.topk) == [1, 3]
