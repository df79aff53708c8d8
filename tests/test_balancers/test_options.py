"""Options out of range are refused, naming the key and the value."""

import re
from pathlib import Path

import pytest
import torch
from conftest import TOY_CONFIG
from methods import build
from mmengine.config import Config

from allinone.balancers.build import build_balancer
from allinone.errors import ConfigError
from allinone.registry import BALANCERS

BASES = Path(__file__).parents[2] / 'configs/_base_/balancers'


@pytest.mark.parametrize(
    'options',
    [
        dict(type='Uncertainty', lr=0),
        dict(type='IMTLL', lr=-1),
        dict(type='FAMO', lr='fast'),
        dict(type='FAMO', weight_decay=-1),
        dict(type='STCH', mu=0),
        dict(type='STCH', preference=[1, -1]),
        dict(type='STCH', reference='last'),
        dict(type='DynamicWeightAverage', temperature=0),
        dict(type='DynamicWeightAverage', interval=0),
        dict(type='DynamicTaskPrioritization', momentum=2),
        dict(type='DynamicTaskPrioritization', gamma=-1),
        dict(type='CoBa', tau=0),
        dict(type='CoBa', window=1),
        dict(type='RandomWeights', seed=-1),
        dict(type='GradNorm', alpha=-1),
        dict(type='GradNorm', optimizer='lamb'),
        dict(type='MGDA', normalizer='max'),
        dict(type='CAGrad', c=-0.1),
        dict(type='CAGrad', c=float('nan')),
        dict(type='GradVac', beta=1.5),
        dict(type='GradDrop', leak=2),
        dict(type='FairGrad', alpha=0),
        dict(type='NashMTL', max_norm=0),
        dict(type='AlignedMTL', scale='max'),
        dict(type='NormEqual', norm='median'),
        dict(type='NormEqual', norm=0),
        dict(type='Smoothed', balancer=dict(type='FAMO'), momentum=1.1),
        dict(type='Every', balancer=dict(type='FAMO'), interval=0),
        dict(type='WarmUp', balancer=dict(type='FAMO'), length=0),
        dict(type='WarmUp', balancer=dict(type='FAMO'), length=1, weights=[0, 0]),
    ],
)
def test_out_of_range(options):
    key, value = next((name, value) for name, value in reversed(options.items()))
    value = value[1] if key == 'preference' else value
    with pytest.raises(ConfigError, match=rf'model\.balancer\.{key}.*{re.escape(repr(value))}'):
        BALANCERS.build(options)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(type='PCGard'), r"model.balancer.type is 'PCGard'; .*'PCGrad'"),
        (dict(type='PCGrad', alpha=1), 'model.balancer cannot be built.*alpha'),
        (
            dict(type='Smoothed', balancer=dict(type='PCGard')),
            r"model.balancer.balancer.type is 'PCGard'",
        ),
        (dict(type='Smoothed', balancer='PCGrad'), 'model.balancer.balancer.type is None'),
        (dict(type='Smoothed', balancer=dict(type='GradDrop')), "'GradDrop', which has no weights"),
        (dict(type='CoBa', metrics={'a/x': 0}), r"metrics\['a/x'\] is 0"),
    ],
)
def test_unknown_methods_and_options(options, message):
    with pytest.raises(ConfigError, match=message):
        build_balancer(options)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(type='Uncertainty', classification=['c']), r"names \['c'\].*\['a', 'b'\]"),
        (dict(type='STCH', preference=[1]), 'preference has 1 numbers for 2 tasks'),
        (dict(type='AlignedMTL', preference=[1, 2, 3]), '3 numbers for 2 tasks'),
        (dict(type='WarmUp', balancer=dict(type='FAMO'), length=1, weights=[1]), '1 numbers for 2'),
        (dict(type='CoBa', metrics={'a/x': 1}), r"metrics is .*\['a', 'b'\]"),
        (dict(type='CoBa', metrics={'a/x': 1, 'a/y': 1}), r"metrics is .*\['a', 'b'\]"),
    ],
)
def test_options_that_do_not_fit_the_tasks(options, message):
    with pytest.raises(ConfigError, match=message):
        BALANCERS.build(options).bind(['a', 'b'])


@pytest.mark.parametrize('path', sorted(BASES.glob('*.py')), ids=lambda path: path.stem)
def test_every_base_config_builds(path):
    balancer = build_balancer(Config.fromfile(path).balancer)
    balancer.bind(['cls', 'det', 'seg'])
    balancer.start(10, ['cls', 'det', 'seg'])
    gradients = torch.eye(3)
    assert balancer.combine(torch.ones(3), gradients)[0].isfinite().all()


def test_a_base_config_switches_the_method(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        f'_base_ = [{str(TOY_CONFIG)!r}, {str(BASES / "gradnorm.py")!r}]\n'
        'model = dict(balancer={{_base_.balancer}})\n'
    )
    cfg = Config.fromfile(path)
    assert cfg.model.balancer.type == 'GradNorm' and cfg.model.type == 'AllInOne'


def test_every_method_has_a_base_config():
    build('FixedWeights')
    used = {
        kind
        for path in BASES.glob('*.py')
        for kind in re.findall(r"type='(\w+)'", path.read_text())
    }
    assert used == set(BALANCERS.module_dict)
