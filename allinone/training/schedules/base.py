"""Which tasks take part in which training step."""

from collections.abc import Mapping

from allinone.registry.options import check_count


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
        self.seed = check_count('train_cfg.schedule.seed', seed, 0)

    def start(self, max_iters: int, evaluated: Mapping[str, set[str] | None]) -> None:
        """Called once before the first step of a training.

        Args:
            max_iters: Its number of steps.
            evaluated: The tasks that validation evaluates, with the names of the values of each
                (None: not known).

        Raises:
            ConfigError: If the schedule needs what this training does not give.
        """

    def after_validation(self, metrics: Mapping[str, float]) -> None:
        """Called with the values ``{'TASK/metric': value}`` of each validation."""

    def state_dict(self) -> dict:
        """What a schedule with a state remembers, in plain containers and numbers."""
        return {}

    def load_state_dict(self, state: Mapping) -> None:
        """Continue from :meth:`state_dict`; an empty one changes nothing."""

    def __call__(self, step: int) -> list[str]:
        """Names of the tasks of step ``step`` (0 for the first), in the order of the config."""
        raise NotImplementedError(f'{type(self).__name__} does not define __call__()')
