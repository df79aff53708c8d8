"""``data = dict(TASK=ENTRY)`` and ``copy_of`` are written out into the long form."""

import pytest
from conftest import ROOT
from mmengine.config import Config

from allinone.config.data_entries import expand_data
from allinone.config.expansion import expand_config
from allinone.config.loading import load_config
from allinone.errors import ConfigError
from allinone.training.run_manifest import flat_config

SETS = ROOT / 'configs/_base_/datasets'
SHORT = """
model = dict(tasks=dict(signs=dict(copy_of='det')))
data = dict(signs={{_base_.toy_signs}})
"""
LONG = """
model = dict(tasks=dict(signs={{_base_.model.tasks.det}}))
train_dataloader = dict(signs={{_base_.toy_signs.train_dataloader}})
val_dataloader = dict(signs={{_base_.toy_signs.val_dataloader}})
val_evaluator = dict(signs={{_base_.toy_signs.val_evaluator}})
test_dataloader = dict(signs={{_base_.toy_signs.val_dataloader}})
test_evaluator = dict(signs={{_base_.toy_signs.val_evaluator}})
val_cfg = dict(score={'signs/bbox_mAP_50': 100})
test_cfg = dict(score={'signs/bbox_mAP_50': 100})
"""


@pytest.fixture
def child(tmp_path):
    """Load a child of the toy config and its sets of signs and boxes, with these lines."""

    def loaded(lines, options=None, name='child.py'):
        bases = [ROOT / 'configs/toy/mobilenetv2_toy.py', SETS / 'toy_signs.py']
        text = f'_base_ = {list(map(str, bases))}\n{lines}'
        (tmp_path / name).write_text(text)
        return load_config(str(tmp_path / name), options, work_dir='work')

    return loaded


def entry(**options):
    """A data set ``a`` of 2 classes in a small config with its task, and stages to run."""
    loader = dict(batch_size=2, dataset=dict(type='X', metainfo=dict(classes=('p', 'q'))))
    own = dict(train_dataloader=loader, val_dataloader=loader, val_evaluator=dict(type='M'))
    return Config(
        dict(
            model=dict(tasks=dict(a=dict(type='mmdet.FCOS'), b=dict(type='mmdet.FCOS'))),
            data=dict(a=own | options),
            train_cfg=dict(type='T'),
            val_cfg=dict(type='V'),
        )
    )


def test_an_entry_is_what_its_long_form_is(child):
    """Also in the order of tasks and of the members of the score, which sums follow."""
    short = child(SHORT)
    long = child(LONG, name='long.py')
    assert list(flat_config(short).items()) == list(flat_config(long).items())
    assert 'data' not in short and list(short.val_cfg.score)[-1] == 'signs/bbox_mAP_50'


def test_a_long_form_stays_as_it_is(tmp_path):
    (tmp_path / 'child.py').write_text(
        f"_base_ = ['{ROOT}/configs/toy/mobilenetv2_toy.py', '{SETS}/toy_signs.py']\n{LONG}"
    )
    expected, found = (Config.fromfile(tmp_path / 'child.py') for _ in range(2))
    expand_config(found)
    assert repr(found.to_dict()) == repr(expected.to_dict())


def test_what_is_written_out_wins_key_by_key(child):
    cfg = child(
        'model = dict(tasks=dict(signs={{_base_.model.tasks.det}}))\n'
        'data = dict(signs={{_base_.toy_signs}})\n'
        'train_dataloader = dict(signs=dict(batch_size=3, dataset=dict(ann_file="other.json")))\n'
        'test_evaluator = dict(signs=dict(_delete_=True, type="Own"))\n'
        "val_cfg = dict(score={'signs/bbox_mAP': 50})\n"
    )
    loader = cfg.train_dataloader.signs
    assert (loader.batch_size, loader.num_workers) == (3, 1)
    assert loader.dataset.ann_file == 'other.json'
    assert loader.dataset.data_prefix.img.endswith('signs/train/')
    assert cfg.test_evaluator.signs == dict(type='Own')
    assert cfg.val_evaluator.signs.type == 'allinone.DetectionMetric'
    # A metric of the task that is written out is instead of those of its data.
    toy = {'cls/top1': 1, 'det/bbox_mAP_50': 100, 'seg/mIoU': 1}
    assert cfg.val_cfg.score == toy | {'signs/bbox_mAP': 50}
    assert cfg.test_cfg.score == toy | {'signs/bbox_mAP_50': 100}


def test_options_change_entries_and_what_they_become(child):
    cfg = child(
        SHORT,
        [
            'data.signs.train_dataloader.batch_size=5',
            'train_dataloader.signs.dataset.pipeline.2.prob=0.25',
            'model.tasks.signs.bbox_head.stacked_convs=1',
        ],
    )
    loader = cfg.train_dataloader.signs
    assert (loader.batch_size, loader.dataset.pipeline[2].prob) == (5, 0.25)
    tasks = cfg.model.tasks
    assert (tasks.signs.bbox_head.stacked_convs, tasks.det.bbox_head.stacked_convs) == (1, 2)


def test_a_copy_is_changed_alone(child):
    """Both by ``copy_of`` and by a base's variable, which mmengine puts as one object."""
    cfg = child(
        'model = dict(tasks=dict(\n'
        '    signs={{_base_.model.tasks.det}},\n'
        '    more=dict(copy_of="signs", neck=dict(num_outs=4), bbox_head=dict(\n'
        '        _delete_=True, type="ATSSHead"))))\n'
    )
    tasks = cfg.model.tasks
    tasks.signs.bbox_head.num_classes = 9
    assert tasks.det.bbox_head.num_classes == 3
    assert tasks.more.type == 'mmdet.FCOS'
    assert tasks.more.bbox_head == dict(type='ATSSHead', in_channels=48)  # That of the neck
    assert (tasks.more.neck.num_outs, tasks.more.neck.out_channels) == (4, 48)
    assert tasks.det.neck.num_outs == 3


def test_pure_python(tmp_path):
    (tmp_path / 'base.py').write_text(
        'from mmdet.datasets import CocoDataset\n'
        'from mmdet.models import FCOS, FCOSHead\n'
        'head = dict(type=FCOSHead, num_classes=3)\n'
        'model = dict(tasks=dict(det=dict(type=FCOS, bbox_head=head)))\n'
        'train_cfg = dict(type="T")\n'
        'signs = dict(classes=("p", "q"), train_dataloader=dict(dataset=dict(type=CocoDataset)))\n'
    )
    (tmp_path / 'child.py').write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n    from .base import *\n'
        'model["tasks"].update(signs=model["tasks"]["det"])\ndata = dict(signs=signs)\n'
    )
    cfg = load_config(str(tmp_path / 'child.py'))
    assert cfg.train_dataloader.signs.dataset == dict(
        type='mmdet.CocoDataset', metainfo=dict(classes=('p', 'q'))
    )
    tasks = cfg.model.tasks
    assert tasks.signs.bbox_head == dict(type='FCOSHead', num_classes=2)
    assert tasks.det.bbox_head.num_classes == 3


def test_stages_without_a_loop_and_parts_of_none_are_left_out():
    cfg = entry(score=dict(mAP=100))
    assert expand_data(cfg) == {'a': 2}
    assert 'test_dataloader' not in cfg and cfg.val_cfg.score == {'a/mAP': 100}
    cfg = entry(test_dataloader=None, test_evaluator=None)
    cfg.test_cfg = dict(type='T')
    expand_data(cfg)
    assert 'test_dataloader' not in cfg and 'test_evaluator' not in cfg
    assert list(cfg.val_dataloader) == ['a'] and 'score' not in cfg.val_cfg


def test_a_task_is_left_out_of_the_test():
    for part in ('test_dataloader', 'test_evaluator'):
        cfg = entry(score=dict(mAP=1), **{part: None})
        cfg.test_cfg = dict(type='T')
        expand_data(cfg)
        assert not cfg.get('test_dataloader') and not cfg.get('test_evaluator')
        assert cfg.val_cfg.score == {'a/mAP': 1} and 'score' not in cfg.test_cfg


@pytest.mark.parametrize(
    'classes, says',
    [
        ('car', "data.a.classes is 'car'; give the names, as in"),
        ((), r'data.a.classes is \(\); give the names'),
        (['p', 'q', 'p'], "data.a.classes has 'p' twice"),
    ],
)
def test_classes_that_are_no_list_of_names_are_refused(classes, says):
    with pytest.raises(ConfigError, match=says):
        expand_data(entry(classes=classes))


def test_a_file_of_names_is_left_to_the_data_set(tmp_path):
    (tmp_path / 'names.txt').write_text('p\nq\nr\n')
    cfg = entry(classes=str(tmp_path / 'names.txt'))
    for loader in (cfg.data.a.train_dataloader, cfg.data.a.val_dataloader):
        loader.dataset.pop('metainfo', None)
    assert expand_data(cfg) == {'a': None}
    assert cfg.train_dataloader.a.dataset.metainfo.classes == str(tmp_path / 'names.txt')


def test_data_sets_of_other_names_are_a_variable(capsys):
    cfg = entry()
    cfg.data = dict(toyset=cfg.data.a)
    assert expand_data(cfg) == {} and 'toyset' in cfg.data and 'train_dataloader' not in cfg
    assert 'no task is called so' in capsys.readouterr().err


def test_a_score_that_is_switched_off_stays_off():
    cfg = entry(score=dict(mAP=100))
    cfg.val_cfg.score = None
    expand_data(cfg)
    assert cfg.val_cfg.score is None


def test_a_frozen_task_beside_a_frozen_backbone_is_not_trained():
    cfg = entry()
    cfg.model.frozen = ('backbone', 'a')
    expand_data(cfg)
    assert 'train_dataloader' not in cfg and 'a' in cfg.val_dataloader


def test_classes_of_an_entry_are_those_of_its_data_sets():
    inner = dict(type='X')
    named = dict(type='X', metainfo=dict(classes=('own', 'names', 'more'), palette=[1]))
    wrapped = dict(type='ConcatDataset', datasets=[dict(type='Repeat', dataset=inner), named])
    cfg = entry(classes=['r', 's', 't'], train_dataloader=dict(dataset=wrapped))
    assert expand_data(cfg) == {'a': 3}
    repeat, other = cfg.train_dataloader.a.dataset.datasets
    assert repeat.dataset.metainfo == dict(classes=('r', 's', 't'))
    assert other.metainfo == named['metainfo']


@pytest.mark.parametrize(
    'data', [dict(root='x'), 'data/toy', dict(a=dict(root='x'), b=dict(root='y'))]
)
def test_a_variable_of_that_name_is_no_entry(data):
    cfg = entry()
    cfg.data = data
    assert expand_data(cfg) == {} and cfg.data == data and 'train_dataloader' not in cfg


@pytest.mark.parametrize(
    'change, says',
    [
        (
            lambda cfg: cfg.data.update(zebra=cfg.data.a),
            "data has 'zebra', which model.tasks does not have (['a', 'b']); add the task, or "
            'leave the data set out, as with data=dict(_delete_=True, ...)',
        ),
        (
            lambda cfg: cfg.data.update(b=cfg.data.a.train_dataloader),
            "data.b has only ['batch_size', 'dataset']; give the whole variable of the data set, "
            'which has train_dataloader, val_dataloader and val_evaluator',
        ),
        (
            lambda cfg: cfg.data.update(b='toy_signs'),
            "data.b is 'toy_signs'; give the variable of a data set, which has train_dataloader, "
            'val_dataloader and val_evaluator',
        ),
        (
            lambda cfg: cfg.data.a.update(val_dataloder=dict()),
            "data.a has 'val_dataloder'; do you mean 'val_dataloader'?",
        ),
        (
            lambda cfg: cfg.data.a.update(score='mAP'),
            "data.a.score is 'mAP'; give {metric: factor}, as in {'bbox_mAP_50': 100}",
        ),
        (
            lambda cfg: cfg.data.a.update(score={'a/mAP': 1}),
            "data.a.score has 'a/mAP'; leave out 'a/', which is added to each of its metrics",
        ),
        (
            lambda cfg: cfg.data.a.update(num_classes=7),
            'data.a.num_classes is 7, but train_dataloader.dataset.metainfo.classes has 2 names; '
            'leave num_classes out',
        ),
    ],
)
def test_entries_that_cannot_be_used_are_refused(change, says):
    cfg = entry()
    change(cfg)
    with pytest.raises(ConfigError) as error:
        expand_data(cfg)
    assert str(error.value) == says


@pytest.mark.parametrize(
    'lines, says',
    [
        (
            'signs=dict(copy_of="dett")',
            "model.tasks.signs.copy_of is 'dett', which is no task; name one of ['cls', 'det', "
            "'seg']",
        ),
        (
            'signs=dict(copy_of="more"), more=dict(copy_of="signs")',
            "model.tasks.more.copy_of is 'signs', which is a copy of 'more' itself; write one of "
            'them out',
        ),
    ],
)
def test_copies_of_nothing_are_refused(child, lines, says):
    with pytest.raises(ConfigError) as error:
        child(f'model = dict(tasks=dict({lines}))\n')
    assert str(error.value) == says


def test_a_base_without_the_long_form_is_named(tmp_path):
    path = tmp_path / 'child.py'
    path.write_text(
        f"_base_ = '{ROOT}/configs/toy/mobilenetv2_toy_signs.py'\n"
        'test_dataloader = dict(signs={{_base_.test_dataloader.signs}})\n'
    )
    with pytest.raises(ConfigError) as error:
        load_config(str(path))
    assert str(error.value) == (
        f'{path} has {{{{_base_.test_dataloader.signs}}}}, but its base has no such key; if the '
        "base has 'signs' in data, write {{_base_.data.signs.val_dataloader}}"
    )
    was = '_base_.test_dataloader.signs'
    path.write_text(path.read_text().replace(was, '_base_.data.signs.val_dataloader'))
    assert load_config(str(path)).test_dataloader.signs.num_workers == 0


def test_the_order_is_that_of_the_long_form_then_of_the_data():
    cfg = entry(score=dict(mAP=100))
    cfg.data = dict(b=cfg.data.a, a=cfg.data.a)
    cfg.model.tasks.c = dict(type='mmdet.FCOS')
    cfg.val_dataloader = dict(a=dict(batch_size=9), c=dict(batch_size=1))
    cfg.val_cfg.score = {'a/x': 1, 'c/y': 2}
    expand_data(cfg)
    assert [(task, part.batch_size) for task, part in cfg.val_dataloader.items()] == [
        *(('c', 1), ('b', 2), ('a', 9)),
    ]
    assert list(cfg.val_cfg.score.items()) == [('c/y', 2), ('b/mAP', 100), ('a/x', 1)]


def test_an_entry_without_effect_is_noted(child, capsys):
    child('data = dict(det={{_base_.toy_signs}})\n')
    notes = capsys.readouterr().err
    assert 'note: train_dataloader.det is written out in the config, so data.det does not' in notes
