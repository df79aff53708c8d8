"""FairGrad's equation, G w = w^(-1/alpha), holds however different the gradients' norms are."""

import numpy as np
import pytest
import torch
from methods import build

from allinone.balancers import combine


@pytest.mark.parametrize('alpha', [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize('tasks', [2, 3, 6, 10])
def test_the_equation_holds(alpha, tasks):
    balancer = build('FairGrad', alpha=alpha)
    for seed in range(12):
        generator = np.random.default_rng([seed, tasks])
        rows = generator.standard_normal((tasks, 30))
        rows *= 10 ** generator.uniform(-1.5, 1.5, (tasks, 1))
        gramian = rows @ rows.T
        weights = balancer.weights(torch.ones(tasks).double(), torch.from_numpy(gramian)).numpy()
        assert (weights > 0).all()
        np.testing.assert_allclose(gramian @ weights, weights ** (-1 / alpha), rtol=1e-6)
        direction = combine(balancer, torch.ones(tasks).double(), torch.from_numpy(rows)).numpy()
        assert (rows @ direction > 0).all()
