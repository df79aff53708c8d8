"""Time that the checks of a training add to a step, and that a save adds to the steps around it."""

import copy
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from mmengine.config import ConfigDict
from torch.utils.data import DataLoader, Dataset

from allinone.data.loaders import in_this_process
from allinone.registry import RUNNERS
from allinone.training import train_loop
from allinone.training.hooks.non_finite import NonFiniteHook
from allinone.training.runner import MultiDatasetRunner

from .measure import (
    ENDLESS,
    OwnTime,
    at_most,
    device,
    interval_name,
    median_interval,
    seconds,
    time_ratio,
    training_only,
    whole_cell,
)

LIMIT = 1.01
# Rounds of saves, and number of rounds that also measure saves without a thread
SAVES, AT_ONCE = 7, 2
COPY = 'copy to host memory'
# Suffix, and whether a thread writes it
SAVED = {
    COPY: ('pth', True),
    'pth, async': ('pth', True),
    'safetensors, async': ('safetensors', True),
    'pth, at once': ('pth', False),
    'safetensors, at once': ('safetensors', False),
}


class InMemory(Dataset):
    """A data set that always returns one sample in memory; it keeps the other attributes.

    Args:
        dataset: The data set.
        sample: The sample.
    """

    def __init__(self, dataset: Dataset, sample: dict):
        self.dataset, self.sample = dataset, sample

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str):
        if name == 'dataset':
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __getitem__(self, index: int) -> dict:
        return copy.deepcopy(self.sample)


class Checks:
    """Switches for the checks of a running training.

    - ``finite``: batches with a non-finite loss or gradient are left out of their step;
    - ``bad_steps``: and reported by the names of their images;
    - ``loaders``: files are checked, current reads are recorded, loading has a timeout, and
      augmentation is a function of the sample index;
    - ``seeds``: dropout and other randomness are a function of the iteration.
    """

    NAMES = ('finite', 'bad_steps', 'loaders', 'seeds')

    def __init__(self, runner: MultiDatasetRunner):
        self.runner, self.loop = runner, runner.train_loop
        self.step = getattr(runner.model, 'module', runner.model)._step
        self.finite = self.step._guard
        self.hooks = list(runner.hooks)
        loaders = self.loop.dataloader
        self.iterators = loaders._iterators
        self.timeouts = loaders.timeouts
        self.plain = {
            task: iter(
                DataLoader(
                    loader.dataset.dataset,
                    loader.batch_sampler.batch_size,
                    sampler=loader.batch_sampler.sampler,
                    collate_fn=loader.collate_fn,
                )
            )
            for task, loader in loaders.loaders.items()
        }

    def switch(self, on: Collection[str]) -> None:
        """Enable only the checks named in ``on``."""
        self.step._guard = self.finite if 'finite' in on else None
        self.runner._hooks = [
            hook for hook in self.hooks if 'bad_steps' in on or not isinstance(hook, NonFiniteHook)
        ]
        loaders = self.loop.dataloader
        loaders._iterators = self.iterators if 'loaders' in on else self.plain
        loaders.timeouts = self.timeouts if 'loaders' in on else dict.fromkeys(self.timeouts, 0)
        self.loop.seeded = 'seeds' in on


def measure_overhead(cfg: ConfigDict, rounds: int) -> dict:
    """Step times with and without the checks, and times of saves, in one run of the training.

    The loop runs real steps of the config's training, except that all samples of a task are one
    sample in memory: all steps are the same work, and the baseline excludes the work of loader
    workers. A step without checks precedes each step with checks. Own time is that of the checks'
    code and of the sampling. The time of a save is the time of it and the steps until it is
    written, minus that of as many steps after it.

    Args:
        cfg: A config of a joint model.
        rounds: Measured rounds.

    Returns:
        ``device``, ``threads``, ``rounds``; ``plain_s`` (seconds of a step without checks);
        ``checks``: for ``'all'`` and each of :class:`Checks` alone the result of
        :func:`time_ratio`; ``limit`` of ``'all'`` and whether it ``holds``; ``checkpoint_bytes``;
        ``saves`` and ``saves_hold`` of :func:`judge_saves`.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        runner = _runner(cfg, folder)

        def run() -> None:
            with OwnTime() as own:
                found.update(_measure(runner, rounds, own))

        runner.train_loop.run = run
        runner.train()
    return found


def _runner(cfg: ConfigDict, folder: str) -> MultiDatasetRunner:
    cfg = training_only(
        cfg,
        folder,
        **{
            'model.grad_similarity_interval': 0,
            'model.skip_non_finite': True,
            'train_cfg.val_interval': ENDLESS,
        },
    )
    for task, loader in cfg.train_dataloader.items():
        cfg.train_dataloader[task] = ConfigDict(in_this_process(loader))
    runner = RUNNERS.build(cfg)
    for loader in runner.train_loop.dataloader.loaders.values():
        loader.dataset.dataset = InMemory(loader.dataset.dataset, loader.dataset[0])
    return runner


def _measure(runner: MultiDatasetRunner, rounds: int, own: OwnTime) -> dict:
    loop = runner.train_loop
    loop.begin()
    loop.step()  # Creates the optimizer's state.
    checks = Checks(runner)
    kinds = dict(all=Checks.NAMES) | {name: (name,) for name in Checks.NAMES}

    for part in ('before_forward', 'after_forward', 'after_backward'):
        own.within(checks.finite, part)
    for hook in checks.hooks:
        if isinstance(hook, NonFiniteHook):
            own.within(hook, 'after_train_iter')
    own.within(loop, '_draw')
    own.within(train_loop, 'seed_all')

    def taken(on: Collection[str]) -> tuple[float, float]:
        checks.switch(on)
        own.take()
        return seconds(loop.step), own.take()

    taken(())
    plain_s: dict[str, list] = {name: [] for name in kinds}
    checked_s: dict[str, list] = {name: [] for name in kinds}
    for number in range(rounds):
        # Rotate the order; otherwise work at every tenth step would always fall on the same kind.
        names = deque(kinds)
        names.rotate(number)
        for name in names:
            plain_s[name].append(taken(()))
            checked_s[name].append(taken(kinds[name]))
    checks.switch(Checks.NAMES)
    saves, size = _measure_saves(runner)
    judged = judge_checks(checked_s, plain_s)
    return dict(
        device=torch.cuda.get_device_name() if device().type == 'cuda' else 'cpu',
        threads=torch.get_num_threads(),
        rounds=rounds,
        **judged,
        checkpoint_bytes=size,
        **judge_saves(saves, (LIMIT - 1) * judged['plain_s']),
    )


def judge_checks(
    checked_s: Mapping[str, Sequence[tuple[float, float]]],
    plain_s: Mapping[str, Sequence[tuple[float, float]]],
) -> dict:
    """``plain_s``, ``checks``, ``limit`` and ``holds`` of :func:`measure_overhead`.

    Args:
        checked_s: For ``'all'`` and each check, pairs of seconds of a step and own time in it.
        plain_s: The same of the preceding steps without checks.
    """
    rows = {name: time_ratio(checked_s[name], plain_s[name]) for name in checked_s}
    return dict(
        plain_s=statistics.median(step for steps in plain_s.values() for step, _ in steps),
        checks=rows,
        limit=LIMIT,
        holds=rows['all']['time_ratio'] <= LIMIT,
    )


def judge_saves(extra_s: Mapping[str, Sequence[float]], margin_s: float) -> dict:
    """Judge whether asynchronous saves cost no more than the copy.

    Args:
        extra_s: ``{kind of save: seconds in each round}``; all asynchronous kinds in all rounds.
        margin_s: Seconds of difference that are allowed.

    Returns:
        ``saves``: for each kind ``extra_s`` and ``extra_interval``, and if a thread writes
        ``more_s`` and ``more_interval`` of the differences to the copy in each round;
        ``saves_hold``: True if all these intervals are at or below the margin, False if one is
        above it, None otherwise or with too few rounds for such intervals.
    """
    rows, verdicts = {}, []
    for name, found in extra_s.items():
        extra, *interval = median_interval(found)
        rows[name] = dict(extra_s=extra, extra_interval=interval)
        if name != COPY and SAVED[name][1]:
            pairs = zip(found, extra_s[COPY], strict=True)
            more, *interval = median_interval([extra - copied for extra, copied in pairs])
            rows[name] |= dict(more_s=more, more_interval=interval)
            verdicts.append(at_most(margin_s, *interval, len(found)))
    holds = False if False in verdicts else None if None in verdicts else True
    return dict(saves=rows, saves_hold=holds)


def _measure_saves(runner: MultiDatasetRunner) -> tuple[dict[str, list[float]], int]:
    """Seconds of each kind of save per round, and the bytes of the first kind that writes."""
    values: dict[str, list[float]] = {name: [] for name in SAVED}
    size = 0
    for number in range(SAVES):
        for name, (suffix, background) in SAVED.items():
            if not background and number >= AT_ONCE:
                continue
            writer, write = runner.checkpoint_writer, runner.checkpoint_writer.write
            writer.background = background
            if name == COPY:
                writer.write = lambda checkpoint, path: None
            values[name].append(
                _extra(
                    lambda suffix=suffix: runner.save_checkpoint(
                        runner.work_dir, f'measured.{suffix}', by_epoch=False
                    ),
                    runner,
                )
            )
            writer.write = write
            if name != COPY:
                size = size or os.path.getsize(os.path.join(runner.work_dir, f'measured.{suffix}'))
    return values, size


def _extra(save: Callable[[], None], runner: MultiDatasetRunner) -> float:
    """Seconds by which a save delays a training."""
    writer, step, steps = runner.checkpoint_writer, runner.train_loop.step, 0
    start = time.perf_counter()
    save()
    while not steps or writer.busy:
        seconds(step)
        steps += 1
    with_it = time.perf_counter() - start
    writer.wait()
    return with_it - sum(seconds(step) for _ in range(steps))


def overhead_table(found: dict) -> str:
    """The result of :func:`measure_overhead` as Markdown tables."""
    lines = [
        f'| checks | step time | whole steps ({interval_name(found["rounds"])}) |',
        '|---|---:|---:|',
    ]
    for name, row in found['checks'].items():
        lines.append(f'| {name} | {row["time_ratio"]:.4f} | {whole_cell(row)} |')
    lines += ['', '| save | s | range | more than the copy |', '|---|---:|---:|---:|']
    for name, row in found['saves'].items():
        low, high = row['extra_interval']
        more = ''
        if 'more_s' in row:
            more = '{:.3f} ({:.3f} to {:.3f})'.format(row['more_s'], *row['more_interval'])
        lines.append(f'| {name} | {row["extra_s"]:.3f} | {low:.3f} to {high:.3f} | {more} |')
    holds = {True: 'holds', False: 'does not hold', None: 'is undecided by these timings'}
    return '\n'.join(
        [
            *lines,
            '',
            f'Step time: 1 and what the own time of the checks adds, as a share of a step without '
            f'({found["plain_s"]:.3f} s); on a GPU, that of whole steps. Medians of '
            f'{found["rounds"]} rounds on {found["device"]}, {found["threads"]} CPU threads. The '
            f'limit of {found["limit"]:g} for all together '
            f'{holds[found["holds"]]}.',
            f'Saves: by how much the steps around one of {found["checkpoint_bytes"] / 2**20:.0f} '
            f'MiB take longer, medians of {SAVES} rounds ({AT_ONCE} where no thread writes). That '
            f'asynchronous ones take no more than the copy, but for {found["limit"] - 1:.0%} of a '
            f'step, {holds[found["saves_hold"]]}.',
        ]
    )
