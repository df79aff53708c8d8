"""Names of release 0.1: each works, and is noted once; the table is walked."""

import argparse
import importlib
import json

import numpy as np
import pytest
import torch
from conftest import classification, tiny, write_config
from mmengine.config import Config

from allinone.analysis.scalars import read_scalars
from allinone.checkpoint.loading import read_checkpoint
from allinone.config.loading import load_config
from allinone.io import renames
from allinone.io.renames import (
    KEYS,
    LOG_KEYS,
    OPTIONS,
    TYPES,
    current_options,
    rename_keys,
    renamed_record,
)
from allinone.registry import (
    BALANCERS,
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    MODELS,
    RUNNERS,
    TASK_SCHEDULES,
)

REGISTRIES = (BALANCERS, DATA_SAMPLERS, DATASETS, HOOKS, MODELS, TASK_SCHEDULES)
NOT_REGISTERED = {'TrunkAdapter'}  # a base class
PACKAGES = {
    'allinone.balancers': ('Every', 'Smoothed'),
    'allinone.data': ('Branches', 'CocoFile', 'DrawSampler', 'PictureList'),
    'allinone.data.datasets': ('Branches', 'CocoFile', 'PictureList'),
    'allinone.datasets': ('Branches', 'CocoFile', 'PictureList'),
    'allinone.models': ('SharedTrunk',),
    'allinone.training': ('BadStepHook', 'DrawHook', 'EveryTask'),
    'allinone.training.schedules': ('Annealed', 'EveryTask', 'Temperature', 'Weighted'),
}


@pytest.fixture(autouse=True)
def notes(capsys, monkeypatch):
    """What was noted, a line a name; each test begins with nothing noted."""
    monkeypatch.setattr(renames, '_noted', set())
    return lambda: [
        line for line in capsys.readouterr().err.splitlines() if line.startswith('note: ')
    ]


@pytest.mark.parametrize('old', sorted(set(TYPES) - NOT_REGISTERED))
def test_a_class_is_found_by_its_old_name(old, notes):
    found = [registry.get(old) for registry in REGISTRIES for _ in range(2)]
    assert {cls.__name__ for cls in found if cls is not None} == {TYPES[old]}
    (note,) = notes()
    assert f'{old} is now {TYPES[old]}' in note and 'until release 0.3' in note
    assert [r.get(TYPES[old]) for r in REGISTRIES for _ in range(2)] == found


@pytest.mark.parametrize('package', PACKAGES)
def test_a_package_has_its_old_names(package, notes):
    module = importlib.import_module(package)
    for old in PACKAGES[package]:
        assert getattr(module, old).__name__ == TYPES[old]
        assert getattr(module, old) is getattr(module, TYPES[old])
    assert len(notes()) == len(PACKAGES[package])
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nothing'"):
        getattr(module, 'Nothing')  # noqa: B009


@pytest.mark.parametrize('pattern', KEYS)
def test_a_config_key_gets_its_current_name(pattern, notes):
    path = pattern.replace('**', 'det.dataset.dataset').replace('*_dataloader', 'val_dataloader')
    *place, old = path.replace('*', 'x').split('.')
    cfg = part = {}
    for name in place:
        part[name] = part = {}
    part.update({'before': 1, old: 7, 'after': 2})
    rename_keys(cfg)
    assert list(part.items()) == [('before', 1), (KEYS[pattern], 7), ('after', 2)]
    rename_keys(cfg)
    assert len(notes()) == 1


def test_a_key_deeper_inside_is_of_a_library():
    cfg = dict(model=dict(tasks=dict(x=dict(head=dict(features=3, type='mmdet.Every')))))
    rename_keys(cfg)
    assert cfg == dict(model=dict(tasks=dict(x=dict(head=dict(features=3, type='mmdet.Every')))))


def test_the_old_key_of_a_child_counts_above_the_new_one_of_its_base(toy_root, tmp_path):
    child = tmp_path / 'child.py'
    base = (tmp_path / 'base.py').as_posix()
    Config(tiny(tmp_path / 'w').to_dict()).dump(base)
    child.write_text(
        f"_base_ = '{base}'\n"
        'model = dict(conflict_interval=9, tasks=dict(cls=dict(features=(1,))))\n'
    )
    model = load_config(str(child), ['model.drop_bad=False']).model
    assert model.grad_similarity_interval == 9 and model.skip_non_finite is False
    assert model.tasks.cls.feature_indices == (1,)
    assert not {'conflict_interval', 'drop_bad'} & set(model)


@pytest.mark.parametrize('program', [program for program in OPTIONS if program != 'benchmark'])
def test_a_command_line_takes_its_old_options(program, notes):
    tool = importlib.import_module(f'allinone.cli.{program}')
    needed = dict(
        compose=['config', '--checkpoints', 'a=b', '--out', 'o'],
        infer=['model', 'input', '--out-dir', 'o'],
        make_toy_data=[],
    )[program]
    for old, new in OPTIONS[program].items():
        value = 'a=b' if old == '--from' else '3'
        found = vars(tool.parse_args([*needed, old, value]))
        assert found == vars(tool.parse_args([*needed, new, value]))
        assert found == vars(tool.parse_args([*needed, f'{old}={value}']))
    assert len(notes()) == len(OPTIONS[program])


def test_kinds_of_benchmarks_have_their_old_names():
    for old, new in OPTIONS['benchmark'].items():
        assert current_options('benchmark', [old, 'config', old]) == [new, 'config', old]


def test_arguments_in_python(toy_root, tmp_path):
    from allinone.data.datasets.coco_file import CocoFileDataset
    from allinone.training.hooks.non_finite import NonFiniteHook

    assert NonFiniteHook(max_bad_steps=3).max_consecutive == 3
    file = f'{toy_root}/toy/det/val.json'
    dataset = CocoFileDataset(
        classes_from=file, ann_file=file, data_prefix=dict(img=f'{toy_root}/toy/det/val')
    )
    assert len(dataset.metainfo['classes']) == 3
    cfg = tiny(tmp_path)
    cfg.model.conflict_interval, cfg.model.max_task_norm = 7, 0.5
    cfg.model.tasks.cls.features = cfg.model.tasks.cls.pop('feature_indices')
    model = MODELS.build(cfg.model)
    assert model._step_options['grad_similarity_interval'] == 7
    assert model._step_options['clip_grad_per_task'] == 0.5
    assert model.view('cls').feature_indices == (2,)


def old_config(cfg):
    """A config with the names of release 0.1."""
    old_types = {new: old for old, new in TYPES.items()}

    def visit(part, path=()):
        if isinstance(part, dict):
            found = {}
            for key, value in part.items():
                place = '.'.join((*path, key))
                old = [
                    p.rpartition('.')[2]
                    for p, new in KEYS.items()
                    if new == key and renames._matches((*path, p.rpartition('.')[2]), p.split('.'))
                ]
                del place
                found[old[0] if old else key] = visit(value, (*path, key))
            kind = found.get('type')
            if isinstance(kind, str):
                prefix, dot, short = kind.rpartition('.')
                if prefix in ('', 'allinone'):
                    found['type'] = prefix + dot + old_types.get(short, short)
            return found
        if isinstance(part, (list, tuple)):
            return type(part)(visit(value, (*path, str(i))) for i, value in enumerate(part))
        return part

    return Config(visit(cfg.to_dict()))


def test_a_run_of_old_names_is_resumed_as_the_same_run(toy_root, tmp_path, capsys):
    """Its config, the record in its checkpoint, and its log."""
    from allinone.cli import train

    cfg = classification(tmp_path / 'work', **{'train_cfg.max_iters': 4})
    cfg.train_cfg.micro_batches = dict(cls=2)
    old = old_config(cfg)
    assert old.model.tasks.cls.features == (2,) and old.train_cfg.accumulate == dict(cls=2)
    assert old.train_dataloader.cls.dataset.type == 'allinone.PictureList'
    assert old.train_cfg.schedule.type == 'EveryTask'
    assert old.default_hooks.bad_steps.type == 'BadStepHook'
    file = write_config(old, tmp_path / 'old.py')
    runner = RUNNERS.build(load_config(file, work_dir=str(tmp_path / 'work')))
    runner.train()
    whole = read_checkpoint(tmp_path / 'work/iter_4.pth')['state_dict']
    # As that release wrote it
    path = tmp_path / 'work/iter_3.pth'
    checkpoint = torch.load(path, weights_only=False)
    record = checkpoint['meta']['run']
    flat = renames_of_record(record['config'])
    assert flat != record['config'] and renamed_record(flat) == record['config']
    record['config'] = flat
    torch.save(checkpoint, path)
    args = dict(work_dir=str(tmp_path / 'again'), amp=False, seed=None, cfg_options=None)
    args = argparse.Namespace(config=file, launcher='none', resume=str(path), **args)
    assert train.main(args) == 0, capsys.readouterr().err
    again = read_checkpoint(tmp_path / 'again/iter_4.pth')['state_dict']
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def renames_of_record(flat):
    """A flat record with the names of release 0.1."""
    from allinone.training.run_manifest import flat_config

    values = {key: eval(value, dict(array=np.array)) for key, value in flat.items()}
    nested = {}
    for key, value in values.items():
        part = nested
        *place, last = key.split('.')
        for name in place:
            part = part.setdefault(name, {})
        part[last] = value
    return flat_config(old_config(Config(nested)))


def test_old_keys_of_a_log_are_read(tmp_path):
    file = tmp_path / 'run/vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    old, new = next(iter(LOG_KEYS.items()))
    file.write_text(json.dumps({f'{old}a-b': 1.0, 'iter': 3, 'step': 3}) + '\n')
    assert read_scalars(tmp_path)[0] == {3: {f'{new}a-b': 1.0, 'iter': 3, 'step': 3}}


def test_functions_of_images_have_their_old_names():
    from allinone.io import images
    from allinone.visualization import pictures

    assert pictures.read_picture is images.read_image
    assert pictures.write_picture is images.write_image
    assert pictures.find_pictures is images.find_images
