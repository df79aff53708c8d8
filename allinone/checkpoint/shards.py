"""Sharded tensors to and from checkpoints: files with full tensors or folders with parts."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import torch
from mmengine.dist import is_main_process
from safetensors import safe_open
from torch import Tensor
from torch.optim import Optimizer

from allinone.distributed.processes import is_sharded, offsets_of


class StoredTensor:
    """A tensor of a checkpoint folder; reads only the requested part, on request.

    Args:
        name: Its name in the files.
        shape: Shape of the full tensor.
        dtype: Its type.

    Attributes:
        parts: ``(open file, offsets, shape)`` of each part; safetensors opens the file.
    """

    def __init__(self, name: str, shape: Sequence[int], dtype: torch.dtype):
        self.name = name
        self.shape = torch.Size(shape)
        self.dtype = dtype
        self.parts: list[tuple[safe_open, Sequence[int], Sequence[int]]] = []

    def read(self, offsets: Sequence[int] | None = None, shape: Sequence[int] = ()) -> Tensor:
        """Read the part of ``shape`` that begins at ``offsets`` into host memory. Default: all."""
        if offsets is None:
            offsets, shape = [0] * len(self.shape), self.shape
        found = torch.empty(shape, dtype=self.dtype)
        for file, start, size in self.parts:
            begin = [max(pair) for pair in zip(offsets, start)]
            end = [min(a + n, b + m) for a, n, b, m in zip(offsets, shape, start, size)]
            if any(b >= e for b, e in zip(begin, end)):
                continue
            there, here = (
                tuple(slice(b - o, e - o) for b, e, o in zip(begin, end, origin))
                for origin in (start, offsets)
            )
            part = file.get_slice(self.name)[there] if there else file.get_tensor(self.name)
            found[here] = part
        return found


def map_tensors(value, change: Callable, path: tuple[str, ...] = ()):
    """Copy nested containers, with each (stored) tensor replaced by ``change(tensor, path)``."""
    if isinstance(value, (Tensor, StoredTensor)):
        return change(value, path)
    if isinstance(value, dict):
        found = (OrderedDict if isinstance(value, OrderedDict) else dict)(
            (key, map_tensors(part, change, (*path, str(key)))) for key, part in value.items()
        )
        if hasattr(value, '_metadata'):
            # Module versions, as in any state dict
            found._metadata = value._metadata  # type: ignore[attr-defined]  # an OrderedDict's
        return found
    if isinstance(value, (list, tuple)):
        return type(value)(
            map_tensors(part, change, (*path, str(number))) for number, part in enumerate(value)
        )
    return value


def whole(checkpoint):
    """Replace sharded tensors by full ones; all processes call it.

    They are gathered one by one into host memory of the main process; in the other processes they
    are None.
    """

    def gathered(tensor, path):
        if not is_sharded(tensor):
            return tensor
        full = tensor.detach().full_tensor()
        return full.cpu() if is_main_process() else None

    return map_tensors(checkpoint, gathered)


def all_read(checkpoint, map_location='cpu'):
    """Replace stored tensors by full tensors in memory."""
    return map_tensors(
        checkpoint,
        lambda tensor, path: (
            tensor.read().to(map_location) if isinstance(tensor, StoredTensor) else tensor
        ),
    )


def sharded_as(value: Tensor | StoredTensor, like: Tensor) -> Tensor:
    """Shard a full tensor as ``like``; each process copies or reads only its part."""
    if not is_sharded(like):
        return value.read() if isinstance(value, StoredTensor) else value
    if not isinstance(value, StoredTensor) and is_sharded(value):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(value, StoredTensor):
        part = value.read(offsets_of(like), like.to_local().shape).to(like.device)
        return DTensor.from_local(
            part, like.device_mesh, like.placements, shape=like.shape, stride=like.stride()
        )
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def shard_state(optimizer: Optimizer, state_dict: Mapping) -> dict:
    """Shard the full tensors of an optimizer's state dict, each as its parameter.

    The results are copies: an optimizer stores tensors that it loads, and the inputs may be
    memory-mapped.
    """

    def own(value, param):
        if getattr(value, 'shape', None) == param.shape:
            value = sharded_as(value, param)
        elif isinstance(value, StoredTensor):
            value = value.read()
        return value.clone() if isinstance(value, Tensor) else value

    numbers = [i for group in state_dict['param_groups'] for i in group['params']]
    params = [param for group in optimizer.param_groups for param in group['params']]
    state = dict(state_dict['state'])
    for number, param in zip(numbers, params):
        if number in state:
            state[number] = {name: own(value, param) for name, value in state[number].items()}
    return all_read(dict(state_dict, state=state))
