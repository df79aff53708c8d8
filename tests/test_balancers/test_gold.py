"""Cases worked out by hand, each through the function that a training step goes through."""

import pytest
import torch
from methods import build
from torchjd.scalarization import IMTLL, STCH, UW, GeometricMean

from allinone.balancers import combine

LOSSES = torch.tensor([2.0, 8.0])
GRADIENTS = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
ORTHOGONAL = torch.eye(2)


def close(found, expected, atol=1e-4):
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=atol)


@pytest.mark.parametrize(
    'kind, options, expected',
    [
        ('MGDA', {}, [0.2, 0.4]),
        ('PCGrad', {}, [0.5, 1.5]),
        ('GradVac', {}, [0.5, 1.5]),
        ('CAGrad', dict(c=0.5), [0.25, 0.5]),
        ('CAGrad', dict(c=0.5, rescale=True), [0.2, 0.4]),
        ('CAGrad', dict(c=0), [0.0, 0.5]),
        ('IMTLG', {}, [0.1716, 0.4142]),
        ('FairGrad', dict(alpha=1), [0.5412, 1.3066]),
        ('FairGrad', dict(alpha=2), [0.6782, 1.4958]),
        ('NashMTL', {}, [0.3827, 0.9239]),  # FairGrad's at length 1
        ('NashMTL', dict(max_norm=10), [0.5412, 1.3066]),
        ('AlignedMTL', {}, [0.1382, 0.4146]),
        ('UPGrad', {}, [0.25, 0.75]),
        ('NormEqual', dict(norm=2.0), [2 - 2**0.5, 2**0.5]),
        ('FixedWeights', dict(weights=[1, 3]), [-2.0, 3.0]),
    ],
)
def test_gradient_weightings(kind, options, expected):
    close(combine(build(kind, **options), losses=LOSSES, gradients=GRADIENTS), expected)


@pytest.mark.parametrize(
    'kind, gradients, weights, expected',
    [
        # No d has equal projections but 0.
        ('IMTLG', [[3, 4], [-3, -4]], [0, 0], [0, 0]),
        ('IMTLG', [[3, 4], [-6, -8]], [0, 0], [0, 0]),
        ('IMTLG', [[3, 4], [-3e-4, -4e-4]], [0, 0], [0, 0]),
        # One direction: v = 1/3 each, weights v over the lengths 5, 10, 15, that is 6 : 3 : 2.
        (
            'IMTLG',
            [[3, 4], [6, 8], [9, 12]],
            [6 / 11, 3 / 11, 2 / 11],
            [54 / 11, 72 / 11],
        ),
        # Lengths 1e4 apart, at right angles: v = 1 each.
        ('IMTLG', [[1, 0], [0, 1e4]], [1 / 1.0001, 1e-4 / 1.0001], [1 / 1.0001] * 2),
        # The third is the sum of the others: C = [[1, 0, s], [0, 1, s], [s, s, 1]], s = 1/sqrt 2,
        # has 0 along (1, 1, -1/s) and 2 along (s, s, 1), so v = (1, 1, 2 s) (2 s + 1) / 4 s
        # weighed by 1, 1, s: shares 1, 1, 1.
        ('IMTLG', [[1, 0], [0, 1], [1, 1]], [1 / 3] * 3, [2 / 3, 2 / 3]),
        # The gradients' one axis is brought to itself: d is the mean.
        ('AlignedMTL', [[3, 4], [-3, -4]], [0, 0], [0, 0]),
        ('AlignedMTL', [[3, 4], [-6, -8]], [-0.1, 0.2], [-1.5, -2]),
        ('AlignedMTL', [[3, 4], [3, 4]], [0.5, 0.5], [3, 4]),
        # Axes as they are, both brought to length 1.
        ('AlignedMTL', [[1, 0], [0, 1e4]], [0.5, 0.5e-4], [0.5, 0.5]),
        ('AlignedMTL', [[1e-4, 0], [0, 1e4]], [0.5, 0.5e-8], [0.5e-4, 0.5e-4]),
        # G = [[1, 0, 1], [0, 1, 1], [1, 1, 2]] has 1 along (1, -1, 0) and 3 along (1, 1, 2):
        # w = V V^T p with roots 1 and sqrt 3 is (1, 1, 2) 4 / (18 sqrt 3).
        (
            'AlignedMTL',
            [[1, 0], [0, 1], [1, 1]],
            [2 / 9 / 3**0.5, 2 / 9 / 3**0.5, 4 / 9 / 3**0.5],
            [2 / 3 / 3**0.5] * 2,
        ),
    ],
)
def test_dependent_gradients_and_lengths_far_apart(kind, gradients, weights, expected):
    for dtype in (torch.float32, torch.float64):
        rows = torch.tensor(gradients, dtype=dtype)
        losses = torch.ones(len(rows), dtype=dtype)
        found = build(kind).combine(losses, rows)
        assert found[1].tolist() == pytest.approx(weights, rel=1e-4, abs=1e-9)
        assert found[0].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_pcgrad_weights():
    gramian = GRADIENTS @ GRADIENTS.T
    close(build('PCGrad').weights(LOSSES, gramian), [2.0, 1.5])


@pytest.mark.parametrize(
    'normalizer, scale',
    [('l2', [1, 2**-0.5]), ('loss', [1 / 2, 1 / 8]), ('loss+', [0.5, 0.088388])],
)
def test_mgda_normalisers(normalizer, scale):
    """The closed form for two tasks on the scaled gradients; its weights are of the originals."""
    g1, g2 = (g * s for g, s in zip(GRADIENTS, scale))
    first = ((g2 - g1) @ g2 / (g1 - g2).square().sum()).clamp(0, 1)
    found = build('MGDA', normalizer=normalizer).weights(LOSSES, GRADIENTS @ GRADIENTS.T)
    close(found, [float(first), 1 - float(first)])


def test_graddrop_keeps_one_sign():
    """Of (1, -1) either the 1 or the -1 is kept, half the time each; of (0, 1) always the 1."""
    balancer = build('GradDrop')
    found = torch.stack([combine(balancer, LOSSES, GRADIENTS) for _ in range(400)])
    assert set(found[:, 0].tolist()) == {1.0, -1.0}
    assert (found[:, 1] == 1).all()
    assert abs(float(found[:, 0].mean())) < 0.15
    three_to_one = torch.tensor([[3.0], [-1.0]])
    found = torch.stack([combine(balancer, LOSSES, three_to_one) for _ in range(400)])
    # Positive with probability (1 + (3 - 1) / 4) / 2.
    assert float((found == 3).float().mean()) == pytest.approx(0.75, abs=0.07)


def test_uncertainty():
    balancer = build('Uncertainty')
    weights = balancer.weights(LOSSES)
    assert float((weights * LOSSES).sum() + balancer.log_variance.sum() / 2) == pytest.approx(5)
    close(combine(balancer, LOSSES, ORTHOGONAL), [0.5, 0.5])
    # Both losses are above 1, so both noises grow; the first step of Adam is the rate itself.
    close(balancer.log_variance, [0.01, 0.01])
    kinds = build('Uncertainty', classification=[1])
    close(kinds.weights(LOSSES), [0.5, 1.0])


def test_uncertainty_and_imtl_l_end_where_the_paper_says():
    uncertainty, scales = build('Uncertainty', lr=0.05), build('IMTLL', lr=0.05)
    for _ in range(1500):
        uncertainty.update(LOSSES)
        scales.update(LOSSES)
    close(uncertainty.log_variance, LOSSES.log().tolist(), atol=1e-2)
    close(scales.weights(LOSSES) * LOSSES, [1.0, 1.0], atol=1e-2)


def test_dynamic_task_prioritization():
    balancer = build('DynamicTaskPrioritization', gamma=2)
    balancer.observe(torch.tensor([0.9, 0.3]))
    close(combine(balancer, LOSSES, ORTHOGONAL), [0.00105, 0.58995])
    # Half of the new metric, half of the old.
    balancer.observe(torch.tensor([0.5, 0.3]))
    close(balancer.kpis, [0.7, 0.3])


def test_dynamic_weight_average():
    balancer = build('DynamicWeightAverage', interval=1)
    close(combine(balancer, torch.tensor([4.0, 4.0]), ORTHOGONAL), [1.0, 1.0])
    close(combine(balancer, torch.tensor([2.0, 3.0]), ORTHOGONAL), [1.0, 1.0])
    close(combine(balancer, torch.tensor([9.0, 9.0]), ORTHOGONAL), [0.9376, 1.0624])
    epochs = build('DynamicWeightAverage', interval=2)
    for losses in ([3.0, 5.0], [5.0, 3.0], [1.0, 4.0], [3.0, 2.0]):
        combine(epochs, torch.tensor(losses), ORTHOGONAL)
    close(epochs.weights(LOSSES), [0.9376, 1.0624])


def test_gradnorm():
    balancer = build('GradNorm')
    # Norms alike and losses as at first: nothing to change.
    close(combine(balancer, torch.tensor([1.0, 2.0]), ORTHOGONAL), [1.0, 1.0])
    close(
        combine(balancer, torch.tensor([0.5, 2.0]), torch.diag(torch.tensor([3.0, 1.0]))),
        [3.0, 1.0],
    )
    close(balancer.weights(LOSSES, ORTHOGONAL), [0.94872, 1.05128], atol=1e-5)


def test_famo():
    balancer = build('FAMO')
    # c z / L with z = 1/2 each and c = 1 / (1/4 + 1/16).
    close(combine(balancer, LOSSES, ORTHOGONAL), [0.8, 0.2])
    combine(balancer, torch.tensor([1.0, 8.0]), ORTHOGONAL)
    close(torch.softmax(balancer.logits, 0), [0.4875, 0.5125])
    exact = build('FAMO')
    combine(exact, LOSSES, ORTHOGONAL)
    exact.observe(torch.tensor([1.0, 8.0]))
    close(torch.softmax(exact.logits, 0), [0.4875, 0.5125])


def test_coba():
    """Task a falls by 0.2 a validation (relative to the first), b by 0.1."""
    balancer = build('CoBa')
    for kpis in ([0.0, 0.0], [0.2, 0.1], [0.4, 0.2]):
        balancer.observe(torch.tensor(kpis))
    slopes = torch.tensor([-0.2, -0.1])
    relative = torch.softmax(2 * slopes / 0.3, 0)
    absolute = torch.softmax(torch.tensor([1.0, 1.0]), 0)  # N = 2 slopes, all alike
    divergence = 1.0  # min(2 * softmax((5, 5)), 1)
    expected = 2 * (divergence * relative + (1 - divergence) * absolute)
    close(combine(balancer, LOSSES, ORTHOGONAL), expected.tolist())
    assert expected[1] > expected[0]
    # b begins to diverge: the weight turns away from it.
    before = balancer.task_weights.clone()
    for kpis in ([0.6, -0.2], [0.8, -1.0], [0.9, -3.0]):
        balancer.observe(torch.tensor(kpis))
    assert balancer.task_weights[1] < before[1]
    assert balancer.task_weights.sum() == pytest.approx(2)
    assert balancer.task_weights.min() >= 0.1 * 0.8


def test_random_weights_lie_on_the_simplex():
    balancer = build('RandomWeights')
    found = torch.stack([combine(balancer, LOSSES, ORTHOGONAL) for _ in range(500)])
    torch.testing.assert_close(found.sum(1), torch.ones(500))
    # softmax of two normal draws is the logistic function of N(0, 2)
    logits = (found[:, 0] / found[:, 1]).log()
    assert float(logits.mean()) == pytest.approx(0, abs=0.25)
    assert float(logits.std()) == pytest.approx(2**0.5, rel=0.15)


@pytest.mark.parametrize(
    'kind, options, reference',
    [
        ('GeometricMean', {}, GeometricMean()),
        ('STCH', dict(mu=0.5), STCH(0.5)),
        ('STCH', dict(mu=0.1), STCH(0.1)),
        (
            'STCH',
            dict(mu=2, preference=[0.3, 0.5, 0.2], reference=[0.1, 0, 0.4]),
            STCH(2.0, torch.tensor([0.3, 0.5, 0.2]), torch.tensor([0.1, 0, 0.4])),
        ),
        ('Uncertainty', {}, UW(3)),
        ('IMTLL', {}, IMTLL(3)),
    ],
)
def test_same_weights_as_torchjd(kind, options, reference):
    losses = torch.tensor([2.0, 0.5, 1.3], requires_grad=True)
    (expected,) = torch.autograd.grad(reference(losses), losses)
    balancer = build(kind, **options, **({'log': False} if kind == 'STCH' else {}))
    if kind == 'STCH':
        balancer.reference = options.get('reference')
    torch.testing.assert_close(balancer.weights(losses.detach()), expected)
    balancer.update(losses.detach() * 1.5)  # exponents are relative to another maximum now
    if kind in ('STCH', 'GeometricMean'):
        torch.testing.assert_close(balancer.weights(losses.detach()), expected)
