"""Short forms of configs, written out: ``data``, ``copy_of``, and numbers that are left out."""

from mmengine.config import Config

from .annotated_classes import move_annotated_classes
from .class_numbers import follow_data, follow_tasks
from .data_entries import expand_data
from .task_copies import expand_copies
from .type_names import name_types
from .wiring import follow_backbone


def expand_config(cfg: Config, strict: bool = True, wire: bool = True) -> None:
    """Bring a config into the form that everything else reads, in place.

    That is the long form, with names as types. A config in that form does not change.

    Args:
        cfg: As mmengine reads it.
        strict: As in :func:`name_types`.
        wire: Fill what follows from the backbone, which is built for it.

    Raises:
        ConfigError: If a short form cannot be expanded, or a type has no name.
    """
    counts = expand_data(cfg)
    move_annotated_classes(cfg)
    expand_copies(cfg)
    name_types(cfg, strict)
    follow_data(cfg, counts)
    follow_tasks(cfg)
    if wire:
        follow_backbone(cfg)
