"""How soon a training that goes on late makes its first step."""

import os.path as osp
import statistics
import tempfile
import time
from collections.abc import Sequence

import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

from allinone.engine.hooks import KEPT
from allinone.engine.runner import MultiDatasetRunner
from allinone.registry import RUNNERS

from .measure import device, interval_name, median_interval, training_only

LATE = 1_000_000
LIMIT = 1.0  # second more


def measure_resume(cfg: ConfigDict, rounds: int) -> dict:
    """Seconds to the end of the first step, from the config on: fresh, and after a million steps.

    The late state is made from that of a fresh training after its first step, by setting its
    numbers of steps and of batches drawn and filling its log, and saved as any other. The starts
    alternate. There is no validation, so the config's balancer and schedule must not be of those
    that follow it.

    Args:
        cfg: A config of a joint model.
        rounds: Measured starts of each kind, after one of each that is not.

    Returns:
        ``rounds``, ``step``, ``fresh_s`` and ``late_s`` (seconds, medians), ``more_s``, the median
        of the differences round by round, with ``more_interval``, ``limit`` and whether it
        ``holds``.
    """
    times: dict[str, list[float]] = dict(fresh=[], late=[])
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = osp.join(folder, f'iter_{LATE}.pth')
        _first_step(cfg, folder, save_as=checkpoint)
        step, _ = _first_step(cfg, folder, checkpoint)
        for _ in range(rounds):
            times['fresh'].append(_first_step(cfg, folder)[1])
            times['late'].append(_first_step(cfg, folder, checkpoint)[1])
    return dict(rounds=rounds, step=step, **judge_starts(times['fresh'], times['late']))


def judge_starts(fresh: Sequence[float], late: Sequence[float]) -> dict:
    """The times of :func:`measure_resume`, from the seconds of each start."""
    more, *interval = median_interval([b - a for a, b in zip(fresh, late, strict=True)])
    return dict(
        fresh_s=statistics.median(fresh),
        late_s=statistics.median(late),
        more_s=more,
        more_interval=interval,
        limit=LIMIT,
        holds=more <= LIMIT,
    )


def _first_step(
    cfg: ConfigDict, folder: str, go_on_from: str | None = None, save_as: str | None = None
) -> tuple[int, float]:
    """After how many steps the first one was, and the seconds from the config to its end."""
    work_dir = tempfile.mkdtemp(dir=folder)
    cfg = training_only(cfg, work_dir, experiment_name=osp.basename(work_dir))
    if go_on_from is not None:
        cfg.load_from, cfg.resume = go_on_from, True
    start = time.perf_counter()
    runner, found = RUNNERS.build(cfg), []

    def first_step() -> None:
        loop = runner.train_loop
        loop.begin()
        found.append(loop.iter)
        loop.step()
        if device().type == 'cuda':
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
        if save_as is not None:
            _save_as_late(runner, save_as)

    runner.train_loop.run = first_step
    runner.train()
    return tuple(found)


def _save_as_late(runner: MultiDatasetRunner, path: str) -> None:
    loop = runner.train_loop
    loop._iter = LATE - 1  # As in a hook after the step, which mmengine saves as one more
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
    """What :func:`measure_resume` found, in two sentences."""
    low, high = found['more_interval']
    return (
        f'From the config to the end of the first step, medians of {found["rounds"]}: fresh '
        f'{found["fresh_s"]:.2f} s, going on from step {found["step"]:,} {found["late_s"]:.2f} s.\n'
        f'{found["more_s"]:+.2f} s ({interval_name(found["rounds"])} {low:+.2f} to {high:+.2f}); '
        f'at most {found["limit"]:g} s more: {"yes" if found["holds"] else "no"}'
    )
