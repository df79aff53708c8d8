import pytest
import torch
from methods import build
from mmengine.optim import OptimWrapper
from torch import nn

from allinone.balancers import combine
from allinone.balancers.step import BalancedStep
from allinone.errors import ConfigError

GOLD = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])


class Scaled(OptimWrapper):
    """Backward passes as a loss scaler of 64 makes them; mmengine's needs CUDA."""

    def backward(self, loss, **kwargs):
        super().backward(64 * loss, **kwargs)


class Toy:
    """Trunk of two layers, of which task c sees the first only; nonlinear heads."""

    def __init__(self, tasks='abc', amp=False, accumulate=1, **options):
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)
        self.trunk = nn.ModuleDict(dict(first=self.first, second=self.second))
        self.heads = nn.ModuleDict({task: nn.Linear(6 if task == 'c' else 3, 1) for task in tasks})
        options = dict(dict(type='GradientOrthogonality', alpha=20.0), **options)
        self.balancer = build('Orthogonal', **options)
        self.balancer.bind(list(tasks))
        self.params = [*self.trunk.parameters(), *self.heads.parameters()]
        optimizer = torch.optim.SGD(self.params, lr=0.1)
        self.wrapper = (Scaled if amp else OptimWrapper)(optimizer, accumulative_counts=accumulate)
        self.step = BalancedStep(self.balancer, self.trunk, dict(self.heads.items()))

    def losses(self, seed=0):
        generator = torch.Generator().manual_seed(seed)
        found = []
        for task in self.heads:
            data = torch.randn(8, 4, generator=generator)
            maps = torch.tanh(self.first(data))
            maps = maps if task == 'c' else torch.tanh(self.second(maps))
            found.append((torch.tanh(self.heads[task](maps)) - data[:, :1]).square().mean())
        return found

    def gradients(self, seeds=(0,), scale=1.0):
        """What a step leaves in ``.grad``."""
        for seed in seeds:
            for task, loss in zip(self.heads, self.losses(seed)):
                self.step.backward(task, loss, self.wrapper)
            self.step.end_micro_step(self.wrapper)
        self.log = self.step.finish(torch.tensor(scale))
        found = [param.grad / scale for param in self.params]
        self.wrapper.zero_grad()
        return found

    def expected(self, layer, seed=0):
        """Gradient of the sum of losses and penalty in one graph."""
        losses = self.losses(seed)
        rows = [
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, layer, create_graph=True)])
            for loss in losses
        ]
        units = torch.stack([row / row.norm() for row in rows])
        count = len(losses)
        penalty = (units @ units.T - torch.eye(count)).square().sum() * 20.0 / (count * (count - 1))
        return torch.autograd.grad(sum(losses) + penalty, self.params), penalty


def test_gold():
    balancer = build('GradientOrthogonality', alpha=1.0)
    assert balancer.penalty(GOLD).item() == pytest.approx(0.5, abs=1e-6)
    assert combine(balancer, torch.ones(2), GOLD).tolist() == [0, 1]


@pytest.mark.parametrize('rows', [torch.eye(3), torch.zeros(3, 3), torch.ones(1, 3)])
def test_nothing_to_penalise(rows):
    assert build('GradientOrthogonality').penalty(rows).item() == 0


def test_a_gradient_of_zeros_takes_no_part():
    balancer = build('GradientOrthogonality', alpha=1.0)
    rows = torch.cat([GOLD, torch.zeros(1, 2)]).requires_grad_()
    value = balancer.penalty(rows)
    assert value.item() == pytest.approx(1 / 6, abs=1e-6)
    assert torch.autograd.grad(value, rows)[0].isfinite().all()


@pytest.mark.parametrize(
    'tasks, layer, compared',
    [
        ('ab', None, ['second.weight']),
        ('abc', None, ['first.weight']),
        ('abc', 'first', ['first.weight', 'first.bias']),
    ],
)
def test_the_step_is_that_of_losses_and_penalty(tasks, layer, compared):
    toy = Toy(tasks, layer=layer)
    parts = dict(toy.trunk.named_parameters())
    expected, penalty = toy.expected([parts[name] for name in compared])
    for found, wanted in zip(toy.gradients(), expected):
        torch.testing.assert_close(found, wanted)
    assert toy.log['penalty'].item() == pytest.approx(penalty.item(), rel=1e-5)
    assert penalty > 1e-3


def test_the_weights_are_those_of_the_wrapped_method():
    plain = Toy(alpha=0.0, balancer=dict(type='FixedWeights', weights=dict(a=2)))
    assert [weight.item() for key, weight in plain_log(plain).items() if 'weight' in key] == [
        2,
        1,
        1,
    ]
    pcgrad, wrapped = (
        Toy(alpha=0.0, balancer=dict(type='PCGrad')),
        Toy(balancer=dict(type='PCGrad')),
    )
    penalty = [a - b for a, b in zip(wrapped.gradients(), pcgrad.gradients())]
    reference = Toy()
    plain = Toy(alpha=0.0)
    for found, with_, without in zip(penalty, reference.gradients(), plain.gradients()):
        torch.testing.assert_close(found, with_ - without, rtol=1e-4, atol=1e-6)


def plain_log(toy):
    toy.gradients()
    return toy.log


def test_a_scaled_step_is_the_plain_step():
    for found, wanted in zip(Toy(amp=True).gradients(scale=64.0), Toy().gradients()):
        torch.testing.assert_close(found, wanted)


def test_accumulation_has_the_mean_penalty():
    toy = Toy(accumulate=2)
    toy.wrapper.initialize_count_status(nn.Linear(1, 1), 0, 100)
    layer = [toy.first.weight]
    one, two = toy.expected(layer, 0)[0], toy.expected(layer, 1)[0]
    for found, first, second in zip(toy.gradients(seeds=(0, 1)), one, two):
        torch.testing.assert_close(found, (first + second) / 2)


def test_a_step_of_one_task_has_no_penalty():
    toy = Toy('a')
    plain = torch.autograd.grad(toy.losses()[0], toy.params)
    for found, wanted in zip(toy.gradients(), plain):
        torch.testing.assert_close(found, wanted)
    assert 'penalty' not in toy.log


def test_an_unknown_layer_is_refused():
    with pytest.raises(ConfigError, match="layer is 'third'.*first"):
        Toy(layer='third')
