"""Which tasks take part in which training step."""

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from allinone.datasets.seeded import seed_of
from allinone.errors import ConfigError
from allinone.evaluation.names import check_figures
from allinone.registry import TASK_SCHEDULES


class TaskSchedule:
    """The task list of a step as a pure function of (seed, step, data-set sizes).

    Pure, so that it is the same on every rank and resuming needs no state.

    Args:
        sizes: ``{task: number of training samples}`` in the order of ``model.tasks``.
        seed: The run's seed.

    Attributes:
        one_task: Whether each step has one task.
        uses_metrics: Whether :meth:`after_validation` changes the state.
        uses_length: Whether the steps so far depend on the number of steps of the training.
    """

    one_task = False
    uses_metrics = False
    uses_length = False

    def __init__(self, sizes: Mapping[str, int], seed: int = 0):
        self.sizes = dict(sizes)
        self.tasks = list(sizes)
        self.seed = seed

    def start(self, max_iters: int, evaluated: Mapping[str, set[str] | None]) -> None:
        """Called once before the first step of a training.

        Args:
            max_iters: Its number of steps.
            evaluated: The tasks that validation evaluates, with the names of the figures of each
                (None: not known).

        Raises:
            ConfigError: If the schedule needs what this training does not give.
        """

    def after_validation(self, metrics: Mapping[str, float]) -> None:
        """Called with the figures ``{'TASK/metric': value}`` of each validation."""

    def state_dict(self) -> dict:
        """What a schedule with a state remembers, in plain containers and numbers."""
        return {}

    def load_state_dict(self, state: Mapping) -> None:
        """Continue from :meth:`state_dict`; an empty one changes nothing."""

    def __call__(self, step: int) -> list[str]:
        """Names of the tasks of step ``step`` (0 for the first), in the order of the config."""
        raise NotImplementedError(f'{type(self).__name__} does not define __call__()')


@TASK_SCHEDULES.register_module()
class EveryTask(TaskSchedule):
    """Every task in every step: one optimizer step of all tasks' gradients together."""

    def __call__(self, step: int) -> list[str]:
        return self.tasks


@TASK_SCHEDULES.register_module()
class RoundRobin(TaskSchedule):
    """One task a step, in turn."""

    one_task = True

    def __call__(self, step: int) -> list[str]:
        return [self.tasks[step % len(self.tasks)]]


class RandomTask(TaskSchedule):
    """One task a step, drawn at :meth:`rates`."""

    one_task = True

    def rates(self, step: int) -> np.ndarray:
        """Probabilities ``[K]`` of the tasks at ``step``; they sum to 1."""
        raise NotImplementedError(f'{type(self).__name__} does not define rates()')

    def __call__(self, step: int) -> list[str]:
        uniform = np.random.default_rng(seed_of(self.seed, 'schedule', step)).random()
        chosen = np.searchsorted(np.cumsum(self.rates(step)), uniform, side='right')
        return [self.tasks[min(int(chosen), len(self.tasks) - 1)]]


@TASK_SCHEDULES.register_module()
class SizeProportional(RandomTask):
    """One task a step, drawn in proportion to its number of samples."""

    def rates(self, step: int) -> np.ndarray:
        sizes = np.array(list(self.sizes.values()), dtype=float)
        return sizes / sizes.sum()


@TASK_SCHEDULES.register_module()
class Temperature(RandomTask):
    """One task a step, drawn at a rate proportional to ``min(N, cap)**(1 / temperature)``.

    N is the task's number of samples. Temperature 1 is in proportion to size, a large one uniform.
    Multilingual translation and T5 sample so, https://arxiv.org/abs/1910.10683.

    Args:
        sizes: As in :class:`TaskSchedule`.
        seed: As in :class:`TaskSchedule`.
        temperature: Above 0.
        cap: No data set counts as larger than this; None: no limit.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        seed: int = 0,
        temperature: float = 2.0,
        cap: float | None = None,
    ):
        super().__init__(sizes, seed)
        self.temperature = _number('temperature', temperature, above=0)
        self.cap = None if cap is None else _number('cap', cap, above=0)

    def rates(self, step: int) -> np.ndarray:
        sizes = np.array(list(self.sizes.values()), dtype=float)
        # In units of the largest, or a low temperature would overflow.
        sizes = sizes if self.cap is None else sizes.clip(max=self.cap)
        powers = (sizes / sizes.max()) ** (1 / self.temperature)
        return powers / powers.sum()


@TASK_SCHEDULES.register_module()
class Annealed(RandomTask):
    """One task a step, drawn at ``N**a`` with a changing linearly over the training.

    N is the task's number of samples; large data sets first, all alike in the end. Stickland and
    Murray, https://arxiv.org/abs/1902.02671, go from 1 to 0.2.

    Args:
        sizes: As in :class:`TaskSchedule`.
        seed: As in :class:`TaskSchedule`.
        begin: a at the first step, not below 0.
        end: a at the last step, not below 0.
        steps: Number of steps of the fall. Default: ``max_iters`` of the training.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        seed: int = 0,
        begin: float = 1.0,
        end: float = 0.2,
        steps: int | None = None,
    ):
        super().__init__(sizes, seed)
        self.begin, self.end = _number('begin', begin, least=0), _number('end', end, least=0)
        self.steps = None if steps is None else _number('steps', steps, above=1)
        self.uses_length = steps is None

    def start(self, max_iters: int, evaluated: Mapping[str, set[str] | None]) -> None:
        self.steps = self.steps or max(max_iters, 2)

    def rates(self, step: int) -> np.ndarray:
        if self.steps is None:
            raise ConfigError('steps is not set; give the number of steps of the training')
        share = min(step / (self.steps - 1), 1)
        sizes = np.array(list(self.sizes.values()), dtype=float)
        powers = (sizes / sizes.max()) ** (self.begin + (self.end - self.begin) * share)
        return powers / powers.sum()


@TASK_SCHEDULES.register_module()
class Weighted(RandomTask):
    """One task a step, drawn at given rates.

    Args:
        sizes: As in :class:`TaskSchedule`.
        seed: As in :class:`TaskSchedule`.
        weights: ``{task: rate}`` of all tasks, in any unit; none negative, not all 0.

    Raises:
        ConfigError: If tasks are unknown or missing, or rates are negative or all 0.
    """

    def __init__(
        self, sizes: Mapping[str, int], seed: int = 0, weights: Mapping[str, float] | None = None
    ):
        super().__init__(sizes, seed)
        if not isinstance(weights, Mapping) or set(weights) != set(self.tasks):
            raise ConfigError(f'weights is {weights!r}; give a rate to each of {self.tasks}')
        self._weights = np.array(
            [_number(f'weights.{task}', weights[task], least=0) for task in self.tasks]
        )
        if not self._weights.any():
            raise ConfigError(f'weights is {weights!r}, all 0; make at least one positive')

    def rates(self, step: int) -> np.ndarray:
        return self._weights / self._weights.sum()


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
            the start, if validation evaluates no such task; after it, if it gives no such metric.
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
        if isinstance(metrics, str) or sorted(name.split('/')[0] for name in metrics) != sorted(
            self.tasks
        ):
            raise ConfigError(
                f"metrics is {metrics!r}; give one 'TASK/metric' for each of {self.tasks}"
            )
        self.metrics = {name.split('/')[0]: name for name in metrics}
        self.gap = _number('gap', gap, least=1)
        self.patience = _number('patience', patience, least=1)
        self.gain, self.drop = _number('gain', gain, least=0), _number('drop', drop, least=0)
        self.best: dict[str, float] = {}
        self.stale = dict.fromkeys(self.tasks, 0)
        self.stopped: list[str] = []

    def start(self, max_iters: int, evaluated: Mapping[str, set[str] | None]) -> None:
        check_figures('metrics', self.metrics.values(), evaluated)

    def __call__(self, step: int) -> list[str]:
        if step % self.gap == 0 or len(self.stopped) == len(self.tasks):
            return self.tasks
        return [task for task in self.tasks if task not in self.stopped]

    def after_validation(self, metrics: Mapping[str, float]) -> None:
        missing = [name for name in self.metrics.values() if name not in metrics]
        if missing:
            raise ConfigError(
                f'metrics names {missing}, which validation does not give; it gives '
                f'{sorted(metrics)}'
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


def _number(key: str, value, least: float | None = None, above: float | None = None) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
    if (
        not number
        or (least is not None and value < least)
        or (above is not None and value <= above)
    ):
        raise ConfigError(
            f'{key} is {value!r}; give a number '
            + (f'above {above:g}' if least is None else f'of at least {least:g}')
        )
    return value
