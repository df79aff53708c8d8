"""Messages of a training step to the other processes."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from allinone.distributed.processes import Alone

from .backbone_gradients import BackboneGradients
from .gradients import trainable
from .statistics import RunningStatistics


class Messages:
    """Sends a task's part after its last backward pass, and common parts at the end.

    Messages thus overlap with the next task's computation. Kept gradients are sent task by task,
    others once, after they are summed.

    Args:
        processes: The processes of the step.
        backbone: The shared backbone.
        tasks: ``{name: sub-model}`` of all tasks.

    Attributes:
        sent: The tasks whose part of this step was sent.
    """

    def __init__(self, processes: Alone, backbone: nn.Module, tasks: Mapping[str, nn.Module]):
        self.processes, self.backbone, self.tasks = processes, backbone, tasks
        self.sent: list[str] = []
        self._statistics = RunningStatistics([backbone])
        self._task_statistics = {name: RunningStatistics([task]) for name, task in tasks.items()}
        # Which backbone parameters have a kept gradient in some process
        self._reached: Tensor | None = None

    def send_task(self, task: str, sums: list[Tensor], row: Tensor | None) -> None:
        """Send a task's loss and count, its task-specific gradients and a kept ``row``."""
        self.sent.append(task)
        self.processes.send(sums=sums, params=trainable(self.tasks[task]), large=row)

    def send_common(
        self, gradients: BackboneGradients | None, apart: bool, further: Sequence[Tensor]
    ) -> None:
        """Send what the tasks share: the backbone's summed gradients, and batch norm statistics.

        Args:
            gradients: The kept gradients.
            apart: Whether the backbone's gradient is computed from them, so ``.grad`` is not sent.
            further: Further tensors to average.
        """
        moving = self._statistics.moving()
        for task in self.sent:
            moving = moving + self._task_statistics[task].moving()
        means = [buffers[name] for buffers, name in moving]
        if gradients is not None:
            buffer = gradients.buffer
            reached = torch.tensor(gradients.reached, dtype=buffer.dtype)
            self._reached = reached.to(buffer.device, non_blocking=True)
        self.processes.send(
            sums=[] if self._reached is None else [self._reached],
            means=[*means, *further],
            params=[] if apart else trainable(self.backbone),
        )

    def receive(self, gradients: BackboneGradients | None) -> None:
        """Wait for all messages of this step."""
        self.processes.receive()
        if self._reached is not None:
            assert gradients is not None
            if not all(gradients.reached):
                gradients.reached = self._reached.bool().tolist()
        self.sent, self._reached = [], None
