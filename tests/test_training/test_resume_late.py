"""A start at iteration 1,000,000 does what a start at iteration 4 does, and no more."""

import builtins
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny
from mmengine.logging import HistoryBuffer

from allinone.data.seeded import SeededDataset
from allinone.registry import RUNNERS
from allinone.training.hooks.deferred_log import KEPT
from allinone.training.train_loop import MultiTaskTrainLoop

LATE = 1_000_000


class AfterTheFirstStep(Exception):
    pass


def config(work_dir):
    cfg = tiny(work_dir, experiment_name=f'{work_dir.parent.name}_{work_dir.name}')
    cfg.train_cfg.update(max_iters=2 * LATE, val_interval=2 * LATE)
    cfg.param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, T_max=2 * LATE)]
    cfg.default_hooks.checkpoint.update(interval=4, save_best=None)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    return cfg


def at(iteration, checkpoint, path):
    """The checkpoint of a run as if saved after so many iterations."""
    state = torch.load(checkpoint, weights_only=False)
    state['meta']['iter'] = iteration
    hub = state['message_hub']
    hub['runtime_info'].update(iter=iteration)
    drawn = hub['runtime_info']['batches_drawn']
    drawn.update(dict.fromkeys(drawn, iteration))
    for scheduler in state['param_schedulers']:
        scheduler.update(last_step=iteration, _global_step=iteration + 1)
    torch.save(state, path)
    return str(path)


def run_to(cfg, steps, monkeypatch):
    step = MultiTaskTrainLoop.step
    left = [steps]

    def counted(self):
        step(self)
        left[0] -= 1
        if not left[0]:
            raise AfterTheFirstStep

    with monkeypatch.context() as patch:
        patch.setattr(MultiTaskTrainLoop, 'step', counted)
        with pytest.raises(AfterTheFirstStep):
            RUNNERS.build(cfg).train()


def work_of(cfg, monkeypatch):
    """Samples of each task and files of each suffix of a start, and the bytes that it reads."""
    counts = Counter()
    read_sample, open_file = SeededDataset._read, builtins.open

    def read(self, index, draw):
        counts[f'samples of {self.task}'] += 1
        return read_sample(self, index, draw)

    def opened(file, *args, **kwargs):
        # Which images a step draws differs, how many does not.
        counts[Path(file).suffix if isinstance(file, str) else 'descriptor'] += 1
        return open_file(file, *args, **kwargs)

    before = bytes_read()
    with monkeypatch.context() as patch:
        patch.setattr(SeededDataset, '_read', read)
        patch.setattr(builtins, 'open', opened)
        run_to(cfg, 1, monkeypatch)
    return counts, bytes_read() - before


def test_work_does_not_grow(toy_root, tmp_path, monkeypatch):
    run_to(config(tmp_path / 'first'), 5, monkeypatch)
    saved = tmp_path / 'first/iter_4.pth'
    found = []
    for iteration in (4, LATE):
        cfg = config(tmp_path / str(iteration))
        cfg.load_from, cfg.resume = at(iteration, saved, tmp_path / f'{iteration}.pth'), True
        found.append(work_of(cfg, monkeypatch))
    (early, early_bytes), (late, late_bytes) = found
    assert early == late
    assert early['.pth'] and early['samples of cls'] >= 8
    # Other images are drawn, some 15 of 2 to 20 KB.
    assert abs(early_bytes - late_bytes) < 300_000 < early_bytes


def bytes_read():
    return int(Path('/proc/self/io').read_text().split()[1])


def test_the_saved_log_does_not_grow(toy_root, tmp_path):
    cfg = config(tmp_path / 'run')
    cfg.train_cfg.max_iters = 4
    runner = RUNNERS.build(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    long = HistoryBuffer(np.zeros(50_000), np.ones(50_000))
    scalars.update({name: long for name in scalars})
    hook = next(hook for hook in runner.hooks if hasattr(hook, '_kept'))
    hook.before_train(runner)
    assert {len(buffer.data[0]) for buffer in scalars.values()} == {KEPT}
    runner.log_processor.custom_cfg = [
        dict(data_src='loss', method_name='mean', window_size=2 * KEPT)
    ]
    scalars.update({name: long for name in scalars})
    hook.before_train(runner)
    assert {len(buffer.data[0]) for buffer in scalars.values()} == {2 * KEPT}
