"""The loader of a shared source beyond that of a single task: kinds of labels and sampler."""

import inspect
import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log

from allinone.config.sources import MIN_LABELLED
from allinone.errors import ConfigError
from allinone.registry import DATA_SAMPLERS, LIBRARIES
from allinone.tasks import TaskKind

from .shared_sample import SharedDataSample
from .shared_sampler import SharedSampler

SIMULATED = 50  # batches
MUCH = 0.25  # share of images that are replaced, above which there is a warning
WITHOUT_MINIMA = (*LIBRARIES, 'allinone', 'mmengine', 'torch')  # Samplers of users may have some.


def check_kinds(key: str, dataset: Any, kinds: Mapping[str, TaskKind | None]) -> None:
    """Refuse labels that the model of a task does not take, and which would fail in its first loss.

    Args:
        key: Where the labels stand, for messages.
        dataset: A ``SharedDataset``.
        kinds: ``{task: kind of its model}``; None: not checked.

    Raises:
        ConfigError: Naming both kinds.
    """
    for task, labels in dataset.kinds.items():
        kind = kinds.get(task)
        if kind is None or kind.sample_type == TaskKind.sample_type:
            continue  # One of the user's without it
        if kind.sample_type != labels.sample_type:
            raise ConfigError(
                f'{key}.{task} has labels of the kind {labels.name!r}, but model.tasks.{task} is '
                f'of the kind {kind.name!r}; give it the data set that a source of {task} alone has'
            )


def check_evaluated(key: str, sample: SharedDataSample, kinds: Mapping[str, TaskKind]) -> None:
    """Check that label maps of a sample for evaluation have the size of the file, as metrics need.

    Args:
        key: Config key of the pipeline.
        sample: What it gives.
        kinds: ``{task: kind}``.

    Raises:
        ConfigError: If not.
    """
    for task, labels in sample.labels.items():
        found, size = kinds[task].label_map_size(labels), labels.get('ori_shape')
        if found is not None and size and found != tuple(size[:2]):
            raise ConfigError(
                f'{key}: the label map of {task} has {found} pixels at the end, but '
                f'metrics compare at the size of the file, {tuple(size[:2])}; move '
                'LoadSharedAnnotations behind the transforms that change the size'
            )


def default_sampler(train: bool, shared: bool) -> dict:
    """The config of a sampler for a source without one."""
    if not train:
        return dict(type='DefaultSampler', shuffle=False)
    return dict(type='allinone.SharedSampler' if shared else 'allinone.SeededInfiniteSampler')


def set_min_labelled(
    key: str, cfg: dict, minima: Mapping, needed: Mapping[str, int], dataset: Any
) -> None:
    """Set the batch size and the minima of the sampler of a shared source.

    Args:
        key: Where the config of the dataloader stands, for messages.
        cfg: That config with its sampler, changed in place.
        minima: ``min_labelled`` of the config.
        needed: ``{task: number}`` that the model needs.
        dataset: A ``SharedDataset``, which may be inside another.

    Raises:
        ConfigError: If the sampler does not follow the minima, or batches would be too small for
            the batch norm of a task.
    """
    if cfg.get('batch_sampler'):
        raise ConfigError(
            f'{key}.batch_sampler is set, but the sampler of a shared source makes its batches, so '
            f'that each has labelled images ({MIN_LABELLED}); leave it out'
        )
    sampler = cfg['sampler']
    cls = sampler.get('type') if isinstance(sampler, Mapping) else type(sampler)
    name = getattr(cls, '__name__', str(cls))
    cls = DATA_SAMPLERS.get(cls) if isinstance(cls, str) else cls
    if inspect.isclass(cls) and issubclass(cls, SharedSampler) and isinstance(sampler, Mapping):
        cfg['sampler'] = dict(
            batch_size=cfg.get('batch_size', 1), min_labelled=dict(needed) | dict(minima)
        ) | dict(sampler)
        key = f'{key}.sampler' if MIN_LABELLED in sampler else key
        value = cfg['sampler'][MIN_LABELLED]
        if not isinstance(value, Mapping):
            raise ConfigError(
                f'{key}.{MIN_LABELLED} is {value!r}; give dict({next(iter(needed))}=1)'
            )
        _refuse_too_few(f'{key}.{MIN_LABELLED}', value, needed)
    elif minima:
        raise ConfigError(
            f'{key}.{MIN_LABELLED} is {dict(minima)}, but {key}.sampler.type is {name!r}, which '
            "does not follow it; use 'SharedSampler', or leave one of them out"
        )
    elif getattr(cls, '__module__', '').split('.')[0] in WITHOUT_MINIMA:
        all_labelled = dict(zip(dataset.tasks, dataset.labelled.all(axis=0)))
        for task in (task for task, least in needed.items() if least > 1):
            if not all_labelled[task]:
                raise ConfigError(
                    f'{key}.sampler.type is {name!r}, so a batch may have 1 labelled image of '
                    f'{task}, but {_reason(task, needed[task])}; use {SharedSampler.__name__!r}, '
                    f'or set another norm_cfg in model.tasks.{task}'
                )


def _refuse_too_few(key: str, minima: Mapping, needed: Mapping[str, int]) -> None:
    for task, least in needed.items():
        value = minima.get(task, 0)
        if least > 1 and isinstance(value, int) and value < least:
            raise ConfigError(
                f'{key}.{task} is {value}, but {_reason(task, least)}; set it to {least} or more, '
                f'or set another norm_cfg in model.tasks.{task}'
            )


def _reason(task: str, least: int) -> str:
    return (
        f'a batch norm of model.tasks.{task} sees one value a channel of each image and needs '
        f'{least} images'
    )


def log_replaced(key: str, sampler: Any, needed: Mapping[str, int]) -> None:
    """Log how far the minima of a shared source change its batches; warn where it is much.

    Args:
        key: Where the config of the dataloader stands.
        sampler: That of the loader; if it is no ``SharedSampler``, nothing is logged.
        needed: ``{task: number}`` that the model needs.
    """
    if not isinstance(sampler, SharedSampler):
        return
    share, tasks = sampler.replaced(SIMULATED)
    lower = [task for task in tasks if needed.get(task, 1) < 2]
    remedy = 'raise batch_size'
    if lower:
        remedy += f', or set {MIN_LABELLED} to 0 for {" or ".join(lower)}'
    line = (
        f'{key}: in the first {SIMULATED} batches of {sampler.batch_size}, labelled images replace '
        f'{share:.1%} of the images'
    )
    if share > MUCH:
        print_log(f'{line}; to see all images alike, {remedy}', 'current', logging.WARNING)
    else:
        print_log(line, 'current')
    absent = len(sampler.unreachable())
    if absent:
        print_log(
            f'{key}: {absent} of {len(sampler.labelled)} images are in no batch, for '
            f'batch_size={sampler.batch_size} leaves no place beside the images that '
            f'{MIN_LABELLED} takes; {remedy}',
            'current',
            logging.WARNING,
        )
