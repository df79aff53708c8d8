"""Checkpoints as folders: each process writes its shard, and reads the parts that it needs.

``shard_*.safetensors`` hold tensors or parts of them, in the safetensors format of PyTorch's
distributed checkpoints (``HuggingFaceStorageReader`` of ``torch.distributed.checkpoint`` reads
them). ``checkpoint.safetensors`` holds all other content, and the size and checksum of each shard.
It is renamed into place last: without it the folder is not a checkpoint, and until then a folder
that is overwritten remains the earlier checkpoint. PyTorch's other format, ``.distcp`` files, uses
a pickle, which can run code.
"""

import json
import math
import os
import os.path as osp
import re
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from torch import Tensor

from allinone.distributed.processes import is_sharded, local, offsets_of
from allinone.errors import AllInOneError, CheckpointError
from allinone.io.atomic import write_durably

from .formats import files_of, name_of, read_safetensors, write_safetensors
from .shards import StoredTensor, all_read, map_tensors

SUFFIX = '.dcp'
REST = 'checkpoint.safetensors'
SHARD = re.compile(r'shard_\w+\.safetensors(\.tmp)?')
# Keys with tensors that are replicated or sharded over the processes
SHARED = ('state_dict', 'ema_state_dict', 'optimizer')
BLOCK = 1 << 20  # bytes


def is_folder(path: str | os.PathLike) -> bool:
    """Whether a checkpoint with this path is a folder."""
    return os.fspath(path).rstrip('/').endswith(SUFFIX)


def is_half_written(path: str) -> bool:
    """Whether the first save into a folder is incomplete."""
    return is_folder(path) and osp.isdir(path) and not osp.isfile(osp.join(path, REST))


def share_of(checkpoint: Mapping) -> dict:
    """Select what this process writes of a checkpoint; all processes pass the same tensors.

    Each process writes its shard of a sharded tensor. Any other tensor is assigned to one process,
    such that all write about the same number of bytes.

    Returns:
        ``rest``, the checkpoint with a :class:`StoredTensor` in place of each tensor, and
        ``tensors`` and ``offsets`` of this process's parts by name.
    """
    rank, others = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    tensors: dict[str, Tensor] = {}
    offsets: dict[str, Sequence[int]] = {}
    names: set[str] = set()
    loads = [0] * others

    def stored(tensor, path):
        if path[0] not in SHARED:
            return tensor
        names.add(name := name_of(path, names))
        part = local(tensor.detach())
        if is_sharded(tensor):
            writer, place = rank, offsets_of(tensor)
        else:
            writer, place = loads.index(min(loads)), [0] * tensor.dim()
            loads[writer] += part.nbytes
        if writer == rank and part.numel():
            tensors[name], offsets[name] = part, place
        return StoredTensor(name, tensor.shape, tensor.dtype)

    return dict(rest=map_tensors(checkpoint, stored), tensors=tensors, offsets=offsets)


def write_folder(
    share: Mapping,
    path: str,
    group: dist.ProcessGroup | None = None,
    done: Callable[[str], object] = lambda path: None,
) -> None:
    """Save a checkpoint; all processes call it, each with its own part.

    Args:
        share: Result of :func:`share_of`, on the CPU.
        path: The folder. An existing checkpoint is replaced.
        group: The processes. None: only this one.
        done: Called with the path in all processes when the checkpoint is in place.

    Raises:
        CheckpointError: In all processes, if one of them failed. An earlier checkpoint at ``path``
            is then unchanged, and no other files remain there. If ``done`` failed, the new
            checkpoint is in place.
    """
    first = group is None or dist.get_rank(group) == 0

    def begin() -> str:
        os.makedirs(path, exist_ok=True)
        return f'{time.time_ns():x}'

    def write_shard() -> tuple[str, list[int]]:
        os.makedirs(path, exist_ok=True)  # A network file system may not show it here yet.
        number = 0 if group is None else dist.get_rank(group)
        name = f'shard_{number:05}_of_{len(answers):05}_{answers[0]}.safetensors'
        return name, _write_shard(osp.join(path, name), share['tensors'], share['offsets'])

    def complete() -> None:
        if first:
            content = dict(checkpoint=share['rest'], shards=dict(answers))
            (file, write), *_ = files_of(content, osp.join(path, REST)).items()
            write_durably(file, write)
        done(path)

    try:
        answers = _together(begin, group)
        answers = _together(write_shard, group)
        _together(complete, group)
    finally:
        # Remove files that are not part of the current checkpoint, also after a failure.
        if first:
            tidy(path)


def _together(call: Callable, group: dist.ProcessGroup | None) -> list:
    """Results of ``call`` in all processes; an error in one process is raised in all."""
    answer: tuple[Any, str | None]
    try:
        answer = call(), None
    except AllInOneError as error:
        answer = None, str(error)
    except Exception as error:
        answer = None, f'{type(error).__name__}: {error}'
    answers: list = [answer]
    if group is not None:
        answers = [None] * dist.get_world_size(group)
        dist.all_gather_object(answers, answer, group)
    for _, fault in answers:
        if fault is not None:
            raise CheckpointError(fault)
    return [answer for answer, _ in answers]


class _Summed:
    """File wrapper that counts the bytes written and computes their checksum."""

    def __init__(self, file: BinaryIO):
        self.file, self.size, self.crc = file, 0, 0

    def write(self, data) -> int:
        self.size += memoryview(data).nbytes
        self.crc = zlib.crc32(data, self.crc)
        return self.file.write(data)


def _write_shard(path: str, tensors: Mapping, offsets: Mapping) -> list[int]:
    """Write a shard; returns the file's size in bytes and its CRC-32."""
    places = {name: dict(saved_offsets=list(place)) for name, place in offsets.items()}
    metadata = dict(format='pt', DCP_VERSION='1.0', DCP_SHARDING_INFO=json.dumps(places))
    summed = []

    def write(file: BinaryIO) -> None:
        summed.append(_Summed(file))
        parts = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_safetensors(parts, metadata, summed[0])

    write_durably(path, write)
    return [summed[0].size, summed[0].crc]


def read_folder(path: str, map_location='cpu', lazily: bool = False) -> dict:
    """Read the checkpoint in a folder after verifying its checksums.

    Args:
        path: The folder.
        map_location: Device of the tensors.
        lazily: Return a :class:`StoredTensor` in place of each tensor in a shard.

    Raises:
        CheckpointError: If the folder is incomplete or damaged.
    """
    content = _content(path)
    if content is None:
        raise CheckpointError(f'{path} is no complete checkpoint: it has no {REST}')
    checkpoint = content['checkpoint']
    parts: dict[str, list[tuple]] = {}
    for name, (size, crc) in content['shards'].items():
        _check(osp.join(path, name), size, crc)
        try:
            file = safe_open(osp.join(path, name), 'pt')
        except SafetensorError as error:
            raise CheckpointError(f'{path} is damaged: {name}: {error}') from error
        for key, place in json.loads(file.metadata()['DCP_SHARDING_INFO']).items():
            parts.setdefault(key, []).append(
                (file, place['saved_offsets'], file.get_slice(key).get_shape())
            )

    def connected(tensor, place):
        if isinstance(tensor, StoredTensor):
            tensor.parts = parts.get(tensor.name, [])
            if sum(math.prod(shape) for _, _, shape in tensor.parts) != tensor.shape.numel():
                raise CheckpointError(f'{path} is damaged: it lacks parts of {tensor.name!r}')
        return tensor

    checkpoint = map_tensors(checkpoint, connected)
    return checkpoint if lazily else all_read(checkpoint, map_location)


def _content(path: str) -> dict | None:
    rest = osp.join(path, REST)
    if not osp.isfile(rest):
        return None
    content = read_safetensors(rest)
    if content.keys() != {'checkpoint', 'shards'}:
        raise CheckpointError(f'{rest} is of another program')
    return content


def _check(path: str, size: int, crc: int) -> None:
    folder, name = osp.split(path)
    if not osp.isfile(path):
        raise CheckpointError(f'{folder} is no complete checkpoint: it has no {name}')
    if osp.getsize(path) != size:
        raise CheckpointError(f'{folder} is damaged: {name} has not {size:,} bytes')
    found = 0
    with open(path, 'rb') as file:
        while block := file.read(BLOCK):
            found = zlib.crc32(block, found)
    if found != crc:
        raise CheckpointError(f'{folder} is damaged: {name} fails its checksum')


def tidy(path: str) -> None:
    """Remove what a failed or killed save left in a folder; and the folder if it is then empty."""
    with suppress(CheckpointError, OSError):
        content = _content(path)
        for name in os.listdir(path):
            wanted = content is not None and name in content['shards']
            if name == f'{REST}.tmp' or (SHARD.fullmatch(name) and not wanted):
                os.remove(osp.join(path, name))
        os.rmdir(path)  # Fails if it is not empty


def remove_folder(path: str) -> None:
    """Remove a folder; if interrupted, the rest is not a checkpoint and :func:`tidy` removes it."""
    os.remove(osp.join(path, REST))
    shutil.rmtree(path)
