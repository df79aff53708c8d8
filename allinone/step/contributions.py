"""Weights of a task's passes in its loss, which is the mean over all its labelled images."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from allinone.distributed.processes import Alone


@dataclass(frozen=True)
class Contribution:
    """One pass of a task: a micro-batch of a source in this process.

    Attributes:
        weight: Weight of its loss in the mean over the task's passes and processes; 1 where all
            have as many labelled images, 0 where this process has none but another one has some.
        passes: Number of the task's passes in this iteration.
        share: What it counts in that mean: its weight, but for heads that average over the
            processes also where this process has no labelled image.
        factor: Factor of the task's loss on the images of this source. It is no part of the mean's
            weights, so images with a smaller one count less also where no other source takes part.
    """

    weight: float = 1.0
    passes: int = 1
    share: float = 1.0
    factor: float = 1.0

    def times_factor(
        self, loss: Tensor, terms: Mapping[str, Tensor]
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """A pass's loss and the terms of its log, those of the loss times ``factor``.

        As in mmengine, terms with ``loss`` in their names make up the loss.
        """
        if self.factor == 1:
            return loss, terms
        return loss * self.factor, {
            name: value * self.factor if 'loss' in name else value for name, value in terms.items()
        }

    def objective(self, loss: Tensor) -> Tensor:
        """The part of the task's loss that this pass contributes."""
        if self.weight == 1:
            return loss if self.passes == 1 else loss / self.passes
        return loss * (self.weight / self.passes)


Passes = Mapping[str, Sequence[int]]  # ``{task: labelled images of each pass}``


def contributions(
    counts: Passes, processes: Alone, synchronised: Collection[str], like: Tensor
) -> dict[str, list[Contribution | None]]:
    """The contribution of each pass, from the numbers of labelled images in all processes.

    The loss of a task is the mean over its labelled images: of n images in this pass and process,
    N in all passes and processes, P passes and R processes, the weight is ``n R P / N``. Heads that
    divide their loss by a number of objects averaged over the processes have done so for the
    processes, and their weight is that of the pass.

    Args:
        counts: Labelled images of this process; the same tasks and passes in all processes.
        processes: The processes of the step.
        synchronised: Tasks whose heads average over the processes within their losses.
        like: A tensor on the device that the processes communicate with.

    Returns:
        ``{task: contributions}``; None where no process has a labelled image.
    """
    flat = [count for passes in counts.values() for count in passes]
    # A single process needs no device, and does not wait for one.
    device = like.device if processes.many else 'cpu'
    here = torch.tensor([flat, [1] * len(flat)], dtype=torch.float64, device=device)
    totals, ranks = processes.sum(here).tolist()
    found: dict[str, list[Contribution | None]] = {}
    start = 0
    for task, passes in counts.items():
        everywhere = totals[start : start + len(passes)]
        total, number = sum(everywhere), len(passes)
        found[task] = []
        for count, all_ranks in zip(passes, everywhere):
            images = all_ranks if task in synchronised else count * ranks[start]
            share = images * number / total if all_ranks else 0.0
            weight = share if count else 0.0
            found[task].append(Contribution(weight, number, share) if all_ranks else None)
        start += len(passes)
    return found
