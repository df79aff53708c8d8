"""Time to the first step of a training that resumes from a late iteration."""

import os.path as osp
import statistics
import tempfile
import time
from collections.abc import Sequence

import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

import allinone.training.runner as engine_runner
from allinone.data.task_loaders import TaskLoaders
from allinone.registry import RUNNERS
from allinone.training.hooks.deferred_log import KEPT
from allinone.training.runner import MultiDatasetRunner

from .measure import (
    OwnTime,
    at_most,
    device,
    interval_name,
    median_interval,
    training_only,
    verdict,
)

LATE = 1_000_000
LIMIT = 1.0  # seconds of difference


def measure_resume(cfg: ConfigDict, rounds: int) -> dict:
    """Seconds from config to the end of the first step: fresh, and after a million steps.

    The late state is that of a fresh training after its first step, with changed numbers of steps
    and of sampled batches and a filled log, saved as usual. Fresh and late launches alternate.
    There is no validation, so the config's balancer and schedule must not follow it.

    A launch takes many seconds, most of them for the libraries, the first images and the step, and
    varies by more than the limit. The limit therefore applies to the time of what differs: reading
    the checkpoint, comparing the run with it, restoring, and advancing the loaders.

    Args:
        cfg: A config of a joint model.
        rounds: Measured launches of each kind, after one of each for warm-up.

    Returns:
        ``rounds``, ``step``; ``fresh_s`` and ``late_s`` (seconds, medians), ``more_s``, the median
        of the rounds' differences, with ``more_interval``, all of what differs; ``starts``: the
        same values of full launches; ``limit``, and whether it ``holds``, None if undecided.
    """
    times: dict[str, list[tuple[float, float]]] = dict(fresh=[], late=[])
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = osp.join(folder, f'iter_{LATE}.pth')
        _first_step(cfg, folder, save_as=checkpoint)
        step, *_ = _first_step(cfg, folder, checkpoint)
        for _ in range(rounds):
            times['fresh'].append(_first_step(cfg, folder)[1:])
            times['late'].append(_first_step(cfg, folder, checkpoint)[1:])
    whole, own = (
        compare_starts([fresh[i] for fresh in times['fresh']], [late[i] for late in times['late']])
        for i in range(2)
    )
    holds = at_most(LIMIT, *own['more_interval'], rounds)
    return dict(rounds=rounds, step=step, starts=whole, **own, limit=LIMIT, holds=holds)


def compare_starts(fresh: Sequence[float], late: Sequence[float]) -> dict:
    """Medians and differences for :func:`measure_resume` from the seconds of each launch."""
    more, *interval = median_interval([b - a for a, b in zip(fresh, late, strict=True)])
    return dict(
        fresh_s=statistics.median(fresh),
        late_s=statistics.median(late),
        more_s=more,
        more_interval=interval,
    )


def _first_step(
    cfg: ConfigDict, folder: str, go_on_from: str | None = None, save_as: str | None = None
) -> tuple[int, float, float]:
    """Number of steps before the first one, seconds from the config to its end, and seconds of
    the parts that resuming makes longer."""
    work_dir = tempfile.mkdtemp(dir=folder)
    cfg = training_only(cfg, work_dir, experiment_name=osp.basename(work_dir))
    if go_on_from is not None:
        cfg.load_from, cfg.resume = go_on_from, True
    found = []
    with OwnTime() as own:
        own.within(engine_runner, 'read_resumable')
        own.within(MultiDatasetRunner, 'load_or_resume')
        own.within(TaskLoaders, 'seek')
        start = time.perf_counter()
        runner = RUNNERS.build(cfg)

        def first_step() -> None:
            loop = runner.train_loop
            loop.begin()
            found.append(loop.iter)
            loop.step()
            if device().type == 'cuda':
                torch.cuda.synchronize()
            found.extend([time.perf_counter() - start, own.take()])
            if save_as is not None:
                _save_as_late(runner, save_as)

        runner.train_loop.run = first_step
        runner.train()
    return tuple(found)


def _save_as_late(runner: MultiDatasetRunner, path: str) -> None:
    loop = runner.train_loop
    loop._iter = LATE - 1  # As in a hook after the step; mmengine adds 1 when it saves
    runner.message_hub.update_info('batches_drawn', dict.fromkeys(loop.dataloader.batches, LATE))
    runner.call_hook('flush_log')
    scalars = runner.message_hub.log_scalars
    for name, buffer in scalars.items():
        scalars[name] = HistoryBuffer(*(part[-1:].repeat(KEPT) for part in buffer.data), KEPT)
    for scheduler in runner.param_schedulers or ():
        scheduler.last_step = LATE
    runner.save_checkpoint(osp.dirname(path), osp.basename(path), by_epoch=False)
    runner.checkpoint_writer.wait()


def resume_table(found: dict) -> str:
    """The result of :func:`measure_resume` in two sentences."""

    def more(times: dict) -> str:
        low, high = times['more_interval']
        return f'{times["more_s"]:+.2f} s ({low:+.2f} to {high:+.2f})'

    starts = found['starts']
    return (
        f'From the config to the end of the first step, medians of {found["rounds"]}: fresh '
        f'{starts["fresh_s"]:.2f} s, going on from step {found["step"]:,} {starts["late_s"]:.2f} '
        f's: {more(starts)}, {interval_name(found["rounds"])}.\n'
        'Of that reading the checkpoint, comparing, restoring and moving the loaders on: '
        f'{found["fresh_s"]:.2f} s and {found["late_s"]:.2f} s: {more(found)}; at most '
        f'{found["limit"]:g} s more: {verdict(found["holds"])}'
    )
