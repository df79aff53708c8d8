"""The training step against ``combine`` on explicit gradients, on a backbone of a few numbers."""

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from methods import CONFIGS, build, of_scaler, run_step
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from allinone.errors import ConfigError
from allinone.models.allinone import AllInOne
from allinone.step import BalancedStep, build_step
from allinone.step.comparison import compare

TASKS = ('a', 'b', 'c')


class Toy:
    """A backbone of two layers, three linear heads, and what a training step does with them."""

    def __init__(self, kind, grad_similarity_interval=0, **options):
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
        self.heads = nn.ModuleDict({task: nn.Linear(3, 1) for task in TASKS})
        self.balancer = build(kind, **options)
        self.balancer.bind(TASKS)
        params = [*self.backbone.parameters(), *self.heads.parameters()]
        self.wrapper = OptimWrapper(torch.optim.SGD(params, lr=0.1))
        self.step = build_step(
            self.balancer,
            self.backbone,
            dict(self.heads.items()),
            grad_similarity_interval=grad_similarity_interval,
        )
        self.number = 0

    def loss(self, task):
        data = torch.randn(
            8, 4, generator=torch.Generator().manual_seed(self.number * 7 + ord(task))
        )
        target = data.sum(1, keepdim=True) * (1 + TASKS.index(task))
        return (self.heads[task](self.backbone(data)) - target).square().mean()

    def train(self):
        log = self.run()
        gradients = [param.grad.clone() for param in self.backbone.parameters()]
        self.wrapper.optimizer.step()
        self.wrapper.zero_grad()
        self.number += 1
        return log, torch.cat([gradient.flatten() for gradient in gradients])

    def run(self, tasks=TASKS, wrapper=None):
        """An iteration without the optimizer's step; its log."""
        losses = {task: partial(self.loss, task) for task in tasks}
        return run_step(self.step, losses, wrapper or self.wrapper)

    def explicit(self):
        """Losses ``[K]``, backbone gradients ``[K, P]`` and head gradients of the next step."""
        losses = [self.loss(task) for task in TASKS]
        backbone = [
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(
                        loss, list(self.backbone.parameters()), retain_graph=True
                    )
                ]
            )
            for loss in losses
        ]
        heads = [
            torch.autograd.grad(loss, self.heads[task].weight)[0]
            for loss, task in zip(losses, TASKS)
        ]
        return torch.stack(losses).detach(), torch.stack(backbone), heads


@pytest.mark.parametrize('kind', CONFIGS)
@pytest.mark.parametrize('grad_similarity_interval', [0, 1])
def test_the_step_goes_through_combine(kind, grad_similarity_interval):
    toy = Toy(kind, grad_similarity_interval=grad_similarity_interval)
    if toy.balancer.regulariser is not None:
        # What it adds has tests of its own.
        toy.balancer.regulariser.alpha = 0.0
    twin = copy.deepcopy(toy.balancer)
    for _ in range(4):
        losses, gradients, heads = toy.explicit()
        expected, weights = twin.combine(losses, gradients)
        log = toy.run()
        found = torch.cat([param.grad.flatten() for param in toy.backbone.parameters()])
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        for task, head, weight in zip(TASKS, heads, weights):
            assert float(log[f'{task}/weight']) == pytest.approx(float(weight), rel=1e-3, abs=1e-5)
            scale = weight if toy.balancer.weighs_losses else 1
            torch.testing.assert_close(
                toy.heads[task].weight.grad, head * scale, rtol=1e-3, atol=1e-4
            )
        toy.wrapper.optimizer.step()
        toy.wrapper.zero_grad()
        toy.number += 1


@pytest.mark.parametrize('kind', ['Uncertainty', 'FAMO', 'GeometricMean', 'STCH'])
def test_loss_weightings_keep_no_gradients(kind):
    toy = Toy(kind)
    kept = []
    toy.step._begin = lambda *args: kept.append(BalancedStep._begin(toy.step, *args))
    toy.step._combine = lambda *args: kept.append(toy.step._gradients) or {}
    toy.run()
    assert kept == [None, None]


def test_gradnorm_measures_the_named_layer():
    toy = Toy('GradNorm', layer='2')
    losses, gradients, _ = toy.explicit()
    last = gradients[:, -(5 * 3 + 3) :]
    twin = build('GradNorm')
    twin.bind(TASKS)
    twin.update(losses, last @ last.T)
    toy.train()
    torch.testing.assert_close(toy.balancer.task_weights, twin.task_weights, rtol=1e-4, atol=1e-6)
    with pytest.raises(ConfigError, match=r"model.balancer.layer is 'last'.*\['0', '1', '2'\]"):
        Toy('GradNorm', layer='last')


@pytest.mark.parametrize(
    'kind',
    [
        'Uncertainty',
        'FAMO',
        'GradNorm',
        'GradVac',
        'PCGrad',
        'RandomWeights',
        'GradDrop',
        'SmoothedTaskWeights GradVac',
    ],
)
def test_a_step_that_mixed_precision_skips_is_not_learned_from(kind):
    toy = Toy(kind)
    toy.train()
    before = {name: value.clone() for name, value in toy.balancer.state_dict().items()}
    toy.heads['b'].weight.register_hook(lambda grad: grad * float('inf'))
    log = toy.run(wrapper=of_scaler(toy.wrapper, 8.0))
    assert all(log[f'{task}/weight'].isfinite() for task in TASKS)
    for name, value in toy.balancer.state_dict().items():
        assert torch.equal(value.nan_to_num(-7.0), before[name].nan_to_num(-7.0)), name


@pytest.mark.parametrize('kind', ['FairGrad', 'GradNorm', 'FAMO'])
def test_the_loss_scale_does_not_change_the_weights(kind):
    plain, scaled = Toy(kind), Toy(kind)
    for _ in range(3):
        expected, gradient = plain.train()
        log = scaled.run(wrapper=of_scaler(_Scaled(scaled.wrapper, 1024.0), 1024.0))
        found = torch.cat([param.grad.flatten() for param in scaled.backbone.parameters()]) / 1024
        torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-6)
        for param in [*scaled.backbone.parameters(), *scaled.heads.parameters()]:
            param.grad /= 1024
        scaled.wrapper.optimizer.step()
        scaled.wrapper.zero_grad()
        scaled.number += 1
        for name, value in expected.items():
            assert float(log[name]) == pytest.approx(float(value), rel=1e-3), name


class _Scaled:
    """An optimizer wrapper that scales losses as a loss scaler does."""

    def __init__(self, wrapper, scale, updates=True):
        self.inner_count = self._inner_count = wrapper.inner_count
        self.scale, self.updates = scale, updates

    def should_update(self):
        return self.updates

    def scale_loss(self, loss):
        return loss * self.scale

    def backward(self, loss, **kwargs):
        loss.backward()


@pytest.mark.parametrize('kind', ['FAMO', 'GeometricMean', 'GradNorm', 'UPGrad'])
def test_accumulating_the_same_batch_twice_is_one_step_of_it(kind):
    once, twice = Toy(kind), Toy(kind)
    for _ in range(3):
        expected, gradient = once.train()
        for updates in (False, True):
            log = twice.run(wrapper=_Scaled(twice.wrapper, 0.5, updates))
        found = torch.cat([param.grad.flatten() for param in twice.backbone.parameters()])
        torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-6)
        for name, value in expected.items():
            assert float(log[name]) == pytest.approx(float(value), rel=1e-4), name
        twice.wrapper.optimizer.step()
        twice.wrapper.zero_grad()
        twice.number += 1


def test_a_step_of_one_task_leaves_the_others_heads_alone():
    toy = Toy('FAMO')
    toy.train()
    log = toy.run(tasks='b')
    assert set(log) == {'b/weight', 'b/dropped'}
    assert toy.heads['a'].weight.grad is None
    assert toy.heads['b'].weight.grad.isfinite().all()


@pytest.mark.parametrize('kind', ['FAMO', 'GradNorm', 'UPGrad'])
def test_the_models_training_step(kind):
    """``AllInOne.train_step`` itself, around the toy backbone and heads."""
    toy = Toy(kind, grad_similarity_interval=2)
    model = SimpleNamespace(
        tasks=TASKS,
        _sources={},
        _step=toy.step,
        task_losses=lambda task, batch: toy.loss(task),
        parse_losses=lambda loss: (loss, dict(loss=loss)),
    )
    twin = copy.deepcopy(toy.balancer)
    for _ in range(3):
        losses, gradients, _ = toy.explicit()
        before = torch.cat([param.detach().flatten() for param in toy.backbone.parameters()])
        log = AllInOne.train_step(model, dict.fromkeys(TASKS), toy.wrapper)
        after = torch.cat([param.detach().flatten() for param in toy.backbone.parameters()])
        expected, weights = twin.combine(losses, gradients)
        torch.testing.assert_close((before - after) / 0.1, expected, rtol=1e-3, atol=1e-3)
        for task, weight in zip(TASKS, weights):
            assert float(log[f'{task}/weight']) == pytest.approx(float(weight), rel=1e-3)
        toy.number += 1


class ScalingWrapper(AmpOptimWrapper):
    """AmpOptimWrapper on the CPU: only its constructor insists on a GPU."""

    def __init__(self, optimizer):
        OptimWrapper.__init__(self, optimizer)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=1024.0)
        self._scale_update_param = None
        self.cast_dtype = torch.float32

    def optim_context(self, model):
        return OptimWrapper.optim_context(self, model)


def plain(loss):
    return loss


def overflowing(loss):
    """The loss, with a gradient that is not finite: of a square root at 0."""
    return loss + (loss - loss.detach()).square().sqrt()


@pytest.mark.parametrize('kind', ['FAMO', 'GradNorm', 'GradVac'])
def test_an_overflow_leaves_model_and_balancer_alone(kind):
    """The loss scaler skips the step, and the run goes on as if it had not been."""
    runs = []
    for overflows in (False, True):
        toy = Toy(kind)
        wrapper = ScalingWrapper(toy.wrapper.optimizer)
        # The scale after an overflow is half, which changes nothing else.
        model = SimpleNamespace(
            tasks=TASKS,
            _sources={},
            _step=toy.step,
            task_losses=lambda task, batch, toy=toy: batch(toy.loss(task)),
            parse_losses=lambda loss: (loss, dict(loss=loss)),
        )
        for number in range(4):
            if overflows and number == 2:
                before = copy.deepcopy((toy.backbone.state_dict(), toy.balancer.state_dict()))
                AllInOne.train_step(model, dict(a=plain, b=overflowing, c=plain), wrapper)
                for old, module in zip(before, (toy.backbone, toy.balancer)):
                    for name, value in module.state_dict().items():
                        assert torch.equal(value.nan_to_num(-7.0), old[name].nan_to_num(-7.0)), name
            toy.number = number
            AllInOne.train_step(model, dict.fromkeys(TASKS, plain), wrapper)
        runs.append(toy)
    for first, second in zip(runs[0].backbone.parameters(), runs[1].backbone.parameters()):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('kind', ['FixedWeights', 'GeometricMean', 'FAMO', 'GradNorm', 'PCGrad'])
def test_logged_norms_and_clipping_are_of_the_tasks_own_gradients(kind):
    """Neither a method's weights nor the clipping are in the one, nor the weights in the other."""
    toy = Toy(kind, grad_similarity_interval=1)
    toy.step.clip_grad_per_task = 1e-3
    _, backbone, heads = toy.explicit()
    log, _ = toy.train()
    for task, gradient in zip(TASKS, backbone):
        assert float(log[f'{task}/grad_norm']) == pytest.approx(float(gradient.norm()), rel=1e-4)
    plain = Toy(kind, grad_similarity_interval=1)
    plain.step.clip_grad_per_task = 1e-3
    log = plain.run()
    for task, head in plain.heads.items():
        norm = torch.cat([param.grad.flatten() for param in head.parameters()]).norm()
        weight = log[f'{task}/weight'] if plain.balancer.weighs_losses else 1.0
        assert norm <= 1e-3 * weight * 1.001


@pytest.mark.parametrize('accumulate, measured', [(1, [0, 4, 8]), (3, [2, 5, 8]), (2, [1, 5, 9])])
def test_every_interval_is_measured_whatever_the_accumulation(accumulate, measured):
    toy = Toy('FixedWeights', grad_similarity_interval=4)
    toy.wrapper._accumulative_counts = accumulate
    found = []
    for iteration in range(10):
        if 'cos/a-b' in toy.run():
            found.append(iteration)
    assert found == measured


def test_a_gradient_that_is_never_finite_does_not_stall_the_others_under_a_scaler():
    toy = Toy('FixedWeights')
    wrapper = ScalingWrapper(toy.wrapper.optimizer)
    model = SimpleNamespace(
        tasks=TASKS,
        _sources={},
        _step=toy.step,
        task_losses=lambda task, batch: batch(toy.loss(task)),
        parse_losses=lambda loss: (loss, dict(loss=loss)),
    )
    before = copy.deepcopy(toy.backbone.state_dict())
    for _ in range(14):
        log = AllInOne.train_step(model, dict(a=plain, b=overflowing, c=plain), wrapper)
    assert log['b/dropped'] and not log['a/dropped'] and float(log['b/weight']) == 0
    assert not torch.equal(before['0.weight'], toy.backbone.state_dict()['0.weight'])
    assert all(value.isfinite().all() for value in toy.backbone.state_dict().values())


def test_gradients_are_compared():
    rows = torch.tensor([[3.0, 4.0], [-4.0, 3.0], [0.0, 0.0], [-3.0, -4.0]])
    log = compare(4 * rows, 'abcd', torch.tensor(4.0))
    assert [log[f'{task}/grad_norm'].item() for task in 'abcd'] == [5, 5, 0, 5]
    cosines = {key[4:]: value.item() for key, value in log.items() if key.startswith('cos/')}
    assert cosines == {'a-b': 0, 'a-c': 0, 'a-d': -1, 'b-c': 0, 'b-d': 0, 'c-d': 0}
    assert {key for key, value in log.items() if key.startswith('grad_conflict/') and value} == {
        'grad_conflict/a-d'
    }


@pytest.mark.parametrize('kind, compared', [('PCGrad', [1, 1, 1]), ('FixedWeights', [1, 0, 1])])
def test_gradients_are_compared_when_kept_or_sampled(kind, compared):
    toy = Toy(kind, grad_similarity_interval=2)
    found = []
    for step in range(3):
        toy.wrapper._inner_count = step
        found.append(int('cos/a-b' in toy.train()[0]))
    assert found == compared
