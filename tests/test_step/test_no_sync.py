"""A training step does not wait for the device, but where it is logged or gradients are weighed.

Tensors of the device ``meta`` have no values: whatever asks for one (``item``, ``nonzero``,
``bool``, a copy to the host) fails there, as it would wait for a GPU.
"""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from conftest import classification
from methods import LOSS_WEIGHTINGS, build, run_step
from mmengine.optim import OptimWrapper
from torch import nn

from allinone.registry import RUNNERS
from allinone.step import build_step

TASKS = ('a', 'b', 'c')


def steps_on(device, kind, regime=nullcontext):
    """Joint steps of a backbone with batch norm on a device, all but the first in ``regime()``."""
    backbone = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).to(device)
    heads = nn.ModuleDict({task: nn.Linear(3, 1) for task in TASKS}).to(device)
    balancer = build(kind).to(device)
    balancer.bind(TASKS)
    params = [*backbone.parameters(), *heads.parameters()]
    wrapper = OptimWrapper(torch.optim.SGD(params, lr=0.1))
    step = build_step(balancer, backbone, dict(heads.items()))
    data = torch.ones(8, 4, device=device)
    flags = {}
    for number in range(4):
        with regime() if number else nullcontext():
            losses = {
                task: lambda head=head: (head(backbone(data)) - 1).square().mean()
                for task, head in heads.items()
            }
            log = run_step(step, losses, wrapper)
            flags = {task: log[f'{task}/dropped'] for task in heads}
            wrapper.step()
            wrapper.zero_grad()
    return flags


@pytest.mark.parametrize('kind', LOSS_WEIGHTINGS)
def test_the_guard_and_the_balancer(kind):
    flags = steps_on('meta', kind)
    assert set(flags) == set(TASKS)
    assert all(flag.device.type == 'meta' and flag.dtype == torch.bool for flag in flags.values())


def test_it_would_be_noticed():
    with pytest.raises((RuntimeError, NotImplementedError), match='meta'):
        bool(torch.zeros((), device='meta'))
    with pytest.raises((RuntimeError, NotImplementedError), match='meta'):
        torch.zeros(3, device='meta').nonzero()


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('kind', ['FixedWeights', 'Uncertainty'])
def test_the_guard_on_a_gpu(kind):
    @contextmanager
    def no_sync():
        torch.cuda.set_sync_debug_mode('error')
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode('default')

    steps_on('cuda', kind, no_sync)  # What is set up once, in the first step, may wait.


def test_a_step_of_the_runner(toy_root, tmp_path, monkeypatch):
    """Loop, hooks (bad steps, log, EMA), model, clipping, optimizer; between two lines of log."""
    monkeypatch.setattr('mmengine.runner.runner.get_device', lambda: 'meta')
    cfg = classification(tmp_path / 'work', **{'default_hooks.logger.interval': 100})
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    cfg.optim_wrapper.clip_grad = dict(max_norm=1.0)
    for stage in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            cfg.pop(f'{stage}_{part}', None)
    cfg.default_hooks.checkpoint = None
    runner = RUNNERS.build(cfg)
    monkeypatch.setattr(runner, '_init_model_weights', lambda: None)  # It logs their values.
    loop, done = runner.train_loop, []

    def steps():
        loop.begin()
        for _ in range(3):
            loop.step()
            done.append({param.device.type for param in runner.model.parameters()})

    monkeypatch.setattr(loop, 'run', steps)
    runner.train()
    assert done == [{'meta'}] * 3 and runner.iter == 3
