"""Factors of a task's loss by the source of its labels, against autograd and scaled losses."""

import pytest
import torch
from shared_model import TASKS, Capture, batch_of, difference, gradients, model_of, separate
from torch.testing import assert_close

from allinone.balancers import combine
from allinone.data.shared_sample import labelled_batch
from allinone.errors import ConfigError
from allinone.registry import BALANCERS

PARTIAL = ['det road', 'sem road cls', 'det cls', 'road', 'sem']
SOURCES = dict(street=TASKS)
WEIGHTS = dict(det=0.5, sem=3)
METHODS = ('FixedWeights', 'Uncertainty', 'FAMO', 'GeometricMean', 'PCGrad', 'MGDA', 'GradNorm')
PAIR = ('sem', 'cls')
ORTHOGONAL = dict(type='GradientOrthogonality', balancer=dict(type='FAMO'))


def trained(model, data, sources=None, weights=None, wrapper=None):
    """Gradients and log of a step."""
    model.bind_sources(sources or {task: (task,) for task in data}, weights)
    wrapper = wrapper or Capture(model)
    log = model.train_step(data, wrapper)
    return wrapper.grads, log


def with_scaled_losses(model, weights):
    """The model, whose heads themselves give losses times ``weights``."""
    losses_of_data = model.losses_of_data

    def scaled(task, data):
        return {
            name: value * weights.get(task, 1) if 'loss' in name else value
            for name, value in losses_of_data(task, data).items()
        }

    model.losses_of_data = scaled
    return model


def assert_same_log(log, other):
    assert log.keys() == other.keys()
    for key in log:
        assert_close(log[key], other[key], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('name', ['FixedWeights', 'MGDA'])
@pytest.mark.parametrize('shared', [True, False], ids=['shared', 'separate'])
def test_weights_of_1_change_no_bit(name, shared):
    batch = batch_of(PARTIAL)
    data = dict(street=batch) if shared else separate(batch)
    sources = SOURCES if shared else {task: (task,) for task in TASKS}
    ones = {source: dict.fromkeys(served, 1) for source, served in sources.items()}
    ours, log = trained(model_of(dict(type=name)), data, sources, ones)
    theirs, other = trained(model_of(dict(type=name)), data, sources)
    assert difference(ours, theirs) == 0
    assert log.keys() == other.keys() and all(torch.equal(log[key], other[key]) for key in log)


@pytest.mark.parametrize('shared', [True, False], ids=['shared', 'separate'])
def test_a_single_source_is_a_fixed_weight(shared):
    batch = batch_of(PARTIAL)
    data = dict(street=batch) if shared else separate(batch)
    weights = dict(street=WEIGHTS) if shared else {task: {task: WEIGHTS[task]} for task in WEIGHTS}
    ours, log = trained(model_of(), data, SOURCES if shared else None, weights)
    fixed = model_of(dict(type='FixedWeights', weights=WEIGHTS))
    theirs, other = trained(fixed, data, SOURCES if shared else None)
    assert difference(ours, theirs) < 1e-6
    assert_close(log['loss'], other['loss'])
    for task in TASKS:
        assert_close(log[f'{task}/loss'], WEIGHTS.get(task, 1) * other[f'{task}/loss'])
    assert_close(log['det/loss_bbox'], 0.5 * other['det/loss_bbox'])
    assert_close(log['sem/decode.acc_seg'], other['sem/decode.acc_seg'])


@pytest.mark.parametrize('name', METHODS)
def test_a_method_sees_the_weighted_losses(name):
    batch, balancer = dict(street=batch_of(PARTIAL)), dict(type=name)
    ours, log = trained(model_of(balancer), batch, SOURCES, dict(street=WEIGHTS))
    theirs, other = trained(with_scaled_losses(model_of(balancer), WEIGHTS), batch, SOURCES)
    assert difference(ours, theirs) < 1e-6
    assert_same_log(log, other)


@pytest.mark.parametrize(
    'balancer, options',
    [
        (ORTHOGONAL, {}),
        (dict(type='FAMO'), dict(clip_grad_per_task=0.1)),
        (dict(type='MGDA'), dict(grad_similarity_interval=1)),
    ],
    ids=['penalty', 'clipped', 'MGDA'],
)
def test_separate_sources(balancer, options):
    data = separate(batch_of(PARTIAL))
    weights = {task: {task: weight} for task, weight in WEIGHTS.items()}
    ours, log = trained(model_of(balancer, **options), data, None, weights)
    scaled = with_scaled_losses(model_of(balancer, **options), WEIGHTS)
    theirs, other = trained(scaled, data)
    assert difference(ours, theirs) < 1e-6
    assert_same_log(log, other)


@pytest.mark.parametrize(
    'balancer, options',
    [
        (dict(type='MGDA', gradients='features'), {}),
        (dict(type='FAMO'), dict(bn='per_task', norm=dict(type='BN'))),
    ],
    ids=['features', 'per_task'],
)
def test_other_ways_through_the_backbone(balancer, options):
    data = dict(street=batch_of(PARTIAL))
    ours, log = trained(model_of(balancer, **options), data, SOURCES, dict(street=WEIGHTS))
    scaled = with_scaled_losses(model_of(balancer, **options), WEIGHTS)
    theirs, other = trained(scaled, data, SOURCES)
    assert difference(ours, theirs) < 1e-6
    assert_same_log(log, other)


def by_autograd(model, parts):
    """Losses and gradients of ``{task: [(images, factor, batch)]}`` as the mean over its images."""
    params = dict(model.named_parameters())
    losses, rows = [], []
    for task, passes in parts.items():
        images = sum(number for number, _, _ in passes)
        loss = sum(
            number * factor * model.parse_losses(model.task_losses(task, batch))[0]
            for number, factor, batch in passes
        )
        loss = loss / images
        losses.append(loss.detach())
        grads = torch.autograd.grad(loss, list(params.values()), materialize_grads=True)
        rows.append(dict(zip(params, grads)))
    return torch.stack(losses), rows


@pytest.mark.parametrize(
    'name, micro_batches',
    [('FixedWeights', 1), ('Uncertainty', 2), ('FAMO', 1), ('FAMO', 2), ('PCGrad', 1), ('MGDA', 2)],
)
def test_two_sources_of_a_task(name, micro_batches):
    """(n1 L1 + 0.5 n2 L2) / (n1 + n2), here with 2 images of weight 1 and 3 of weight 0.5."""
    street, more = batch_of(['sem cls', 'cls', 'sem']), batch_of(['cls'] * 3, seed=1)
    more = labelled_batch(more, 'cls')
    cuts = [slice(0, 3)] if micro_batches == 1 else [slice(0, 2), slice(2, 3)]
    pieces = [{key: values[cut] for key, values in more.items()} for cut in cuts]
    model = model_of(dict(type=name), tasks=PAIR)
    ours, log = trained(
        model,
        dict(street=street, more=pieces),
        dict(street=PAIR, more=('cls',)),
        dict(more=dict(cls=0.5)),
    )
    losses, rows = by_autograd(
        model_of(tasks=PAIR),
        dict(sem=[(2, 1.0, street)], cls=[(2, 1.0, street), (3, 0.5, more)]),
    )
    assert_close([log[f'{task}/loss'] for task in PAIR], list(losses), check_dtype=False)
    names = [key for key in rows[0] if key.startswith('backbone')]
    flat = torch.stack([torch.cat([row[key].flatten() for key in names]) for row in rows])
    balancer = BALANCERS.build(dict(type=name))
    balancer.bind(PAIR)
    combined = combine(balancer, losses, flat)
    assert_close(torch.cat([ours[key].flatten() for key in names]), combined, rtol=1e-5, atol=1e-7)
    if name in ('FixedWeights', 'PCGrad', 'MGDA'):  # Whose heads have weight 1
        heads = [key for key in rows[1] if key.startswith('tasks.cls')]
        for key in heads:
            assert_close(ours[key], rows[1][key])


def test_sources_that_take_turns():
    """A task that is in one source in an iteration: its weight is not divided out."""
    more = labelled_batch(batch_of(['cls'] * 3, seed=1), 'cls')
    sources, weights = dict(street=PAIR, more=('cls',)), dict(more=dict(cls=0.25))
    ours, log = trained(model_of(tasks=PAIR), dict(more=more), sources, weights)
    theirs, other = trained(model_of(tasks=PAIR), dict(more=more), sources)
    assert difference(ours, {key: 0.25 * grad for key, grad in theirs.items()}) < 1e-6
    assert_close(log['cls/loss'], 0.25 * other['cls/loss'])
    assert log['cls/weight'] == other['cls/weight'] == 1


@pytest.mark.parametrize('name', ['FixedWeights', 'MGDA'])
def test_accumulated_batches(name):
    """Two iterations of an optimizer step."""
    found = []
    for model in model_of(dict(type=name)), with_scaled_losses(model_of(dict(type=name)), WEIGHTS):
        scaled = 'losses_of_data' in vars(model)
        model.bind_sources(SOURCES, None if scaled else dict(street=WEIGHTS))
        wrapper = Capture(model, accumulative_counts=2)
        wrapper.initialize_count_status(model, 0, 2)
        for seed in range(2):
            model.train_step(dict(street=batch_of(PARTIAL, seed=seed)), wrapper)
        found.append(wrapper.grads)
    assert difference(*found) < 1e-6


def test_a_loss_that_its_weight_makes_infinite_is_dropped():
    """The non-finite check sees the weighted loss."""
    weights = dict(street=dict(cls=1.7e308))
    ours, log = trained(model_of(), dict(street=batch_of(PARTIAL)), SOURCES, weights)
    assert [task for task in TASKS if log[f'{task}/dropped']] == ['cls']
    assert all(grad.isfinite().all() for grad in ours.values())
    assert not any(grad.any() for key, grad in ours.items() if key.startswith('tasks.cls'))


@pytest.mark.parametrize(
    'weights, sentence',
    [
        (
            dict(street=dict(cl=0.5)),
            "train_dataloader.street.label_weights has 'cl', which this source does not serve; do "
            "you mean 'cls'?",
        ),
        (
            dict(cls=dict(cls=0)),
            'train_dataloader.cls.label_weights.cls is 0; give a number above 0, or, if '
            "'cls' is not to train on this source, leave it out",
        ),
    ],
)
def test_weights_that_are_bound_to_a_model_are_checked(weights, sentence):
    with pytest.raises(ConfigError) as error:
        model_of().bind_sources(SOURCES, weights)
    assert str(error.value) == sentence


def test_sources_that_are_bound_again_lose_their_weights():
    batch = dict(street=batch_of(PARTIAL))
    model = model_of()
    trained(model, batch, SOURCES, dict(street=WEIGHTS))
    model.zero_grad()
    ours, _ = gradients(model, batch, SOURCES)
    theirs, _ = gradients(model_of(), batch, SOURCES)
    assert difference(ours, theirs) == 0
