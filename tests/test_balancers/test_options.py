"""The base config; what single options refuse is in ``tests/test_every_option.py``."""

from pathlib import Path

import pytest
import torch
from conftest import TOY_CONFIG
from mmengine.config import Config

from allinone.errors import ConfigError
from allinone.registry import BALANCERS

BASE = Path(__file__).parents[2] / 'configs/_base_/balancers.py'
READY = Config.fromfile(BASE).balancers
BALANCERS.import_from_location()


def test_a_wrapper_that_needs_weights_refuses_a_method_without():
    for kind in ('SmoothedTaskWeights', 'UpdateEvery'):
        with pytest.raises(
            ConfigError, match=r"model\.balancer\.balancer\.type is 'GradDrop', which"
        ):
            BALANCERS.build(dict(type=kind, balancer=dict(type='GradDrop')))


@pytest.mark.parametrize('name', sorted({*BALANCERS.module_dict, *READY} - {'WarmUp'}))
def test_every_method_starts_with_its_type_or_its_base_config(name):
    balancer = BALANCERS.build(READY.get(name, dict(type=name)))
    balancer.bind(['cls', 'det', 'seg'])
    balancer.start(10, ['cls', 'det', 'seg'])
    gradients = torch.eye(3)
    assert balancer.combine(torch.ones(3), gradients)[0].isfinite().all()


def test_a_base_config_switches_the_method(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        f'_base_ = [{str(TOY_CONFIG)!r}, {str(BASE)!r}]\n'
        'model = dict(balancer={{_base_.balancers.GradNorm}})\n'
    )
    cfg = Config.fromfile(path)
    assert cfg.model.balancer.type == 'GradNorm' and cfg.model.type == 'AllInOne'
