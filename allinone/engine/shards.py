"""Sharded tensors in and out of checkpoints, which hold whole ones."""

import torch
from mmengine.dist import is_main_process
from torch.optim import Optimizer

from allinone.balancers.processes import is_sharded


def whole(value):
    """The same containers with whole tensors in place of sharded ones; all processes call it.

    They are put together one by one and lie in host memory, of the main process alone: of the
    others they are None.
    """
    if isinstance(value, torch.Tensor) and is_sharded(value):
        full = value.detach().full_tensor()
        return full.cpu() if is_main_process() else None
    if isinstance(value, dict):
        found = type(value)((key, whole(part)) for key, part in value.items())
        if hasattr(value, '_metadata'):
            found._metadata = value._metadata
        return found
    if isinstance(value, (list, tuple)):
        return type(value)(whole(part) for part in value)
    return value


def sharded_as(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor spread as ``like`` is; each process takes its part of its own copy."""
    if not is_sharded(like) or is_sharded(value):
        return value
    from torch.distributed.tensor import distribute_tensor

    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def shard_state(optimizer: Optimizer) -> None:
    """Spread what an optimizer loaded as its parameters are."""
    for param, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == param.shape:
                state[name] = sharded_as(value, param)
