"""Dictionaries on the command line, and names of balancers and schedules that are nearly right."""

import pytest
from bad_input import only

from allinone.config.loading import load_config, parse_options
from allinone.errors import ConfigError
from allinone.registry import BALANCERS, TASK_SCHEDULES
from allinone.registry.options import check_type
from allinone.registry.other_names import OTHER_NAMES, near_name


@pytest.mark.parametrize(
    'value, parsed',
    [
        ("{'cls/top1': 1}", {'cls/top1': 1}),
        (
            '{"type": "PCGrad", "a": [1, {"b": (1e-3, None)}]}',
            dict(type='PCGrad', a=[1, dict(b=(1e-3, None))]),
        ),
        ("dict(type='CAGrad', c=-0.4)", dict(type='CAGrad', c=-0.4)),
        ("[{'type': 'EMAHook'}, dict(type='X')]", [dict(type='EMAHook'), dict(type='X')]),
        ('{}', {}),
        # As mmengine reads them
        ('[(1,2),a]', [(1, 2), 'a']),
        ('1,2', [1, 2]),
        ('{fileDirname}/x', '{fileDirname}/x'),
        ('dictionary', 'dictionary'),
        ('{:05d}.jpg', '{:05d}.jpg'),
        ('{}.pth', '{}.pth'),
        ('({}|x)', ('{}|x',)),
        ('dict(a)', 'dict(a)'),
    ],
)
def test_a_dictionary_is_a_value_of_an_option(value, parsed):
    assert parse_options([f'a.b={value}']) == {'a.b': parsed}


@pytest.mark.parametrize(
    'option, says',
    [
        (
            'val_cfg.score={cls/top1: 1}',
            '--cfg-options has val_cfg.score={cls/top1: 1}, which is no dictionary of literals; '
            'put names in quotes and all of it in others, as in "val_cfg.score={\'NAME\': 1}", or '
            'set its keys, as in val_cfg.score.NAME=1',
        ),
        ('model.balancer=dict(type=PCGrad)', 'has model.balancer=dict(type=PCGrad), which is no'),
        ('a=[(1,2', '--cfg-options has a=[(1,2, whose brackets have no pair; close them'),
        ("a={'b': __import__('os')}", 'which is no dictionary of literals'),
    ],
)
def test_an_option_that_is_no_literal_is_refused(option, says):
    with pytest.raises(ConfigError) as error:
        parse_options([option])
    assert says in str(error.value)


def test_a_dictionary_is_merged_and_each_of_its_keys_can_be_set(tmp_path):
    (tmp_path / 'config.py').write_text("val_cfg = dict(score={'det/mAP': 100})\n")

    def score(option):
        return load_config(str(tmp_path / 'config.py'), [option]).val_cfg.score

    assert score("val_cfg.score={'cls/top1': 1}") == {'det/mAP': 100, 'cls/top1': 1}
    assert score('val_cfg.score.cls/top1=1') == {'det/mAP': 100, 'cls/top1': 1}
    assert score("val_cfg.score={'_delete_': True, 'cls/top1': 1}") == {'cls/top1': 1}


@pytest.mark.parametrize(
    'score, says',
    [
        (
            "{'cls/top1': 1}",
            "val_cfg.score is \"{'cls/top1': 1}\"; give a dictionary {'TASK/metric': factor}",
        ),
        (['cls/top1'], "val_cfg.score is ['cls/top1']; give a dictionary {'TASK/metric': factor}"),
        (
            {'cls/top1': '1'},
            "val_cfg.score['cls/top1'] is '1'; give a number, not infinite",
        ),
    ],
)
def test_a_score_that_is_no_dictionary_is_refused(cfg, refused, score, says):
    only(cfg, 'cls', validate=True)
    cfg.val_cfg.score = score
    assert refused() == says


@pytest.mark.parametrize(
    'registry, name, meant',
    [
        (BALANCERS, 'PCGRAD', 'PCGrad'),
        (BALANCERS, 'pc_grad', 'PCGrad'),
        (BALANCERS, 'allinone.PCGrd', 'PCGrad'),
        (BALANCERS, 'uncertainty', 'Uncertainty'),
        (BALANCERS, 'UW', 'Uncertainty'),
        (BALANCERS, 'DWA', 'DynamicWeightAverage'),
        (BALANCERS, 'Nash-MTL', 'NashMTL'),
        (BALANCERS, 'IMTL-G', 'IMTLG'),
        (BALANCERS, 'zebra', None),
        (BALANCERS, None, None),
        (TASK_SCHEDULES, 'RoundRobbin', 'RoundRobin'),
        (TASK_SCHEDULES, 'round_robin', 'RoundRobin'),
        (TASK_SCHEDULES, 'Temperature_Sampling', 'TemperatureSampling'),
    ],
)
def test_the_name_that_is_meant_is_suggested(registry, name, meant):
    with pytest.raises(ConfigError) as error:
        check_type('key', dict(type=name), registry)
    sentence = str(error.value)
    assert sentence.startswith(f'key.type is {name!r}; the choices are [')
    assert sentence.partition(']')[2] == (f'; do you mean {meant!r}?' if meant else '')


def test_other_names_are_of_what_there_is():
    names = [name for part in (BALANCERS, TASK_SCHEDULES) for name in part.module_dict]
    for other, name in OTHER_NAMES.items():
        assert near_name(other.upper(), names) == name
