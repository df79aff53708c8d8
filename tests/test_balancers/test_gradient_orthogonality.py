from functools import partial

import pytest
import torch
from methods import build, of_scaler, run_step
from mmengine.optim import OptimWrapper
from torch import nn

from allinone.balancers import combine
from allinone.errors import ConfigError
from allinone.step import build_step

GOLD = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])


class Scaled(OptimWrapper):
    """Backward passes as a loss scaler of 64 makes them; mmengine's needs CUDA."""

    def backward(self, loss, **kwargs):
        super().backward(64 * loss, **kwargs)


class Toy:
    """Backbone of two layers, of which task c sees the first only; nonlinear heads."""

    def __init__(self, tasks='abc', amp=False, accumulate=1, step=None, **options):
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)
        self.backbone = nn.ModuleDict(dict(first=self.first, second=self.second))
        self.heads = nn.ModuleDict({task: nn.Linear(6 if task == 'c' else 3, 1) for task in tasks})
        options = dict(dict(type='GradientOrthogonality', alpha=20.0), **options)
        self.balancer = build('Orthogonal', **options)
        self.balancer.bind(list(tasks))
        self.params = [*self.backbone.parameters(), *self.heads.parameters()]
        optimizer = torch.optim.SGD(self.params, lr=0.1)
        self.wrapper = (Scaled if amp else OptimWrapper)(optimizer, accumulative_counts=accumulate)
        self.step = build_step(
            self.balancer, self.backbone, dict(self.heads.items()), **(step or {})
        )

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
        if isinstance(self.wrapper, Scaled):
            of_scaler(self.wrapper, scale)
        for seed in seeds:
            losses = dict(zip(self.heads, self.losses(seed)))
            self.log = run_step(
                self.step, {task: partial(losses.get, task) for task in losses}, self.wrapper
            )
        found = [param.grad / scale for param in self.params]
        self.wrapper.zero_grad()
        return found

    def expected(self, layer, seed=0, weights=(1, 1, 1)):
        """Gradient of the weighted sum of losses and the penalty in one graph, and the penalty."""
        losses = self.losses(seed)
        rows = [
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, layer, create_graph=True)])
            for loss in losses
        ]
        units = torch.stack([row / row.norm() for row in rows])
        count = len(losses)
        penalty = (units @ units.T - torch.eye(count)).square().sum() * 20.0 / (count * (count - 1))
        weighted = sum(weight * loss for weight, loss in zip(weights, losses))
        return torch.autograd.grad(weighted + penalty, self.params), penalty


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
    assert value.item() == pytest.approx(0.5, abs=1e-6)
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
    parts = dict(toy.backbone.named_parameters())
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


@pytest.mark.parametrize(
    'cfg, own_pass',
    [
        (dict(type='FixedWeights', weights=[3, 1, 0.5]), False),
        (dict(type='GeometricMean'), True),
        (dict(type='GradNorm'), True),
    ],
)
@pytest.mark.parametrize('amp', [False, True])
def test_weights_of_losses_do_not_scale_the_penalty(cfg, own_pass, amp, monkeypatch):
    toy = Toy(balancer=cfg, amp=amp)
    passes = []
    gradients = toy.step._penalty.gradients
    monkeypatch.setattr(
        toy.step._penalty, 'gradients', lambda term: passes.append(term) or gradients(term)
    )
    found = toy.gradients(scale=64.0 if amp else 1.0)
    weights = [toy.log[f'{task}/weight'].item() for task in 'abc']
    expected, _ = toy.expected([toy.first.weight], weights=weights)
    for gradient, wanted in zip(found, expected):
        torch.testing.assert_close(gradient, wanted)
    assert len(passes) == (3 if own_pass else 0)


@pytest.mark.parametrize('kind', ['FixedWeights', 'GeometricMean', 'PCGrad'])
def test_comparing_gradients_changes_no_bit(kind):
    """What is compared are the gradients of the losses alone."""
    plain = Toy(balancer=dict(type=kind))
    watched = Toy(balancer=dict(type=kind), step=dict(grad_similarity_interval=1))
    expected = plain.gradients()
    assert all(torch.equal(*pair) for pair in zip(watched.gradients(), expected))
    backbone = list(watched.backbone.parameters())
    rows = [
        torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, backbone)])
        for loss in watched.losses()[:2]
    ]
    for task, row in zip('ab', rows):
        torch.testing.assert_close(watched.log[f'{task}/grad_norm'], row.norm())
    torch.testing.assert_close(watched.log['cos/a-b'], torch.cosine_similarity(*rows, dim=0))


def test_batch_norm_in_training_is_differentiated_twice():
    """Its running statistics, which the graphs hold, are moved by each task's forward pass."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    heads = nn.ModuleDict({task: nn.Linear(3, 1) for task in 'ab'})
    balancer = build('GradientOrthogonality', alpha=20.0)
    balancer.bind('ab')
    params = [*backbone.parameters(), *heads.parameters()]
    step = build_step(balancer, backbone, dict(heads.items()))
    wrapper = OptimWrapper(torch.optim.SGD(params, lr=0.1))
    data = dict(zip('ab', torch.randn(2, 8, 4)))

    def loss(task):
        return (torch.tanh(heads[task](backbone(data[task]))) - data[task][:, :1]).square().mean()

    run_step(step, {task: partial(loss, task) for task in 'ab'}, wrapper)
    moved = backbone[1].running_mean.clone()
    found = [param.grad for param in params]
    backbone[1].reset_running_stats()
    backbone[1].track_running_stats, backbone[1].running_mean = False, None
    losses = [loss(task) for task in 'ab']
    rows = [
        torch.autograd.grad(value, backbone[3].weight, create_graph=True)[0] for value in losses
    ]
    cosine = torch.cosine_similarity(*(row.flatten() for row in rows), dim=0)
    expected = torch.autograd.grad(sum(losses) + 20 * cosine.square(), params)
    for gradient, wanted in zip(found, expected):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)
    means = [backbone[0](data[task]).mean(0).detach() for task in 'ab']
    torch.testing.assert_close(moved, 0.9 * 0.1 * means[0] + 0.1 * means[1])


def test_clipping_a_task_does_not_clip_the_penalty():
    free, clipped = Toy(alpha=20.0), Toy(alpha=20.0, step=dict(clip_grad_per_task=1e-3))
    penalty = [a - b for a, b in zip(free.gradients(), Toy(alpha=0.0).gradients())]
    small = Toy(alpha=0.0, step=dict(clip_grad_per_task=1e-3)).gradients()
    for found, own, added in zip(clipped.gradients(), small, penalty):
        torch.testing.assert_close(found, own + added, rtol=1e-4, atol=1e-6)


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
