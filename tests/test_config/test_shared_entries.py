"""``data = dict(SOURCE=ENTRY)`` of a source that serves several tasks."""

import copy

import pytest
from conftest import ROOT
from mmengine.config import Config

from allinone.config.data_entries import expand_data
from allinone.config.loading import load_config
from allinone.errors import ConfigError
from allinone.training.run_manifest import flat_config

SHARED_TOY = ROOT / 'configs/toy/mobilenetv2_toy_shared.py'
NOTHING = ''.join(
    f'{stage}_{part} = dict(_delete_=True)\n'
    for stage, part in [('train', 'dataloader')]
    + [(stage, part) for stage in ('val', 'test') for part in ('dataloader', 'evaluator')]
)


def test_an_entry_is_what_its_long_form_is(tmp_path):
    bases = ['configs/toy/mobilenetv2_toy.py', 'configs/_base_/datasets/toy_street.py']
    text = f'_base_ = {[str(ROOT / base) for base in bases]}\n{NOTHING}'
    text += "model = dict(tasks=dict(drivable=dict(copy_of='seg')))\n"
    text += 'data = dict(street={{_base_.toy_street}})\n'
    (tmp_path / 'short.py').write_text(text)
    short = load_config(str(tmp_path / 'short.py'), work_dir='work')
    assert short.model.tasks.drivable.decode_head.num_classes == 2
    assert flat_config(short) == flat_config(load_config(str(SHARED_TOY), work_dir='work'))


def entry(**options):
    """A source ``s`` of the tasks ``a`` and ``b`` in a small config, and stages to run."""
    labels = dict(
        a=dict(type='X', metainfo=dict(classes=('p', 'q'))),
        b=dict(type='X', metainfo=dict(classes=('r', 's', 't'))),
    )
    loader = dict(tasks=('a', 'b'), dataset=dict(type='SharedDataset', labels=labels))
    own = dict(
        train_dataloader=copy.deepcopy(loader),
        val_dataloader=loader,
        val_evaluator=dict(a=dict(type='M'), b=dict(type='M')),
    )
    return Config(
        dict(
            model=dict(tasks=dict(a=dict(type='mmdet.FCOS'), b=dict(type='mmdet.FCOS'))),
            data=dict(s=own | options),
            train_cfg=dict(type='T'),
            val_cfg=dict(type='V'),
        )
    )


def test_loaders_are_by_source_and_evaluators_by_task():
    cfg = entry(score={'a/mAP': 100, 'b/mIoU': 1})
    assert expand_data(cfg) == dict(a=2, b=3)
    assert list(cfg.train_dataloader) == list(cfg.val_dataloader) == ['s']
    assert list(cfg.val_evaluator) == ['a', 'b']
    assert cfg.val_cfg.score == {'a/mAP': 100, 'b/mIoU': 1} and 'data' not in cfg


def test_a_frozen_source_beside_a_frozen_backbone_is_not_trained():
    cfg = entry()
    cfg.model.frozen = ('backbone', 'a')
    expand_data(cfg)
    assert list(cfg.train_dataloader) == ['s']
    cfg = entry()
    cfg.model.frozen = ('backbone', 'a', 'b')
    expand_data(cfg)
    assert 'train_dataloader' not in cfg


def test_classes_of_a_task_are_those_of_its_labels():
    cfg = entry(classes=dict(b=['x', 'y']))
    for part in (cfg.data.s.train_dataloader, cfg.data.s.val_dataloader):
        part.dataset.labels.b.pop('metainfo')
    assert expand_data(cfg) == dict(a=2, b=2)
    for part in (cfg.train_dataloader, cfg.val_dataloader):
        labels = part.s.dataset.labels
        assert labels.b.metainfo.classes == ('x', 'y') and labels.a.metainfo.classes == ('p', 'q')


@pytest.mark.parametrize(
    'options, says',
    [
        (
            dict(score={'mAP': 100}),
            "data.s.score has 'mAP', but the source serves ['a', 'b']; write 'TASK/metric' with "
            'one of them',
        ),
        (
            dict(score=3),
            "data.s.score is 3; give {'TASK/metric': factor}, as in {'a/METRIC': 100}",
        ),
        (
            dict(num_classes=3),
            "data.s.num_classes is 3, but the source serves ['a', 'b']; key it by task, as in "
            'dict(a=...)',
        ),
        (
            dict(val_evaluator=dict(type='M')),
            "data.s.val_evaluator is ['type'], but the source serves ['a', 'b']; key it by task, "
            'as in dict(a=...)',
        ),
        (
            dict(num_classes=dict(b=2)),
            'data.s.num_classes.b is 2, but train_dataloader.dataset.labels.b.metainfo.classes has '
            '3 names; leave num_classes.b out',
        ),
        (
            dict(classes=dict(b=['x', 'x'])),
            "data.s.classes.b has 'x' twice; give each class a name of its own",
        ),
    ],
)
def test_entries_that_cannot_be_used_are_refused(options, says):
    with pytest.raises(ConfigError) as error:
        expand_data(entry(**options))
    assert str(error.value) == says
