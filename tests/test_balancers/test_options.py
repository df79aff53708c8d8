"""The base configs; what single options refuse is in ``tests/test_every_option.py``."""

import re
from pathlib import Path

import pytest
import torch
from conftest import TOY_CONFIG
from methods import build
from mmengine.config import Config

from allinone.errors import ConfigError
from allinone.registry import BALANCERS

BASES = Path(__file__).parents[2] / 'configs/_base_/balancers'


def test_a_wrapper_that_needs_weights_refuses_a_method_without():
    for kind in ('Smoothed', 'Every'):
        with pytest.raises(
            ConfigError, match=r"model\.balancer\.balancer\.type is 'GradDrop', which"
        ):
            BALANCERS.build(dict(type=kind, balancer=dict(type='GradDrop')))


@pytest.mark.parametrize('path', sorted(BASES.glob('*.py')), ids=lambda path: path.stem)
def test_every_base_config_builds(path):
    balancer = BALANCERS.build(Config.fromfile(path).balancer)
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
