"""How soon a training that goes on late makes its first step."""

import copy
import os.path as osp
import statistics
import tempfile

from mmengine.config import ConfigDict

from allinone.engine.runner import MultiDatasetRunner
from allinone.registry import RUNNERS

from .measure import seconds

LATE = 1_000_000
LIMIT = 1.0  # second more


def measure_resume(cfg: ConfigDict, rounds: int) -> dict:
    """Seconds to the end of the first step, from the config on: fresh, and after a million steps.

    The late state is made from that of a fresh training after its first step, by setting its
    numbers of steps and of batches drawn, and saved as any other. Both starts have the same
    batches' worth of work; they alternate. There is no validation, so the config's balancer and
    schedule must not be of those that follow it.

    Args:
        cfg: A config of a joint model.
        rounds: Measured starts of each kind, after one of each that is not.

    Returns:
        ``rounds``, ``step``, ``fresh_s`` and ``late_s`` (seconds, medians), ``more_s``, the
        difference of the medians, ``limit`` and whether it ``holds``.
    """
    times: dict[str, list[float]] = dict(fresh=[], late=[])
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = osp.join(folder, f'iter_{LATE}.pth')
        _to_first_step(cfg, folder, save_as=checkpoint)
        step = _to_first_step(cfg, folder, checkpoint)
        for _ in range(rounds):
            times['fresh'].append(seconds(lambda: _to_first_step(cfg, folder)))
            times['late'].append(seconds(lambda: _to_first_step(cfg, folder, checkpoint)))
    medians = {f'{kind}_s': statistics.median(found) for kind, found in times.items()}
    more = medians['late_s'] - medians['fresh_s']
    return dict(rounds=rounds, step=step, **medians, more_s=more, limit=LIMIT, holds=more <= LIMIT)


def _to_first_step(
    cfg: ConfigDict, folder: str, go_on_from: str | None = None, save_as: str | None = None
) -> int:
    """Build the runner, make one step, and end; after how many earlier steps that was."""
    cfg = copy.deepcopy(cfg)
    for stage in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            cfg.pop(f'{stage}_{part}', None)
    work_dir = tempfile.mkdtemp(dir=folder)
    cfg.merge_from_dict(
        {
            'work_dir': work_dir,
            'experiment_name': osp.basename(work_dir),
            'log_level': 'WARNING',
            'train_cfg.max_iters': 2 * LATE,
            'default_hooks.checkpoint.save_best': None,
        }
    )
    if go_on_from is not None:
        cfg.load_from, cfg.resume = go_on_from, True
    runner, begun = RUNNERS.build(cfg), []

    def first_step() -> None:
        loop = runner.train_loop
        loop.begin()
        begun.append(loop.iter)
        loop.step()
        if save_as is not None:
            _save_as_late(runner, save_as)

    runner.train_loop.run = first_step
    runner.train()
    return begun[0]


def _save_as_late(runner: MultiDatasetRunner, path: str) -> None:
    loop = runner.train_loop
    loop._iter = LATE - 1  # As in a hook after the step, which mmengine saves as one more
    runner.message_hub.update_info('batches_drawn', dict.fromkeys(loop.dataloader.batches, LATE))
    for scheduler in runner.param_schedulers or ():
        scheduler.last_step = LATE
    runner.save_checkpoint(osp.dirname(path), osp.basename(path), by_epoch=False)
    runner.checkpoint_writer.wait()


def resume_table(found: dict) -> str:
    """What :func:`measure_resume` found, in two sentences."""
    return (
        f'From the config to the end of the first step, medians of {found["rounds"]}: fresh '
        f'{found["fresh_s"]:.2f} s, going on from step {found["step"]:,} {found["late_s"]:.2f} s.\n'
        f'{found["more_s"]:+.2f} s; at most {found["limit"]:g} s more: '
        f'{"yes" if found["holds"] else "no"}'
    )
