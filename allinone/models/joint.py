"""Build a joint model from a config, load a checkpoint and move it to a device."""

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from allinone.checkpoint.loading import (
    TO_TRAIN,
    load_state_dict,
    require_weights,
    state_dict_of,
)
from allinone.errors import ConfigError
from allinone.registry import MODELS

from .allinone import AllInOne


def build_network(cfg: Config, distill: bool = False) -> AllInOne:
    """Build the joint model of a config, by default without ``distill``."""
    left_out = () if distill else ('distill',)
    model = ConfigDict({key: value for key, value in cfg.model.items() if key not in left_out})
    with DefaultScope.overwrite_default_scope('allinone'):
        return MODELS.build(model)


def load_trained(model: AllInOne, checkpoint: dict, path, tasks=None, key='load_from') -> None:
    """Load the weights of a checkpoint read from ``path``, which config key ``key`` names.

    Raises:
        CheckpointError: If it lacks weights of the backbone or of ``tasks`` (default: all).
    """
    state = state_dict_of(checkpoint, path)
    load_state_dict(model, state, path, key=key)
    names = list(model.tasks) if tasks is None else tasks
    require_weights(model, state, names, path, remedy=TO_TRAIN)


def on_device(model: nn.Module, device: str | torch.device) -> nn.Module:
    """Move the model; raises :class:`ConfigError` if the device does not exist."""
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f'device {device} cannot be used: {error}') from error
