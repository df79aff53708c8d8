"""A task whose loss or gradient is not finite is left out of its step, and of nothing else."""

from functools import partial

import pytest
import torch
from methods import GRADIENT_WEIGHTINGS, LOSS_WEIGHTINGS, WRAPPERS, build, run_step
from mmengine.optim import OptimWrapper
from torch import nn

from allinone.step import build_step
from allinone.step.non_finite import FiniteGuard, keep_if

TASKS = ('a', 'b', 'c')
NAN, INF = float('nan'), float('inf')


class Toy:
    """A backbone with batch norm and three heads."""

    def __init__(self, kind='FixedWeights', accumulate=1, **options):
        torch.manual_seed(0)
        self.backbone = nn.Sequential(
            # Before BN a bias has gradient 0, of whose rounding errors Adam would make steps.
            nn.Linear(4, 5, bias=False),
            nn.BatchNorm1d(5),
            nn.Linear(5, 3),
        )
        self.heads = nn.ModuleDict({task: nn.Linear(3, 1) for task in TASKS})
        self.balancer = build(kind)
        self.balancer.bind(TASKS)
        params = [*self.backbone.parameters(), *self.heads.parameters()]
        self.wrapper = OptimWrapper(
            torch.optim.Adam(params, lr=0.1),
            clip_grad=dict(max_norm=0.1),
            accumulative_counts=accumulate,
        )
        self.wrapper.initialize_count_status(nn.Linear(1, 1), 0, 100)
        self.step = build_step(self.balancer, self.backbone, dict(self.heads.items()), **options)

    def loss(self, task, number, spoil):
        generator = torch.Generator().manual_seed(number * 7 + ord(task))
        data = torch.randn(8, 4, generator=generator)
        if spoil == 'image' and task == 'c':
            data[0, 0] = INF
        found = self.heads[task](self.backbone(data))
        loss = (found - data.sum(1, keepdim=True)).square().mean()
        return spoil(loss, found) if callable(spoil) and task == 'c' else loss

    def train(self, number, tasks=TASKS, spoil=None):
        """``spoil(loss, prediction)`` stands for the loss of task c."""
        losses = {task: partial(self.loss, task, number, spoil) for task in tasks}
        log = run_step(self.step, losses, self.wrapper)
        if self.wrapper.should_update():
            self.wrapper.step()
            self.wrapper.zero_grad()
        return {task: bool(log[f'{task}/dropped']) for task in tasks}

    def shared(self, statistics=True):
        """All that the tasks a and b depend on."""
        state = self.backbone.state_dict()
        # Counts forward passes; used with momentum=None only.
        state.pop('1.num_batches_tracked')
        if not statistics:
            state.pop('1.running_mean'), state.pop('1.running_var')
        return [*state.values(), *self.heads['a'].parameters(), *self.heads['b'].parameters()]


SPOILT = {
    'a NaN loss': lambda loss, found: loss * NAN,
    'an infinite loss': lambda loss, found: loss / 0,
    # d sqrt(x) / dx at 0
    'a gradient': lambda loss, found: loss + ((found - found.detach()) ** 2).sum().sqrt(),
    'an image': 'image',
}


def validate(balancer):
    """Weights that differ, of methods that follow validation."""
    if balancer.uses_metrics:
        for kpi in (0.1, 0.2, 0.4):
            balancer.observe(torch.tensor([kpi, 0.5, 1 - kpi]))


@pytest.mark.parametrize(
    'kind', [*LOSS_WEIGHTINGS, *GRADIENT_WEIGHTINGS, 'GradientOrthogonality', *WRAPPERS]
)
@pytest.mark.parametrize('spoil', SPOILT.values(), ids=SPOILT)
def test_the_others_train_as_without_it(kind, spoil):
    spoilt, without = Toy(kind), Toy(kind)
    validate(spoilt.balancer), validate(without.balancer)
    # With a regulariser a gradient is seen too late for them (see FiniteGuard.after_forward).
    statistics = spoilt.balancer.regulariser is None or spoil is not SPOILT['a gradient']
    for number in range(5):
        if number in (1, 2, 3):
            assert spoilt.train(number, spoil=spoil) == dict(a=False, b=False, c=True)
            without.train(number, tasks=('a', 'b'))
        else:
            assert not any(spoilt.train(number).values())
            without.train(number)
        if number == 3:
            for found, wanted in zip(spoilt.shared(statistics), without.shared(statistics)):
                torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
            if spoilt.balancer.weighs_losses:
                found, wanted = (toy.balancer.state_dict() for toy in (spoilt, without))
                torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6, equal_nan=True)
    assert all(value.isfinite().all() for value in spoilt.heads['c'].parameters())
    assert all(value.isfinite().all() for value in spoilt.shared())


def test_only_the_bad_micro_step_is_left_out():
    spoilt, without = Toy(accumulate=2), Toy(accumulate=2)
    spoilt.train(0), without.train(0)
    spoilt.train(1, spoil=SPOILT['a NaN loss']), without.train(1, tasks=('a', 'b'))
    for found, wanted in zip(spoilt.shared(), without.shared()):
        torch.testing.assert_close(found, wanted)
    for found, wanted in zip(spoilt.heads['c'].parameters(), without.heads['c'].parameters()):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize('kind', ['FixedWeights', 'PCGrad', 'Uncertainty', 'GradDrop'])
def test_a_good_step_is_the_same_to_the_last_bit(kind):
    guarded, plain = Toy(kind), Toy(kind, skip_non_finite=False)
    for number in range(3):
        guarded.train(number), plain.train(number)
    assert all(torch.equal(a, b) for a, b in zip(guarded.shared(), plain.shared()))


@pytest.mark.parametrize(
    'value, finite', [(1e30, True), (-1e30, True), (-INF, False), (NAN, False)]
)
def test_a_huge_gradient_is_not_an_infinite_one(value, finite):
    """Its square is, in float32."""
    grads = [torch.tensor([0.5, value]), torch.tensor([1.0])]
    guard = FiniteGuard(nn.Linear(1, 1), {'a': nn.Linear(1, 1)})
    assert guard.after_backward(torch.tensor(1.0), grads).item() is finite
    assert grads[0].tolist() == (pytest.approx([0.5, value], rel=1e-6) if finite else [0, 0])
    assert grads[1].item() == float(finite)


def test_without_the_guard_it_spreads():
    toy = Toy(skip_non_finite=False)
    toy.train(0, spoil=SPOILT['a NaN loss'])
    assert not all(value.isfinite().all() for value in toy.shared())


@pytest.mark.parametrize('otherwise', [None, torch.arange(5.0)])
def test_the_choice_of_a_device_is_that_of_the_host(otherwise, monkeypatch):
    """Where asking would make the host wait, everything is selected by one mask."""
    given = [torch.tensor([[1.0, NAN]]), torch.tensor([2.0, INF, 3.0])]
    expected = [torch.zeros(1, 2), torch.zeros(3)]
    if otherwise is not None:
        expected = [otherwise[:2].view(1, 2), otherwise[2:]]
    kept = [torch.tensor([[1.0, 4.0]]), torch.tensor([2.0])]

    class OnDevice:
        """A condition that must not be read."""

        device = torch.device('meta')

        def __init__(self, value):
            self.value = torch.tensor(value)

        def __bool__(self):
            raise AssertionError('the host waited')

    where = torch.where
    monkeypatch.setattr(torch, 'where', lambda condition, *parts: where(condition.value, *parts))
    keep_if(OnDevice(True), kept)
    assert [value.tolist() for value in kept] == [[[1, 4]], [2]]
    keep_if(OnDevice(False), given, otherwise)
    assert all(torch.equal(a, b) for a, b in zip(given, expected))
