"""Regions of images in which a class is in doubt, left out of the loss of dense heads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from .annotated_classes import MASKED

REGIONS = 'ignored_regions'  # In the metainfo of data sets and of training samples


class Regions:
    """Which class scores of a dense head lie in ignored boxes of their class.

    A prior lies in a box if its centre does. A prior that is assigned to an object of a class keeps
    its score of this class.

    Args:
        head: Of mmdet, with ``prior_generator`` and a loss of logits ``(R, C)``, whose rows are the
            priors of all images of a level, or of all levels one after the other.
        samples: Data samples of the images of a batch, with ``ignored_instances``.
    """

    def __init__(self, head: Any, samples: Sequence[BaseDataElement]):
        self._head, self._samples = head, samples
        self._levels: list[Tensor] = []
        self._number = 0

    def begin(self, scores: Sequence[Tensor]) -> None:
        """Find the scores in ignored boxes for a batch.

        Args:
            scores: Logits ``(N, A * C, H_i, W_i)`` of each level.
        """
        sizes = [tuple(level.shape[-2:]) for level in scores]
        device = scores[0].device
        levels = self._head.prior_generator.grid_priors(sizes, device=device)
        classes = self._head.num_classes
        inside = [_inside(sample, classes, levels, device) for sample in self._samples]
        self._levels = [torch.cat(images) for images in zip(*inside)]
        self._number = 0

    def rows(self, count: int) -> Tensor:
        """bool ``(R, C)`` of the next call of the loss."""
        if count == sum(map(len, self._levels)):
            return torch.cat(self._levels)
        self._number += 1
        return self._levels[self._number - 1]

    def mask(self, _: nn.Module, args: tuple) -> tuple:
        """A hook before the loss, which replaces these logits by a constant."""
        logits, target, *others = args
        masked = self.rows(len(logits))
        labels = target[0] if isinstance(target, (tuple, list)) else target
        if labels.dim() == 1:
            own = labels.unsqueeze(1) == torch.arange(logits.shape[1], device=labels.device)
        else:
            own = labels > 0  # A target for each class
        return torch.where(masked & ~own, MASKED, logits), target, *others


def _inside(
    sample: BaseDataElement, classes: int, levels: Sequence[Tensor], device: torch.device
) -> list[Tensor]:
    """bool ``(P_i, C)`` of each level: whether priors lie in ignored boxes of a class."""
    ignored = sample.ignored_instances
    boxes = ignored.bboxes
    boxes = getattr(boxes, 'tensor', boxes).to(device).float()
    of_class = nn.functional.one_hot(ignored.labels.to(device), classes).float()  # (B, C)
    found = []
    for priors in levels:
        centres = priors if priors.shape[1] == 2 else (priors[:, :2] + priors[:, 2:]) / 2
        after = (centres[:, None] >= boxes[:, :2]).all(-1)
        before = (centres[:, None] <= boxes[:, 2:]).all(-1)
        found.append((after & before).float() @ of_class > 0)
    return found


@contextmanager
def without_regions(head: nn.Module, samples: Sequence[BaseDataElement]) -> Iterator[None]:
    """Inside, the loss of class scores of a dense head has no term in ignored boxes of a class.

    Args:
        head: As for :class:`Regions`, with ``loss_by_feat(scores, ...)`` and ``loss_cls``.
        samples: As for :class:`Regions`.
    """
    regions = Regions(head, samples)
    compute: Callable = head.loss_by_feat  # type: ignore[assignment]

    def begin(scores: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
        regions.begin(scores)
        return compute(scores, *args, **kwargs)

    handle = head.loss_cls.register_forward_pre_hook(regions.mask)  # type: ignore[union-attr]
    head.loss_by_feat = begin  # type: ignore[assignment]
    try:
        yield
    finally:
        handle.remove()
        del head.loss_by_feat  # That of the class again
