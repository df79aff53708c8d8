"""Data sets that annotate only some of a task's classes, and losses without the others.

On their images an object of another class has no label, so it would count as background. Heads with
a sigmoid for each class learn nothing of a class whose logit in the loss is a constant.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from allinone.errors import ConfigError

from .class_lists import names_of
from .wrapped import wrapped_data_sets

ANNOTATED = 'annotated_classes'
# A probability of 2e-9: no loss as a negative, but finite in 16 bits and under any power
MASKED = -20.0

LABELS = 'annotated_labels'  # In the metainfo of a training sample


def annotated_labels(dataset: Any) -> tuple[int, ...] | None:
    """The labels that a data set annotates, in rising order; None: all of its classes.

    Args:
        dataset: May wrap or concatenate others.

    Raises:
        ConfigError: If ``metainfo.annotated_classes`` are no classes of it, or differ among the
            data sets inside it.
    """
    found = [_labels_of(part) for part in wrapped_data_sets(dataset)]
    for labels in found[1:]:
        if labels != found[0]:
            raise ConfigError(
                f'the data sets inside {type(dataset).__name__} have different '
                f'metainfo.{ANNOTATED}, but the images of a batch leave out the same classes; '
                'make a source of each, with the same tasks'
            )
    return found[0] if found else None


def _labels_of(dataset: Any) -> tuple[int, ...] | None:
    metainfo = getattr(dataset, 'metainfo', None)
    chosen = metainfo.get(ANNOTATED) if isinstance(metainfo, Mapping) else None
    if chosen is None:
        return None
    key, classes = f'metainfo.{ANNOTATED}', names_of(metainfo) or []
    if isinstance(chosen, str) or not isinstance(chosen, Sequence) or not chosen:
        raise ConfigError(f"{key} is {chosen!r}; give names of classes, as in ('car', 'bus')")
    for name in chosen:
        if str(name) not in classes:
            near = difflib.get_close_matches(str(name), classes, 1)
            raise ConfigError(
                f'{key} has {name!r}, which metainfo.classes does not have; '
                + (f'do you mean {near[0]!r}?' if near else f'name some of {classes}')
            )
    labels = tuple(sorted({classes.index(str(name)) for name in chosen}))
    return None if len(labels) == len(classes) else labels


@contextmanager
def masked_logits(loss: nn.Module, labels: Sequence[int]) -> Iterator[None]:
    """Inside, ``loss(logits, ...)`` gets :data:`MASKED` for all classes but ``labels``.

    Only the loss: what assigns boxes, or measures the quality of a prediction, sees the logits.

    Args:
        loss: Takes logits ``(..., C)`` as its first argument.
        labels: The annotated classes.
    """

    def replace(_: nn.Module, args: tuple) -> tuple:
        logits, *others = args
        kept = _kept(tuple(labels), logits.shape[-1], logits.device)
        return torch.where(kept, logits, MASKED), *others

    handle = loss.register_forward_pre_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def ignore_others(label_map: Tensor, labels: Sequence[int], ignored: int) -> Tensor:
    """A label map in which all pixels of other classes than ``labels`` are ignored.

    Such a pixel, labelled as the rest, may belong to any class that is not annotated.

    Args:
        label_map: Labels ``(..., H, W)``, integers.
        labels: The annotated classes.
        ignored: The label of ignored pixels.
    """
    count = max(max(labels), ignored, 255) + 1
    kept = _kept(tuple(labels), count, label_map.device)
    return torch.where(kept[label_map.clamp(0, count - 1).long()], label_map, ignored)


@lru_cache(maxsize=64)
def _kept(labels: tuple[int, ...], count: int, device: torch.device) -> Tensor:
    """bool ``(count,)``: which classes are annotated; made once, for copies wait for the device."""
    kept = torch.zeros(count, dtype=torch.bool)
    kept[list(labels)] = True
    return kept.to(device)
