"""What made embeddings: two of them are compared only if the same network made both."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from torch import Tensor, nn

from allinone.errors import ConfigError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.preprocess import find_pipeline
from allinone.registry.options import check_choice

# What must be equal, and its name in messages
KEYS = {
    'task': 'task',
    'weights_sha256': 'weights',
    'config_sha256': 'config of the model',
    'preprocessing_sha256': 'test pipeline',
}
PARTS = ('backbone', 'shared_neck', 'data_preprocessor', 'bn')


def maker_of(inferencer: AllInOneInferencer, task: str) -> dict[str, str]:
    """Task and digests of what an embedding depends on: weights, model config and test pipeline.

    The weights of other tasks do not count, nor does the rest of the checkpoint, so that a copy
    without its optimizer makes the same embeddings.

    Args:
        inferencer: Of the model, as it was loaded.
        task: A task that embeds.

    Raises:
        ConfigError: If the task is unknown or does not embed, or its test pipeline is unknown.
    """
    model = inferencer.model
    check_choice('task', task, list(model.tasks))
    if not model.kinds[task].embeds:
        able = [name for name, kind in model.kinds.items() if kind.embeds]
        raise ConfigError(
            f'task is {task!r}, which does not embed; '
            + (f'the tasks that do are {able}' if able else 'the model has no retrieval task')
        )
    return dict(
        task=task,
        weights_sha256=_weights_digest(model, task),
        config_sha256=_digest(_model_config(inferencer.cfg, task)),
        preprocessing_sha256=_digest(_pipeline(inferencer.cfg, task)),
    )


def require_same_maker(place: str, known: Mapping, other: str, found: Mapping) -> None:
    """Refuse embeddings of another network.

    Args:
        place: The gallery, for the message.
        known: What made its embeddings.
        other: What comes to it, for the message.
        found: What made that.

    Raises:
        ConfigError: It names the first difference with both values.
    """
    for key, name in KEYS.items():
        if known.get(key) != found.get(key):
            raise ConfigError(
                f'{place} has embeddings of the {name} {known.get(key)}, but those of {other} are '
                f'of the {name} {found.get(key)}, and cannot be compared; use the checkpoint of '
                f'{place}, or build another gallery'
            )


def _weights_digest(model: nn.Module, task: str) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(_tensors(model, task)):
        values = tensor.detach().cpu().contiguous()
        digest.update(f'{name} {values.dtype} {tuple(values.shape)}\n'.encode())
        # numpy has no bfloat16.
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tensors(model: nn.Module, task: str) -> Iterator[tuple[str, Tensor]]:
    # Buffers that no checkpoint has, such as means of the preprocessor, change embeddings, too.
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        part, _, rest = name.partition('.')
        if part == 'balancer' or (part == 'tasks' and not rest.startswith(f'{task}.')):
            continue
        if name.endswith('num_batches_tracked'):
            continue  # Counts what training saw.
        yield name, tensor


def _model_config(cfg: Config, task: str) -> dict:
    found = {part: cfg.model.get(part) for part in PARTS}
    found['task'] = cfg.model.tasks[task]
    # Where the weights came from before training
    return {
        key: {name: value for name, value in part.items() if name != 'init_cfg'}
        if isinstance(part, Mapping)
        else part
        for key, part in found.items()
    }


def _pipeline(cfg: Config, task: str) -> list:
    found = find_pipeline(cfg, task)
    if found is None:
        raise ConfigError(
            f'the config has no test or val data set of {task}, whose pipeline images would go '
            'through; add one'
        )
    return [found.scope, list(found.steps)]


def _digest(content: Any) -> str:
    """SHA-256 of a config, in which tuples are lists and keys have no order."""
    return hashlib.sha256(json.dumps(_plain(content), sort_keys=True).encode()).hexdigest()


def _plain(part: Any) -> Any:
    if isinstance(part, ConfigDict):
        part = part.to_dict()
    if isinstance(part, Mapping):
        return {str(key): _plain(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_plain(value) for value in part]
    return part if isinstance(part, (str, int, float, bool, type(None))) else repr(part)
