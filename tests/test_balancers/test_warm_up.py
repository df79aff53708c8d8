"""Fixed weights first; what follows learns although a task had none."""

import pytest
import torch
from methods import build, run_step
from mmengine.optim import OptimWrapper
from torch import nn

from allinone.step import build_step


def weights_of_steps(balancer, steps):
    """What a training of three linear heads on a linear backbone weighs its tasks by."""
    torch.manual_seed(0)
    backbone, heads = nn.Linear(4, 6), nn.ModuleDict({task: nn.Linear(6, 1) for task in 'abc'})
    balancer.bind(list(heads))
    wrapper = OptimWrapper(torch.optim.SGD([*backbone.parameters(), *heads.parameters()], lr=0.01))
    step = build_step(balancer, backbone, dict(heads.items()))
    found = []
    for _ in range(steps):
        data = torch.randn(8, 4)
        losses = {
            task: lambda head=head, aim=aim, data=data: (
                (head(torch.tanh(backbone(data))) - 3 * aim - 1).square().mean()
            )
            for aim, (task, head) in enumerate(heads.items())
        }
        log = run_step(step, losses, wrapper)
        wrapper.step()
        wrapper.zero_grad()
        found.append([float(log[f'{task}/weight']) for task in heads])
    return found


@pytest.mark.parametrize('smoothed', [False, True])
def test_gradnorm_learns_after_a_warm_up_without_one_task(smoothed):
    """A gradient of the weighted loss would be 0 in the warm-up, and 0 / 0 from then on."""
    cfg = dict(type='WarmUp', balancer=dict(type='GradNorm'), length=3, weights=[0, 1, 1])
    balancer = (
        build('SmoothedTaskWeights', balancer=cfg, momentum=0.5)
        if smoothed
        else build(cfg['type'], **cfg)
    )
    found = weights_of_steps(balancer, 12)
    assert found[2] == [0, 1, 1]
    assert found[-1][0] > 1.2 and found[-1][2] < 0.8
    inner = balancer.inner.inner if smoothed else balancer.inner
    assert inner.first_losses.isfinite().all()
    assert float(inner.task_weights.sum()) == pytest.approx(3)


def test_weights_by_name():
    balancer = build('WarmUp', balancer=dict(type='IMTLL'), length=1, weights=dict(b=0.5))
    balancer.bind(['a', 'b'])
    gradients = torch.eye(2)
    assert balancer.combine(torch.ones(2), gradients)[1].tolist() == [1, 0.5]
    assert balancer.combine(torch.tensor([3.0]), gradients[1:], [1])[1].tolist() == [1]
