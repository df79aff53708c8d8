"""A layer that the backbone lacks, or does not train, is refused when the model is built."""

import pytest
from conftest import build_model
from methods import build
from torch import nn

from allinone.errors import ConfigError
from allinone.step.layers import check_layers

NORM, PENALTY = dict(type='GradNorm'), dict(type='GradientOrthogonality')
BAD = [
    (dict(NORM, layer='last'), 'layer'),
    (dict(NORM, layer=2), 'layer'),
    (dict(NORM, layer=''), 'layer'),
    (dict(NORM, layer=['0']), 'layer'),
    (dict(NORM, layer='frozen'), 'layer'),
    (dict(PENALTY, layer='last'), 'layer'),
    (dict(PENALTY, balancer=dict(NORM, layer='last')), 'balancer.layer'),
    (dict(type='SmoothedTaskWeights', balancer=dict(NORM, layer='last')), 'balancer.layer'),
    (dict(type='SmoothedTaskWeights', balancer=dict(PENALTY, layer='last')), 'balancer.layer'),
    (
        dict(
            type='UpdateEvery',
            balancer=dict(type='WarmUp', length=1, balancer=dict(NORM, layer='x')),
        ),
        'balancer.balancer.layer',
    ),
]


@pytest.fixture
def backbone():
    parts = dict(first=nn.Linear(2, 2), second=nn.Linear(2, 2), frozen=nn.Linear(2, 2))
    parts['frozen'].requires_grad_(False)
    return nn.ModuleDict(parts)


@pytest.mark.parametrize('cfg, key', BAD)
def test_wrong_layers_are_named(backbone, cfg, key):
    with pytest.raises(ConfigError, match=rf'^model\.balancer\.{key} is .*; its parts are .*first'):
        check_layers(build(cfg['type'], **cfg), backbone)


@pytest.mark.parametrize('layer', [None, 'first', 'second.weight'])
def test_right_layers_pass(backbone, layer):
    check_layers(build('GradNorm', layer=layer), backbone)
    check_layers(build('GradientOrthogonality', layer=layer, balancer=NORM), backbone)
    check_layers(build('UpdateEvery', balancer=dict(NORM, layer=layer)), backbone)
    check_layers(build('PCGrad'), nn.Identity())


def test_the_model_asks_when_it_is_built(toy_cfg):
    toy_cfg.model.balancer = dict(NORM, layer='layer9')
    with pytest.raises(ConfigError, match=r"^model\.balancer\.layer is 'layer9'"):
        build_model(toy_cfg)
