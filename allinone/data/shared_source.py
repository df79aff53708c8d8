"""What the loader of a shared source has beside that of a single task: kinds and sampler."""

from collections.abc import Mapping
from typing import Any

from allinone.config.sources import MIN_LABELLED
from allinone.errors import ConfigError
from allinone.tasks import TaskKind


def check_kinds(key: str, dataset: Any, kinds: Mapping[str, TaskKind | None]) -> None:
    """Refuse labels that the model of a task does not take, and which would fail in its first loss.

    Args:
        key: Where the labels stand, for messages.
        dataset: A ``SharedDataset``.
        kinds: ``{task: kind of its model}``; None: not checked.

    Raises:
        ConfigError: Naming both kinds.
    """
    for task, found in dataset.kinds.items():
        kind = kinds.get(task)
        if kind is None or kind.sample_type == TaskKind.sample_type:
            continue  # One of the user's that does not say it
        if kind.sample_type != found.sample_type:
            raise ConfigError(
                f'{key}.{task} has labels of the kind {found.name!r}, but model.tasks.{task} is of '
                f'the kind {kind.name!r}; give it the data set that a source of {task} alone has'
            )


def default_sampler(train: bool, shared: bool) -> dict:
    """The config of a sampler for a source without one."""
    if not train:
        return dict(type='DefaultSampler', shuffle=False)
    return dict(type='allinone.SharedSampler' if shared else 'allinone.SeededInfiniteSampler')


def set_min_labelled(key: str, cfg: dict, given: Mapping, needed: Mapping[str, int]) -> None:
    """Give the sampler of a shared source the size of a batch, and what each batch is to have.

    Args:
        key: Where the config of the dataloader stands, for messages.
        cfg: That config with its sampler, changed in place.
        given: ``min_labelled`` of the config.
        needed: ``{task: number}`` that the model needs.

    Raises:
        ConfigError: If the sampler does not follow what is given.
    """
    sampler = cfg['sampler']
    name = sampler.get('type') if isinstance(sampler, Mapping) else type(sampler).__name__
    name = getattr(name, '__name__', str(name))
    if name.rpartition('.')[2] == 'SharedSampler' and isinstance(sampler, Mapping):
        cfg['sampler'] = dict(
            batch_size=cfg.get('batch_size', 1), min_labelled=dict(needed) | dict(given)
        ) | dict(sampler)
    elif given:
        raise ConfigError(
            f'{key}.{MIN_LABELLED} is {dict(given)}, but {key}.sampler.type is {name!r}, which '
            "does not follow it; use 'SharedSampler', or leave one of them out"
        )
