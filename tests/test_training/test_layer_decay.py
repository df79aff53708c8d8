"""Layer-wise decay of the learning rate over the backbone of a joint model."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.models import ConvNeXt
from torch import nn

from allinone.errors import ConfigError


def groups_of(model):
    cfg = dict(
        type='OptimWrapper',
        constructor='LayerDecay',
        optimizer=dict(type='SGD', lr=1.0, weight_decay=0.5),
        paramwise_cfg=dict(layer_decay_rate=0.5, flat_decay_mult=0.0),
    )
    with DefaultScope.overwrite_default_scope('allinone'):
        return build_optim_wrapper(model, cfg).optimizer.param_groups


class Joint(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.tasks = nn.ModuleDict(dict(a=nn.Linear(2, 2), b=nn.Linear(2, 2)))
        self.tasks['b'].weight = self.tasks['a'].weight  # As of heads that share convolutions


def test_rates_halve_with_each_layer_below_the_heads():
    model = Joint(ConvNeXt(dict(depths=[1, 1, 1, 1], channels=[4, 4, 4, 4])))
    groups = groups_of(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(group['params'][0])]: group['lr'] for group in groups}
    assert set(rates) == set(names.values())
    assert rates['tasks.a.weight'] == rates['tasks.b.bias'] == 1
    assert rates['backbone.stages.3.0.pointwise_conv1.weight'] == 0.5
    stem, depth = rates['backbone.downsample_layers.0.0.weight'], model.backbone.get_layer_depth
    first, layers = depth('backbone.downsample_layers.0.0.weight', 'backbone.')
    assert stem == 0.5 ** (layers - 1 - first) < 0.5
    assert {group['weight_decay'] for group in groups} == {0.0, 0.5}


def test_a_backbone_that_knows_no_depth_is_named():
    with pytest.raises(ConfigError, match='Linear does not tell the depth of its layers'):
        groups_of(Joint(nn.Linear(2, 2)))


def test_each_parameter_is_stepped_once():
    model = Joint(ConvNeXt(dict(depths=[1, 1, 1, 1], channels=[4, 4, 4, 4])))
    parameters = [group['params'] for group in groups_of(model)]
    assert all(len(found) == 1 for found in parameters)
    ids = [id(found[0]) for found in parameters]
    assert len(ids) == len(set(ids)) == len(list(model.parameters()))
    assert isinstance(parameters[0][0], torch.nn.Parameter)
