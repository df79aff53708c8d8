"""The model of a checkpoint."""

import os
from collections.abc import Sequence

import torch
from mmengine.config import Config

from allinone.models.allinone import AllInOne
from allinone.models.joint import build_network, load_trained, on_device

from .model_source import find_model


def load(
    checkpoint: str | os.PathLike,
    config: str | os.PathLike | Config | None = None,
    device: str | torch.device | None = None,
    tasks: Sequence[str] | None = None,
) -> AllInOne:
    """The joint model of a checkpoint with its weights, in evaluation mode.

    >>> model = allinone.load('best_score_iter_1200.pth')
    >>> model.predict(torch.zeros(1, 3, 480, 640))['cls'][0].pred_label

    For images of any size, from files or arrays, use :class:`allinone.AllInOneInferencer`.

    Args:
        checkpoint: A checkpoint, or a work dir, for its best checkpoint, else its newest complete
            one. It is read without executing code from it.
        config: Its config. Default: the one in the checkpoint.
        device: As in torch. Default: CUDA if available.
        tasks: Tasks that must have weights. Default: all.

    Raises:
        ConfigError: If the config cannot be used, or the device does not exist.
        CheckpointError: If the checkpoint cannot be read, has no config, or lacks weights.
    """
    source = find_model(checkpoint if config is None else config, checkpoint)
    model = build_network(source.cfg)
    tasks = model.task_names(tasks)
    load_trained(model, source.checkpoint, source.path, tasks)
    default = 'cuda' if torch.cuda.is_available() else 'cpu'
    on_device(model, device or default)
    return model.eval()
