"""What holds for every method."""

import pytest
import torch
from methods import CONFIGS, GRADIENT_WEIGHTINGS, LOSS_WEIGHTINGS, build, cosine, draw

from allinone.balancers import combine

ALL = list(CONFIGS)
METHODS = [*LOSS_WEIGHTINGS, *GRADIENT_WEIGHTINGS]
RANDOM_ORDER = (
    'PCGrad',
    'GradVac',
    'GradDrop',
    'RandomWeights',
    'SmoothedTaskWeights GradVac',
    'UpdateEvery PCGrad',
    'Orthogonal PCGrad',
    'WarmUp GradDrop',
)


def step(balancer, losses, gradients, tasks=None):
    return balancer.combine(losses, gradients, tasks)


@pytest.mark.parametrize('kind', ALL)
def test_permuting_tasks_permutes_weights(kind):
    order = [2, 0, 1]
    plain, permuted = build(kind), build(kind)
    for seed in range(4):
        losses, gradients = draw(seed)
        expected, weights = step(plain, losses, gradients)
        if kind in RANDOM_ORDER:
            # Which draw goes to which task is part of the method: name the tasks.
            permuted.prepare(3)
            found, others = step(permuted, losses[order], gradients[order], order)
        else:
            found, others = step(permuted, losses[order], gradients[order])
        torch.testing.assert_close(others, weights[order], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('kind', ALL)
def test_one_task_is_plain_training(kind):
    balancer = build(kind)
    for seed in range(4):
        losses, gradients = draw(seed, tasks=1)
        found, weights = step(balancer, losses, gradients)
        assert torch.equal(found, gradients[0])
        assert weights.tolist() == [1]


@pytest.mark.parametrize('kind', ALL)
@pytest.mark.parametrize('tasks', [2, 5, 10])
def test_any_number_of_tasks(kind, tasks):
    balancer = build(kind)
    for seed in range(3):
        found, weights = step(balancer, *draw(seed, tasks, 30))
        assert found.shape == (30,) and weights.shape == (tasks,)
        assert found.isfinite().all() and weights.isfinite().all()


@pytest.mark.parametrize('kind', ALL)
@pytest.mark.parametrize('tasks', [[0], [2], [0, 2], [1, 2]])
def test_a_step_of_some_tasks(kind, tasks):
    balancer = build(kind)
    balancer.bind(['a', 'b', 'c'])
    for seed in range(3):
        losses, gradients = draw(seed)
        step(balancer, losses, gradients)
    losses, gradients = draw(9)
    found, weights = step(balancer, losses[tasks], gradients[tasks], tasks)
    assert weights.shape == (len(tasks),) and weights.isfinite().all()
    assert found.isfinite().all()


def state(balancer):
    return {name: value.clone() for name, value in balancer.state_dict().items()}


def same(first, second):
    return all(
        torch.equal(value.nan_to_num(-7.0), second[name].nan_to_num(-7.0))
        for name, value in first.items()
    )


# The number of the step goes on; the draws are of the step.
ADVANCES = ('RandomWeights', *(name for name in ALL if ' ' in name))


@pytest.mark.parametrize('kind', ALL)
@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_not_finite_gradients_are_neither_hidden_nor_learned(kind, bad):
    balancer = build(kind)
    for seed in range(2):
        step(balancer, *draw(seed))
    before = state(balancer)
    losses, gradients = draw(2)
    gradients[1, 3] = bad
    found, weights = step(balancer, losses, gradients)
    assert weights.isfinite().all()
    assert not found[3].isfinite()
    if balancer.requires != 'losses' and ' ' not in kind:
        assert same(before, state(balancer))
    if kind in GRADIENT_WEIGHTINGS:
        assert weights.tolist() == [1, 1, 1]
    found, weights = step(balancer, *draw(3))
    assert found.isfinite().all() and weights.isfinite().all()


@pytest.mark.parametrize('kind', ALL)
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_not_finite_losses(kind, bad):
    balancer, without = build(kind), build(kind)
    step(balancer, *draw(0)), step(without, *draw(0))
    before = state(balancer)
    losses, gradients = draw(1)
    losses[1] = bad
    _, weights = step(balancer, losses, gradients)
    assert weights.isfinite().all()
    if balancer.weighs_losses:
        _, others = step(without, losses[[0, 2]], gradients[[0, 2]], [0, 2])
        torch.testing.assert_close(weights[[0, 2]], others)
        torch.testing.assert_close(state(balancer), state(without), equal_nan=True)
    elif kind not in ADVANCES and kind != 'GradDrop':
        assert same(before, state(balancer))
    found, weights = step(balancer, *draw(2))
    assert found.isfinite().all() and weights.isfinite().all()


@pytest.mark.parametrize('kind', ALL)
def test_losses_of_zero_and_below(kind):
    balancer = build(kind)
    for losses in ([0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [-1.0, 1.0, 2.0]):
        found, weights = step(balancer, torch.tensor(losses), draw(0)[1])
        assert found.isfinite().all() and weights.isfinite().all()


@pytest.mark.parametrize('kind', GRADIENT_WEIGHTINGS)
def test_a_zero_gradient_is_left_out(kind):
    losses, gradients = draw(0)
    gradients[1] = 0
    balancer, without = build(kind), build(kind)
    without.prepare(3)
    found = combine(balancer, losses, gradients)
    expected, _ = step(without, losses[[0, 2]], gradients[[0, 2]], [0, 2])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.norm() > 0
    balancer, zero = build(kind), torch.zeros(3, 6)
    found, weights = step(balancer, losses, zero)
    assert (found == 0).all() and weights.isfinite().all()


@pytest.mark.parametrize('kind', ALL)
def test_identical_and_opposite_gradients(kind):
    balancer = build(kind)
    losses, gradients = draw(0)
    one = gradients[0]
    for _ in range(3):
        found, weights = step(balancer, losses, one.expand(3, -1).contiguous())
        assert weights.isfinite().all()
        assert cosine(found, one) == pytest.approx(1, abs=1e-5)
    for pair in (torch.stack([one, -one, one]), torch.stack([one, -2 * one, gradients[1]])):
        found, weights = step(balancer, losses, pair)
        assert found.isfinite().all() and weights.isfinite().all()


CONFLICT_AVERSE = [
    ('MGDA', {}),
    ('UPGrad', {}),
    ('CAGrad', dict(c=1.0)),
    ('CAGrad', dict(c=1.5)),
    ('NashMTL', {}),
    ('FairGrad', dict(alpha=1.0)),
    ('FairGrad', dict(alpha=2.0)),
]


@pytest.mark.parametrize('kind, options', CONFLICT_AVERSE)
@pytest.mark.parametrize('tasks', [2, 3, 6, 10])
def test_no_conflict_where_the_paper_promises_it(kind, options, tasks):
    for seed in range(15):
        losses, gradients = draw(seed, tasks, tasks + 3)
        gradients -= 0.5 * gradients.mean(0)
        gradients *= torch.logspace(-1, 1, tasks)[:, None]
        found = combine(build(kind, **options), losses, gradients).double()
        rows = gradients.double()
        assert found.norm() > 0
        assert ((rows @ found) / (rows.norm(dim=1) * found.norm())).min() > -1e-4


def test_pcgrad_of_two_tasks_has_no_conflict():
    for seed in range(20):
        losses, gradients = draw(seed, 2, 3)
        found = combine(build('PCGrad'), losses, gradients)
        assert (gradients @ found).min() > -1e-4 * found.norm() * gradients.norm(dim=1).max()


@pytest.mark.parametrize(
    'kind',
    [
        'NashMTL',
        'IMTLG',
        'IMTLL',
        'GeometricMean',
        'FAMO',
        'NormEqual',
        'DynamicWeightAverage',
        'FairGrad',
    ],
)
def test_multiplying_a_loss_leaves_the_direction(kind):
    """Of scale-invariant methods (IMTL-L and FAMO: the direction they end at, or start from)."""
    options = dict(FairGrad=dict(alpha=1.0)).get(kind, {})
    plain, scaled = build(kind, **options), build(kind, **options)
    factors = torch.tensor([1.0, 10.0, 0.1])
    if kind == 'IMTLL':
        plain.lr = scaled.lr = 0.1
    for seed in range(400 if kind == 'IMTLL' else 4):
        losses, gradients = draw(0 if kind == 'IMTLL' else seed)
        expected = combine(plain, losses, gradients)
        found = combine(scaled, losses * factors, gradients * factors[:, None])
    if kind == 'DynamicWeightAverage':
        torch.testing.assert_close(plain.weights(losses), scaled.weights(losses))
    else:
        assert cosine(found, expected) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    'kind',
    [
        'FixedWeights',
        'Uncertainty',
        'DynamicTaskPrioritization',
        'RandomWeights',
        'GradNorm',
        'CoBa',
        'PCGrad',
        'GradVac',
        'UPGrad',
    ],
)
def test_multiplying_a_loss_multiplies_its_part(kind):
    """Of the first step: weights do not look at a loss's size, projections only at directions.

    UPGrad's paper calls it linear under scaling.
    """
    for seed in range(5):
        found = []
        for factor in (1, 2, 4):
            losses, gradients = draw(seed)
            losses[1] *= factor
            gradients[1] *= factor
            found.append(combine(build(kind), losses, gradients))
        part = found[1] - found[0]
        assert part.norm() > 0.01
        torch.testing.assert_close(found[2] - found[1], 2 * part, rtol=1e-4, atol=1e-5)


def _shortest(rows):
    """MGDA of two gradients: the point of the line between them that is nearest to the origin."""
    first, second = rows
    share = (second - first) @ second / (second - first).square().sum()
    share = share.clamp(0, 1)
    return share * first + (1 - share) * second


def _aligned(rows):
    """Aligned-MTL: the mean of the rows, all singular values brought down to the least."""
    left, values, right = torch.linalg.svd(rows, full_matrices=False)
    return (values.min() * left @ right).mean(0)


def _averse(rows, c=0.5):
    """CAGrad by trying all mixtures of two gradients."""
    mean = rows.mean(0)
    share = torch.linspace(0, 1, 100_001, dtype=rows.dtype)[:, None]
    mixtures = share * rows[0] + (1 - share) * rows[1]
    worst = mixtures @ mean + c * mean.norm() * mixtures.norm(dim=1)
    mixture = mixtures[worst.argmin()]
    return mean + c * mean.norm() * mixture / mixture.norm()


@pytest.mark.parametrize(
    'kind, options, expected',
    [('MGDA', {}, _shortest), ('AlignedMTL', {}, _aligned), ('CAGrad', dict(c=0.5), _averse)],
)
def test_multiplying_a_loss_where_lengths_matter(kind, options, expected):
    """The direction turns, as the paper's formula says."""
    found = []
    for factor in (0.25, 1.0, 2.0, 8.0):
        rows = torch.tensor([[1.0, 0.0], [-1.0, 1.0]]) * torch.tensor([[factor], [1.0]])
        found.append(combine(build(kind, **options), torch.tensor([factor, 1.0]), rows))
        torch.testing.assert_close(
            found[-1].double(), expected(rows.double()), rtol=1e-3, atol=1e-4
        )
    assert cosine(found[0], found[-1]) < 0.99


@pytest.mark.parametrize('factor', [1.0, 3.0])
def test_multiplying_a_loss_changes_how_often_graddrop_keeps_its_sign(factor):
    """Of elements with gradients (factor, -1) a share of factor / (factor + 1)."""
    rows = torch.tensor([[factor], [-1.0]]).expand(2, 40_000).contiguous()
    found = combine(build('GradDrop'), torch.ones(2), rows)
    share = float((found == factor).float().mean())
    assert share == pytest.approx(factor / (factor + 1), abs=0.01)  # four standard deviations
    assert ((found == factor) | (found == -1)).all()


@pytest.mark.parametrize('kind', GRADIENT_WEIGHTINGS)
@pytest.mark.parametrize('factor', [1e-6, 1e-3, 1e4])
def test_multiplying_all_gradients_leaves_the_direction(kind, factor):
    losses, gradients = draw(1)
    expected = combine(build(kind), losses, gradients)
    found = combine(build(kind), losses, gradients * factor)
    assert cosine(found, expected) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize('seed', [0, 1])
def test_random_methods_follow_their_own_seed(seed):
    losses, gradients = draw(0, 5, 4)
    gradients -= gradients.mean(0)  # conflicts, so that PCGrad's order matters
    for kind in ('RandomWeights', 'GradDrop', 'PCGrad'):
        results = []
        for own, world in ((seed, 0), (seed, 1), (seed + 5, 0)):
            torch.manual_seed(world)
            results.append(combine(build(kind, seed=own), losses, gradients))
        assert torch.equal(results[0], results[1])
        assert not torch.equal(results[0], results[2])
    state = torch.get_rng_state()
    combine(build('GradDrop'), losses, gradients)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize('kind', ALL)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_loses_only_what_the_result_is_rounded_by(kind, dtype):
    half, exact = build(kind), build(kind)
    for seed in range(3):
        losses, gradients = draw(seed, 4, 200)
        gradients = (gradients * torch.tensor([[1.0], [0.03], [1.0], [3.0]])).to(dtype)
        losses = losses.to(dtype)
        found = combine(half, losses, gradients)
        expected = combine(exact, losses.double(), gradients.double())
    assert found.dtype == dtype
    assert (found.double() - expected).norm() < torch.finfo(dtype).eps / 2 * expected.norm()


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_weights_beyond_the_range_of_the_dtype(dtype):
    """FairGrad's equation for alpha 2 and one length n: weights n^(-4/3), products n^(2/3)."""
    size = {torch.float16: 1e-5, torch.float32: 1e-30}[dtype]
    gradients = (size * torch.eye(2)).to(dtype)
    size = float(gradients[0, 0])
    balancer = build('FairGrad', alpha=2.0)
    found, weights = balancer.combine(torch.ones(2), gradients)
    assert weights.isfinite().all() and weights.min() > torch.finfo(dtype).max / 10
    assert found.tolist() == pytest.approx([size ** (-1 / 3)] * 2, rel=1e-3)


def test_a_gradient_weighting_without_gradients_says_so():
    with pytest.raises(ValueError, match='PCGrad weighs by gradients'):
        build('PCGrad').weights(torch.ones(2))
