"""Less of what has stopped improving."""

from collections.abc import Mapping, Sequence
from math import isfinite

from allinone.errors import ConfigError
from allinone.evaluation.names import check_metric_names
from allinone.registry import TASK_SCHEDULES
from allinone.registry.options import check_count, check_metric_list, check_number

from .base import TaskSchedule

KEY = 'train_cfg.schedule.metrics'


@TASK_SCHEDULES.register_module()
class StopAndGo(TaskSchedule):
    """Every task in every step, but those that stopped improving only now and then.

    12-in-1, https://arxiv.org/abs/1912.02315: a task whose validation metric gained less than 0.1
    % in two validations is stopped, and takes part in every ``gap``-th step only; when it falls
    more than 0.5 % below its best it goes on. If all are stopped, all go on.

    Args:
        sizes: As in :class:`TaskSchedule`.
        seed: As in :class:`TaskSchedule`.
        metrics: One ``'TASK/metric'`` for each task, of which more is better.
        gap: A stopped task takes part in every so many steps.
        patience: Validations without a gain after which a task is stopped.
        gain: Relative gain over the best that counts as one.
        drop: Relative fall below the best after which a task goes on.

    Raises:
        ConfigError: If an option is out of range, or ``metrics`` does not name each task once; at
            the start, if validation evaluates no such task or is known to give no such metric;
            after the first validation, if it gives none.
    """

    uses_metrics = True

    def __init__(
        self,
        sizes: Mapping[str, int],
        seed: int = 0,
        metrics: Sequence[str] = (),
        gap: int = 4,
        patience: int = 2,
        gain: float = 0.001,
        drop: float = 0.005,
    ):
        super().__init__(sizes, seed)
        self.metrics = check_metric_list(KEY, metrics, self.tasks)
        self.gap = check_count('train_cfg.schedule.gap', gap)
        self.patience = check_count('train_cfg.schedule.patience', patience)
        self.gain = check_number('train_cfg.schedule.gain', gain, 0)
        self.drop = check_number('train_cfg.schedule.drop', drop, 0)
        self.best: dict[str, float] = {}
        self.stale = dict.fromkeys(self.tasks, 0)
        self.stopped: list[str] = []

    def start(self, max_iters: int, evaluated: Mapping[str, set[str] | None]) -> None:
        check_metric_names(KEY, self.metrics.values(), evaluated)

    def __call__(self, step: int) -> list[str]:
        if step % self.gap == 0 or len(self.stopped) == len(self.tasks):
            return self.tasks
        return [task for task in self.tasks if task not in self.stopped]

    def after_validation(self, metrics: Mapping[str, float]) -> None:
        missing = [name for name in self.metrics.values() if name not in metrics]
        if missing:
            raise ConfigError(
                f'{KEY} names {missing}, which validation does not give; it gives {sorted(metrics)}'
            )
        for task in self.tasks:
            self._judge(task, float(metrics[self.metrics[task]]))

    def _judge(self, task: str, value: float) -> None:
        best = self.best.get(task)
        if not isfinite(value):
            return
        if best is None or value > best + self.gain * abs(best):
            self.stale[task] = 0
        else:
            self.stale[task] += 1
        if task in self.stopped:
            assert best is not None
            if value < best - self.drop * abs(best):
                self.stopped.remove(task)
                self.stale[task] = 0
        elif self.stale[task] >= self.patience:
            self.stopped.append(task)
        self.best[task] = value if best is None else max(best, value)

    def state_dict(self) -> dict:
        return dict(best=dict(self.best), stale=dict(self.stale), stopped=list(self.stopped))

    def load_state_dict(self, state: Mapping) -> None:
        if state:
            self.best, self.stale = dict(state['best']), dict(state['stale'])
            self.stopped = list(state['stopped'])
