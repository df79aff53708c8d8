"""The small optimisation problems against brute force and their optimality conditions."""

import itertools

import numpy as np
import pytest
import torch
from methods import build, cosine

from allinone.balancers import combine
from allinone.balancers.solvers.correlation import points_of
from allinone.balancers.solvers.simplex import nearest_to_origin

LOSSES = torch.ones(10).double()


def hard_gradients(seed, tasks):
    """Conflicting gradients of very different lengths, some of them dependent."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(tasks, max(3, tasks - seed % 3)))
    rows -= generator.uniform(0, 1) * rows.mean(0)
    return torch.from_numpy(rows * 10 ** generator.uniform(-1.5, 1.5, size=(tasks, 1)))


def simplex_grid(tasks, steps):
    if tasks == 2:
        first = np.linspace(0, 1, steps)
        return np.stack([first, 1 - first], 1)
    grid = np.array([(a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)])
    return grid / steps


@pytest.mark.parametrize('tasks, steps', [(2, 200_001), (3, 700)])
@pytest.mark.parametrize('seed', range(6))
def test_mgda_and_cagrad_beat_every_point_of_a_fine_grid(tasks, steps, seed):
    rows = hard_gradients(seed, tasks).numpy()
    grid = simplex_grid(tasks, steps)
    inside = grid @ rows
    lengths = np.linalg.norm(inside, axis=1)
    found = combine(build('MGDA'), LOSSES[:tasks], torch.from_numpy(rows)).numpy()
    assert np.linalg.norm(found) <= lengths.min() * (1 + 1e-9) + 1e-12
    for c in (0.3, 1.0, 2.0):
        mean = rows.mean(0)
        radius = c * np.linalg.norm(mean)
        values = inside @ mean + radius * lengths
        best = inside[values.argmin()]
        found = combine(build('CAGrad', c=c), LOSSES[:tasks], torch.from_numpy(rows)).numpy()
        worst = (rows @ found).min()
        # Strong duality: the worst decrease of d is the least value over the simplex.
        scale = np.linalg.norm(mean) * np.linalg.norm(rows, axis=1).max()
        assert worst <= values.min() + 1e-6 * scale
        assert worst >= values.min() - 1e-3 * scale
        # Not where g_0 and the rest nearly cancel, for there the grid is too coarse.
        if min(np.linalg.norm(best), np.linalg.norm(found)) > 0.05 * np.linalg.norm(mean):
            expected = mean + radius * best / np.linalg.norm(best)
            assert cosine(torch.from_numpy(found), torch.from_numpy(expected)) > 1 - 1e-4


@pytest.mark.parametrize('tasks', range(2, 11))
@pytest.mark.parametrize('seed', range(6))
def test_mgda_meets_the_optimality_conditions(tasks, seed):
    """The nearest point x of a hull: x . g_k >= |x|^2 for every k."""
    rows = hard_gradients(seed, tasks)
    weights = build('MGDA').weights(LOSSES[:tasks], rows @ rows.T)
    found = weights @ rows
    assert weights.min() >= 0 and float(weights.sum()) == pytest.approx(1)
    lengths = rows.norm(dim=1)
    slack = (rows @ found - found @ found) / (lengths * max(found.norm(), 1e-6 * lengths.min()))
    assert slack.min() > -1e-5
    active = weights > 1e-9
    assert (
        (rows @ found - found @ found)[active].abs() <= 1e-6 * lengths[active] * lengths.min()
    ).all()


@pytest.mark.parametrize('tasks', range(2, 11))
@pytest.mark.parametrize('seed', range(6))
def test_cagrad_meets_the_optimality_conditions(tasks, seed):
    """d lies in the ball, and its worst decrease is the value of the dual problem at its w."""
    rows = hard_gradients(seed, tasks)
    mean = rows.mean(0)
    for c in (0.4, 1.0):
        weights = build('CAGrad', c=c).weights(LOSSES[:tasks], rows @ rows.T)
        found = weights @ rows
        radius = c * mean.norm()
        assert (found - mean).norm() <= radius * (1 + 1e-6)
        dual = weights - 1 / tasks  # radius / |g_w| times w
        assert dual.min() > -1e-9 * dual.abs().max()
        combination = dual / dual.sum() @ rows
        value = combination @ mean + radius * combination.norm()
        gap = value - (rows @ found).min()
        # Relative to the shortest gradient, whose decrease is the binding one.
        if found.norm() > 1e-4 * mean.norm():
            assert gap <= 1e-5 * rows.norm(dim=1).min() * found.norm()
        else:  # On the Pareto front d is 0 but for rounding.
            assert gap <= 1e-4 * rows.norm(dim=1).max() * mean.norm()


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('tasks', [2, 3])
def test_upgrad_against_all_faces_of_the_cone(tasks, seed):
    """The projection is that on one of the cone's faces; try them all."""
    rows = hard_gradients(seed, tasks).numpy()
    expected = np.zeros(rows.shape[1])
    for gradient in rows:
        candidates = []
        for size in range(tasks + 1):
            for face in itertools.combinations(range(tasks), size):
                active = rows[list(face)]
                point = gradient - np.linalg.pinv(active) @ (active @ gradient)
                if (rows @ point >= -1e-9 * np.linalg.norm(rows, axis=1)).all():
                    candidates.append((np.linalg.norm(point - gradient), tuple(point)))
        expected += np.array(min(candidates)[1]) / tasks
    found = combine(build('UPGrad'), LOSSES[:tasks], torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.linalg.norm(rows))


@pytest.mark.parametrize('tasks', range(2, 11))
@pytest.mark.parametrize('seed', range(6))
def test_upgrad_meets_the_optimality_conditions(tasks, seed):
    """Each projection p of g: p . g_k >= 0, p - g in the cone of the g_k, and orthogonal to p."""
    from allinone.balancers.solvers.simplex import project_to_dual_cone

    rows = hard_gradients(seed, tasks).numpy()
    points = points_of(rows @ rows.T)
    lengths = np.linalg.norm(rows, axis=1)
    for unit, length in zip(np.eye(tasks), lengths):
        weights = project_to_dual_cone(points, unit)
        assert (weights - unit).min() >= 0
        projection = weights @ rows
        assert (rows @ projection / lengths).min() > -1e-6 * length
        assert abs(projection @ ((weights - unit) @ rows)) < 1e-6 * length**2


def test_the_nearest_point_may_be_the_origin():
    weights = nearest_to_origin(np.array([[1.0, -2.0, 5.0], [0.0, 0.0, 5.0]]))
    np.testing.assert_allclose(weights, [2 / 3, 1 / 3, 0], atol=1e-9)


def test_fairgrad_and_nash_solve_their_equation():
    for seed in range(6):
        rows = torch.randn(5, 20, generator=torch.Generator().manual_seed(seed)).double()
        rows *= torch.logspace(-2, 2, 5)[:, None]
        gramian = rows @ rows.T
        nash = build('NashMTL', max_norm=100.0).weights(LOSSES[:5], gramian)
        torch.testing.assert_close(
            (gramian @ nash) * nash, torch.ones(5).double(), rtol=1e-3, atol=1e-3
        )
    rows = torch.randn(5, 20, generator=torch.Generator().manual_seed(0)).double()
    gramian = rows @ rows.T
    for alpha in (0.5, 1.0, 2.0, 5.0):
        fair = build('FairGrad', alpha=alpha).weights(LOSSES[:5], gramian)
        torch.testing.assert_close(gramian @ fair, fair ** (-1 / alpha), rtol=1e-3, atol=1e-3)


# Exact answers on explicit gradients, by trying every set of active constraints. Unit gradients and
# QR, so that no accuracy is lost in a Gramian or to different lengths.


def faces(tasks):
    for size in range(1, tasks + 1):
        yield from map(list, itertools.combinations(range(tasks), size))


def exact_mgda(rows):
    """For each face the shortest point of its plane; of those inside the hull the shortest."""
    lengths = np.linalg.norm(rows, axis=1)
    units, sums = rows / lengths[:, None], lengths.min() / lengths
    found = []
    for face in faces(len(rows)):
        basis, triangle = np.linalg.qr(units[face].T)
        along = np.linalg.solve(triangle.T, sums[face])
        if (np.linalg.solve(triangle, along) >= 0).all():
            found.append((1 / np.linalg.norm(along), tuple(basis @ along / (along @ along))))
    return np.array(min(found)[1]) * lengths.min()


def exact_upgrad(rows):
    """For each gradient and face the projection off it; of those without conflict the nearest."""
    lengths = np.linalg.norm(rows, axis=1)
    units = rows / lengths[:, None]
    best = [(0.0, unit) if (units @ unit).min() >= -1e-11 else (2.0, None) for unit in units]
    for face in faces(len(rows)):
        basis, _ = np.linalg.qr(units[face].T)
        projected = units - (units @ basis) @ basis.T
        allowed = (projected @ units.T).min(1) >= -1e-11
        moved = np.linalg.norm(projected - units, axis=1)
        for k in np.flatnonzero(allowed):
            best[k] = min(best[k], (moved[k], projected[k]), key=lambda pair: pair[0])
    return np.mean([length * point for length, (_, point) in zip(lengths, best)], axis=0)


def exact_cagrad(rows, c):
    """For each face the point on the ball with equal products t with it; the largest t met by all.

    ``d = g_0 + Q (t a - b)`` has products t with the face, whose unit gradients are ``R^T Q^T``, if
    ``R^T a = 1 / lengths`` and ``R^T b = U g_0``; its distance to g_0 gives a quadratic in t.
    """
    lengths = np.linalg.norm(rows, axis=1)
    units, mean = rows / lengths[:, None], rows.mean(0)
    radius = c * np.linalg.norm(mean)
    best, found = -np.inf, None
    for face in faces(len(rows)):
        basis, triangle = np.linalg.qr(units[face].T)
        a = np.linalg.solve(triangle.T, 1 / lengths[face])
        b = np.linalg.solve(triangle.T, units[face] @ mean)
        root = (a @ b) ** 2 - a @ a * (b @ b - radius**2)
        for t in (a @ b + np.sqrt(max(root, 0)) * np.array([1, -1])) / (a @ a):
            dual = np.linalg.solve(triangle, t * a - b)
            point = mean + basis @ (t * a - b)
            met = (rows @ point >= t - 1e-9 * lengths * radius).all()
            if root >= 0 and met and dual.min() >= -1e-12 * np.abs(dual).max() and t > best:
                best, found = t, point
    return found


EXACT = [
    ('MGDA', {}, exact_mgda),
    ('UPGrad', {}, exact_upgrad),
    ('CAGrad', dict(c=0.4), lambda rows: exact_cagrad(rows, 0.4)),
    ('CAGrad', dict(c=1.0), lambda rows: exact_cagrad(rows, 1.0)),
]


def nearly_stationary(seed, tasks):
    """Gradients of lengths up to 1e4 apart, of which a combination is nearly 0."""
    generator = np.random.default_rng([seed, tasks])
    rows = generator.normal(size=(tasks, tasks))
    rows -= rows.mean(0) * (1 - 10.0 ** -generator.uniform(1, 3))
    rows *= 10.0 ** generator.uniform(-2, 2, size=(tasks, 1))
    rows[0] *= 1e-2 / np.linalg.norm(rows[0])
    rows[1] *= 1e2 / np.linalg.norm(rows[1])
    return rows


@pytest.mark.parametrize('kind, options, exact', EXACT)
# Points from the eigenvalues of the Gramian itself were off by 1.2e-3 and 1.1e-3 at the first two.
@pytest.mark.parametrize(
    'tasks, seed',
    [(5, 793), (4, 345), (4, 1042), *((tasks, seed) for tasks in (2, 3, 6) for seed in range(8))]
    + [(8, 0), (8, 1), (10, 0)],
)
def test_directions_of_gradients_of_very_different_lengths(kind, options, exact, tasks, seed):
    for dtype, limit in ((torch.float64, 1e-6), (torch.float32, 1e-3)):
        rows = torch.from_numpy(nearly_stationary(seed, tasks)).to(dtype)
        expected = torch.from_numpy(exact(rows.double().numpy()))
        found = combine(build(kind, **options), LOSSES[:tasks].float(), rows).double()
        difference = found / found.norm() - expected / expected.norm()
        assert difference.norm() < limit
        assert float(found.norm() / expected.norm()) == pytest.approx(1, abs=limit)


def test_the_exact_answers_are_the_known_ones():
    rows = np.array([[1.0, 0.0], [-1.0, 1.0]])
    np.testing.assert_allclose(exact_mgda(rows), [0.2, 0.4])
    np.testing.assert_allclose(exact_upgrad(rows), [0.25, 0.75])
    np.testing.assert_allclose(exact_cagrad(rows, 0.5), [0.25, 0.5])
