import pytest
import torch

from allinone.balancers import combine
from allinone.errors import ConfigError
from allinone.registry import BALANCERS
from allinone.step.backbone_gradients import BackboneGradients

GRADIENTS = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
LOSSES = torch.tensor([2.0, 8.0])


@pytest.mark.parametrize(
    'weights, expected', [(None, [0.0, 1.0]), ([1, 3], [-2.0, 3.0]), ([0.5, 0], [0.5, 0.0])]
)
def test_weighted_sum(weights, expected):
    balancer = BALANCERS.build(dict(type='FixedWeights', weights=weights))
    assert balancer.requires == 'losses'
    assert combine(balancer, losses=LOSSES, gradients=GRADIENTS).tolist() == expected


def test_names_fill_up_with_ones():
    balancer = BALANCERS.build(dict(type='FixedWeights', weights=dict(det=2)))
    balancer.bind(['cls', 'det'])
    assert balancer.weights(LOSSES).tolist() == [1.0, 2.0]
    # A step of the second task alone
    assert balancer.weights(LOSSES[1:], tasks=[1]).tolist() == [2.0]


@pytest.mark.parametrize(
    'weights, message',
    [
        ([1, -2], r'^model\.balancer\.weights\[1\] is -2; give a number of at least 0$'),
        ([1, float('nan')], r'weights\[1\] is nan; '),
        ([0, 0], r'weights is \[0, 0\]; make at least one positive$'),
        (dict(cls=0, det=0), r'weights is .*; make at least one positive$'),
        (dict(det=-1), r'^model\.balancer\.weights\.det is -1; '),
        (dict(dte=1), r"does not have \['dte'\]; its tasks are \['cls', 'det'\]$"),
        ([1, 1, 1], r"weights is .*, 3 numbers for 2 tasks \['cls', 'det'\]; give one for each$"),
    ],
)
def test_bad_weights_are_named(weights, message):
    with pytest.raises(ConfigError, match=message):
        BALANCERS.build(dict(type='FixedWeights', weights=weights)).bind(['cls', 'det'])


def test_names_need_the_names_of_the_tasks():
    with pytest.raises(ConfigError, match='weights is .*bind'):
        combine(BALANCERS.build(dict(type='FixedWeights', weights=dict(det=2))), LOSSES, GRADIENTS)


def test_backbone_gradients_keep_rows_layouts_and_absences():
    weight = torch.nn.Parameter(
        torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    )
    bias, unused = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))
    rows = BackboneGradients([weight, bias, unused], num_tasks=2)
    weight.grad = weight.detach().clone()
    rows.take(0)
    assert weight.grad is None
    weight.grad, bias.grad = weight.detach() * 2, torch.ones(2)
    rows.take(1)
    bias.grad = torch.ones(2)
    rows.take(1)  # a second micro-step of accumulation
    rows.put(rows.rows([0, 1]).sum(0))
    assert torch.equal(weight.grad, weight.detach() * 3)
    assert weight.grad.stride() == weight.stride()
    assert bias.grad.tolist() == [2, 2]
    assert unused.grad is None
    assert rows.rows([1]).norm() == pytest.approx(
        float(torch.cat([weight.detach().flatten() * 2, torch.full((2,), 2.0)]).norm())
    )
