"""What a training step sends to the other processes, and when."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from allinone.distributed.processes import Alone

from .backbone_gradients import BackboneGradients
from .gradients import trainable
from .statistics import RunningStatistics


class Messages:
    """Sends a task's part when its last backward pass is over, and common parts at the end.

    So a message travels while the next task computes. Kept gradients are sent task by task, others
    once, when they have been added up.

    Args:
        processes: Those that make the step together.
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
        # Which backbone parameters some process has a kept gradient of
        self._reached: Tensor | None = None

    def send_task(self, task: str, sums: list[Tensor], row: Tensor | None) -> None:
        """A task's loss and count, the gradients of its own parameters and a kept ``row``."""
        self.sent.append(task)
        self.processes.send(sums=sums, params=trainable(self.tasks[task]), large=row)

    def send_common(
        self, gradients: BackboneGradients | None, apart: bool, further: Sequence[Tensor]
    ) -> None:
        """What is of no task alone: the backbone's summed gradients, and batch norm.

        Args:
            gradients: The kept ones.
            apart: Whether the backbone's gradient is made of them, so that ``.grad`` is not sent.
            further: Tensors to be averaged.
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
        """Wait for all that was sent in this step."""
        self.processes.receive()
        if self._reached is not None:
            assert gradients is not None
            if not all(gradients.reached):
                gradients.reached = self._reached.bool().tolist()
        self.sent, self._reached = [], None
