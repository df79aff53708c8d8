"""What a training step draws depends on the seed and the step, not on what was drawn before."""

import random
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmpretrain.models import Mixup

from allinone.training.train_loop import MultiTaskTrainLoop


def step(iteration, draw, seed=0):
    found = []
    model = SimpleNamespace(train_step=lambda data, optim_wrapper: found.append(draw()) or {})
    runner = SimpleNamespace(
        seed=seed, model=model, optim_wrapper=None, call_hook=lambda *args, **kwargs: None
    )
    loop = SimpleNamespace(
        runner=runner, _iter=iteration, seeded=True, dataloader=SimpleNamespace(tasks={})
    )
    MultiTaskTrainLoop.run_iter(loop, {})
    assert loop._iter == iteration + 1
    return found[0]


def mixed():
    images = torch.arange(32.0).view(16, 2)
    return Mixup(alpha=0.8)(images, torch.eye(16))[0].flatten().tolist()


def noise():
    return cv2.randn(np.zeros((2, 3)), 0, 1).tolist()


@pytest.mark.parametrize(
    'draw',
    [lambda: random.random(), lambda: np.random.rand(), lambda: torch.rand(1).item(), mixed, noise],
    ids=['random', 'numpy', 'torch', 'mixup', 'opencv'],
)
def test_a_step_draws_the_same_after_any_interruption(draw):
    first = step(7, draw)
    for _ in range(3):
        draw()
    assert step(7, draw) == first
    assert step(8, draw) != first and step(7, draw, seed=1) != first
