"""Saved in the middle and loaded into a fresh instance, a method goes on as if never stopped."""

import io

import pytest
import torch
from methods import CONFIGS, build, draw

from allinone.errors import ConfigError
from allinone.registry import BALANCERS

ALL = list(CONFIGS)
FOLLOWS_VALIDATION = ('DynamicTaskPrioritization', 'CoBa')
SUBSETS = ([0, 1, 2], [1], [0, 2], [0, 1, 2])


def go_on(balancer, first, last, subsets=False):
    results = []
    for seed in range(first, last):
        losses, gradients = draw(seed)
        tasks = SUBSETS[seed % 4] if subsets else None
        chosen = tasks or [0, 1, 2]
        results += balancer.combine(losses[chosen], gradients[chosen], tasks)
        if seed % 2 and hasattr(balancer, 'observe') and type(balancer).__name__ != 'FAMO':
            balancer.observe(torch.rand(3, generator=torch.Generator().manual_seed(seed)))
    return results


def reload(balancer, kind, bound):
    """Through a file, with ``weights_only``, into a fresh instance."""
    file = io.BytesIO()
    torch.save(balancer.state_dict(), file)
    file.seek(0)
    fresh = build(kind)
    if bound:
        fresh.bind(['a', 'b', 'c'])
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


@pytest.mark.parametrize('kind', ALL)
@pytest.mark.parametrize('bound', [True, False])
@pytest.mark.parametrize('stop', [0, 1, 4, 7])
def test_resuming_equals_never_stopping(kind, bound, stop):
    plain, stopped = build(kind), build(kind)
    for balancer in (plain, stopped):
        if bound:
            balancer.bind(['a', 'b', 'c'])
    expected = go_on(plain, 0, 12, bound)
    found = go_on(stopped, 0, stop, bound)
    found += go_on(reload(stopped, kind, bound), stop, 12, bound)
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected))


@pytest.mark.parametrize('kind', ALL)
def test_the_state_is_tensors_of_constant_shape_and_no_parameter(kind):
    """As mmengine's checkpoints, EMA hook and optimizers need it."""
    balancer = build(kind)
    balancer.bind(['a', 'b', 'c'])
    shapes = {name: value.shape for name, value in balancer.state_dict().items()}
    go_on(balancer, 0, 6)
    assert {name: value.shape for name, value in balancer.state_dict().items()} == shapes
    assert not list(balancer.parameters())


@pytest.mark.parametrize('kind', ALL)
def test_weights_alone_change_nothing(kind):
    balancer = build(kind)
    go_on(balancer, 0, 3)
    before = {name: value.clone() for name, value in balancer.state_dict().items()}
    losses, gradients = draw(5)
    first = balancer.weights(losses, gradients @ gradients.T)
    second = balancer.weights(losses, gradients @ gradients.T)
    assert torch.equal(first, second)
    assert all(
        torch.equal(value.nan_to_num(-7.0), balancer.state_dict()[name].nan_to_num(-7.0))
        for name, value in before.items()
    )


def test_a_state_of_other_tasks_is_refused():
    saved = build('FAMO')
    saved.bind(['a', 'b'])
    fresh = build('FAMO')
    fresh.bind(['a', 'b', 'c'])
    with pytest.raises(RuntimeError, match='size mismatch'):
        fresh.load_state_dict(saved.state_dict())
    with pytest.raises(RuntimeError, match='steps'):
        build('PCGrad').load_state_dict({})


def test_last_known_losses_stand_in_for_tasks_not_named():
    """One task a step: the geometric mean is of the last losses, FAMO's constant too."""
    balancer = build('GeometricMean')
    balancer.bind(['a', 'b'])
    gradients = torch.eye(2)
    _, first = balancer.combine(torch.tensor([4.0]), gradients[:1], [0])
    assert first.tolist() == [1]  # b was not seen: the mean of a alone
    _, second = balancer.combine(torch.tensor([1.0]), gradients[:1], [1])
    assert float(second) == pytest.approx((4 * 1) ** 0.5 / 2)
    famo = build('FAMO')
    famo.bind(['a', 'b'])
    famo.combine(torch.tensor([2.0]), gradients[:1], [0])
    _, weight = famo.combine(torch.tensor([8.0]), gradients[:1], [1])
    assert float(weight) == pytest.approx(0.2)


def test_kpi_methods_read_validation():
    metrics = {'a/top1': 0.01, 'b/mAP': 1}
    balancer = build('DynamicTaskPrioritization', metrics=metrics, gamma=2)
    balancer.bind(['a', 'b'])
    balancer.start(10, ['a', 'b'])
    assert balancer.uses_metrics
    balancer.after_validation({'a/top1': 90.0, 'b/mAP': 0.3, 'score': 1.0})
    weights = balancer.weights(torch.ones(2))
    torch.testing.assert_close(weights, torch.tensor([0.00105, 0.58995]), rtol=0, atol=1e-4)
    wrapped = build('SmoothedTaskWeights', balancer=dict(type='CoBa', metrics=metrics))
    wrapped.bind(['a', 'b'])
    assert wrapped.uses_metrics
    for metric in (10.0, 20.0, 40.0):
        wrapped.after_validation({'a/top1': metric, 'b/mAP': 0.1})
    assert wrapped.inner.task_weights[1] > wrapped.inner.task_weights[0]
    balancer.after_validation({'a/top1': float('nan'), 'b/mAP': 0.3})
    assert balancer.weights(torch.ones(2)).isfinite().all()


@pytest.mark.parametrize(
    'metrics, evaluated, message',
    [
        (None, ['a', 'b'], 'metrics is not set'),
        ({'a/x': 1, 'b/y': 1}, ['a'], r"\['b/y'\].*\['a'\]"),
    ],
)
def test_kpis_are_checked_at_the_start(metrics, evaluated, message):
    balancer = build('CoBa', metrics=metrics)
    balancer.bind(['a', 'b'])
    with pytest.raises(ConfigError, match=message):
        balancer.start(10, evaluated)


def test_kpis_that_validation_lacks_are_named():
    balancer = build('CoBa', metrics={'a/x': 1, 'b/y': 1})
    balancer.bind(['a', 'b'])
    with pytest.raises(ConfigError, match=r"\['b/y'\].*\['a/x', 'b/z'\]"):
        balancer.after_validation({'a/x': 1.0, 'b/z': 1.0})


def test_a_kpi_that_is_no_fraction_is_refused():
    """A metric in percent taken as a fraction would end its task's training without a word."""
    balancer = build('DynamicTaskPrioritization', metrics={'a/top1': 1, 'b/mAP': 1})
    balancer.bind(['a', 'b'])
    balancer.after_validation({'a/top1': 1.00001, 'b/mAP': -1.0})  # COCO: there is nothing to find
    with pytest.raises(ConfigError, match=r"metrics\['a/top1'\] is 1, which makes 90 of 90"):
        balancer.after_validation({'a/top1': 90.0, 'b/mAP': 0.3})


def test_wrappers():
    losses, gradients = draw(0)
    product = gradients @ gradients.T
    inner = BALANCERS.build(dict(type='FairGrad'))
    smoothed = build('SmoothedTaskWeights', balancer=dict(type='FairGrad'), momentum=0.75)
    first = smoothed.weights(losses, product)
    smoothed.update(losses, product)
    torch.testing.assert_close(first, inner.weights(losses, product))
    torch.testing.assert_close(
        smoothed.weights(losses, 4 * product),
        0.75 * first + 0.25 * inner.weights(losses, 4 * product),
    )
    every = build('UpdateEvery', balancer=dict(type='FairGrad'), interval=3)
    found = [every.combine(losses, gradients * scale)[1] for scale in (1.0, 2.0, 3.0, 4.0)]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[3])
    warm = build('WarmUp', balancer=dict(type='GeometricMean'), length=2, weights=[1, 2, 3])
    found = [warm.combine(losses, gradients)[1] for _ in range(3)]
    assert found[0].tolist() == found[1].tolist() == [1, 2, 3]
    torch.testing.assert_close(
        found[2], BALANCERS.build(dict(type='GeometricMean')).weights(losses)
    )
    assert warm.weighs_losses and not every.weighs_losses and every.requires == 'gramian'
