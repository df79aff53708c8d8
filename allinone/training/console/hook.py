"""Reports a run on the screen."""

import time
from collections.abc import Mapping

import torch
from mmengine.hooks import Hook, LoggerHook
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from .header import header
from .lines import Column, fitted, metric_table, number
from .pace import Pace, duration, validations_left
from .screen import Screen

REFRESH = 0.25  # seconds between two drawings of the bar


class ConsoleHook(Hook):
    """A line a logging interval, a table a validation, and on a terminal a progress bar.

    After all other hooks, and in the first process only. It reads what they have put into the
    message hub, and waits for no device.

    Args:
        screen: Where to.
    """

    priority = 'LOWEST'

    def __init__(self, screen: Screen):
        self.screen = screen
        self.pace = Pace()
        self._bar: Progress | None = None
        self._job: TaskID | None = None
        self._drawn = 0.0
        self._started = time.perf_counter()
        self._metrics: dict[str, float] = {}

    def before_train(self, runner) -> None:
        for line in header(runner, self.screen.load):
            self.screen.print(line)
        self._interval = min(
            [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)], default=10
        )

    def before_first_step(self, runner) -> None:
        self._begin('training', runner.max_iters, runner.iter)
        self.pace.start(time.perf_counter())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.pace.step(time.perf_counter())
        done = runner.iter + 1
        if done == runner.max_iters or self.every_n_inner_iters(batch_idx, self._interval):
            self.screen.print(fitted(self._columns(runner, done), self.screen.width))
        if self._is_due():
            self._advance(done, f'eta {self._time_left(runner, done)}')

    def before_val(self, runner) -> None:
        self.pace.start(time.perf_counter())
        self._metrics = {}
        self._begin('validation', len(runner.val_dataloader))

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self._is_due():
            self._advance(batch_idx + 1)

    def after_val_epoch(self, runner, metrics: Mapping | None = None) -> None:
        self._metrics = {
            name: value
            for name, value in (metrics or {}).items()
            if isinstance(value, (int, float))
        }

    def after_val(self, runner) -> None:
        seconds = self.pace.validation(time.perf_counter())
        scalars = runner.message_hub.log_scalars
        histories = {
            name: [*map(float, scalars[f'val/{name}'].data[0])]
            for name in self._metrics
            if f'val/{name}' in scalars
        }
        self.screen.print(f'validation after step {runner.iter:,} ({duration(seconds)})')
        if histories:
            self.screen.print(metric_table(histories))
        self._begin('training', runner.max_iters, runner.iter)

    def after_train(self, runner) -> None:
        self._end()
        took = duration(time.perf_counter() - self._started)
        self.screen.print(f'{runner.iter:,} steps done in {took}; see {runner.work_dir}')

    def before_test(self, runner) -> None:
        self._begin('test', len(runner.test_dataloader))

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self._is_due():
            self._advance(batch_idx + 1)

    def after_test(self, runner) -> None:
        self._end()

    def _columns(self, runner, done: int) -> list[Column]:
        sources = runner.train_loop.dataloader.tasks
        tasks = list(dict.fromkeys(task for served in sources.values() for task in served))
        window = runner.log_processor.window_size
        scalars = runner.message_hub.log_scalars

        def mean(name: str) -> float | None:
            return scalars[name].mean(window) if name in scalars else None

        last = runner.max_iters
        columns = [Column(f'{done:>{len(str(last))}}/{last}', 0)]
        if (loss := mean('train/loss')) is not None:
            columns.append(Column(f'loss {number(loss)}', 0))
        for task in tasks:
            if (loss := mean(f'train/{task}/loss')) is not None:
                columns.append(Column(f'{task} {number(loss)}', 2))
        seconds = self.pace.recent()
        columns.append(Column(f'{seconds:.3g} s/step', 3))
        if 'train/lr' in scalars:
            columns.append(Column(f'lr {scalars["train/lr"].current():.1e}', 4))
        columns.append(Column(f'eta {self._time_left(runner, done)}', 1))
        waits = [mean(f'train/{source}/data_time') for source in sources]
        if seconds:
            share = sum(wait for wait in waits if wait is not None) / seconds
            columns.append(Column(f'data {min(1, share):.0%}', 5))
        if torch.cuda.is_available():
            columns.append(Column(f'{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB', 6))
        return columns

    def _time_left(self, runner, done: int) -> str:
        """After ``done`` steps, the last of which may be yet to be validated."""
        loop = runner.train_loop
        validations = 0
        if runner.val_loop is not None:
            validations = validations_left(
                done - 1,
                loop.max_iters,
                loop.val_begin,
                loop.dynamic_milestones,
                loop.dynamic_intervals,
            )
        seconds, uncounted = self.pace.left(loop.max_iters - done, validations)
        return duration(seconds) + (f' + {uncounted} val' if uncounted else '')

    def _begin(self, what: str, total: int, done: int = 0) -> None:
        if not self.screen.live:
            return
        if self._bar is None:
            # Without a thread that draws: one that held a lock while workers are forked would
            # leave it locked in them.
            self._bar = Progress(
                TextColumn('{task.description}'),
                BarColumn(bar_width=None),
                TextColumn('{task.completed:,.0f}/{task.total:,.0f}  {task.fields[note]}'),
                console=self.screen.console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                expand=True,
            )
            self._bar.start()
            self.screen.close = self._end
        if self._job is not None:
            self._bar.remove_task(self._job)
        self._job = self._bar.add_task(what, total=total, completed=done, note='')
        self._bar.refresh()

    def _is_due(self) -> bool:
        return self._bar is not None and time.perf_counter() - self._drawn >= REFRESH

    def _advance(self, done: int, note: str = '') -> None:
        assert self._bar is not None and self._job is not None
        self._bar.update(self._job, completed=done, note=note, refresh=True)
        self._drawn = time.perf_counter()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._job = None
