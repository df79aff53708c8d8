"""The tasks in turn."""

from allinone.registry import TASK_SCHEDULES

from .base import TaskSchedule


@TASK_SCHEDULES.register_module()
class RoundRobin(TaskSchedule):
    """One task a step, in turn."""

    one_task = True

    def __call__(self, step: int) -> list[str]:
        return [self.tasks[step % len(self.tasks)]]
