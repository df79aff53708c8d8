"""No method makes a call a parameter: all parameters go through one."""

from functools import partial

import pytest
import torch
from methods import CONFIGS, build, run_step
from mmengine.optim import OptimWrapper
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from allinone.step import build_step

TASKS = ('a', 'b', 'c')


class Calls(TorchDispatchMode):
    """Counts operators that compute; views of tensors do not."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.number += not func.is_view
        return func(*args, **(kwargs or {}))


def many_linear(number):
    return nn.Sequential(*(nn.Linear(4, 4) for _ in range(number)))


def calls(kind, layers):
    """Operators of a step beside those of the tasks' forward and backward passes."""
    torch.manual_seed(0)
    backbone = many_linear(layers)
    heads = nn.ModuleDict({task: many_linear(layers) for task in TASKS})
    data = torch.rand(2, 4)

    def loss(task):
        return (heads[task](backbone(data)) - 1).square().mean()

    with Calls() as plain:
        for task in TASKS:
            loss(task).backward()
            for param in [*backbone.parameters(), *heads.parameters()]:
                param.grad = None
    balancer = build(kind)
    balancer.bind(TASKS)
    step = build_step(balancer, backbone, dict(heads.items()))
    params = [*backbone.parameters(), *heads.parameters()]
    wrapper = OptimWrapper(torch.optim.SGD(params, lr=0.0))
    for _ in range(4):  # What is set up once, and a warm-up of 3 steps, are not of a step.
        with Calls() as balanced:
            run_step(step, {task: partial(loss, task) for task in TASKS}, wrapper)
        wrapper.zero_grad()
    return balanced.number - plain.number


@pytest.mark.parametrize(
    'kind', [name for name in CONFIGS if 'Orthogon' not in name and 'UpdateEvery' not in name]
)
def test_calls_do_not_grow_with_the_number_of_parameters(kind):
    few, many = calls(kind, 3), calls(kind, 30)
    assert many - few < 27  # layers more in backbone and each head, of two parameters each
