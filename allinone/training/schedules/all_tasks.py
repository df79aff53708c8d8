"""All tasks together."""

from allinone.registry import TASK_SCHEDULES

from .base import TaskSchedule


@TASK_SCHEDULES.register_module()
class AllTasks(TaskSchedule):
    """Every task in every step: one optimizer step of all tasks' gradients together."""

    def __call__(self, step: int) -> list[str]:
        return self.tasks
