"""Checkpoints as files: PyTorch's zip, or safetensors with other content as JSON in its header.

Checkpoint folders (``folder.py``) contain one file of the second format.
"""

import json
import math
import mmap
import os
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import BinaryIO, Protocol

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError, safe_open
from torch import Tensor

from allinone.errors import CheckpointError

from .shards import StoredTensor

FORMATS = ('pth', 'safetensors', 'dcp')
WEIGHTS = 'state_dict'
# Names in safetensors
DTYPES = {
    torch.float64: 'F64',
    torch.float32: 'F32',
    torch.float16: 'F16',
    torch.bfloat16: 'BF16',
    torch.int64: 'I64',
    torch.int32: 'I32',
    torch.int16: 'I16',
    torch.int8: 'I8',
    torch.uint64: 'U64',
    torch.uint32: 'U32',
    torch.uint16: 'U16',
    torch.uint8: 'U8',
    torch.bool: 'BOOL',
}


class Writable(Protocol):
    """An object with ``write`` for bytes."""

    def write(self, data, /) -> int: ...


def is_safetensors(path: str | os.PathLike) -> bool:
    return os.fspath(path).endswith('.safetensors')


def files_of(checkpoint: Mapping, path: str) -> dict[str, Callable[[BinaryIO], object]]:
    """Files of a checkpoint, ``{path: function that writes it}``; the suffix selects the format.

    The first file is the full checkpoint. The JSON next to a safetensors file repeats all content
    except tensors, for people and other programs. Large tensors are written one by one, and neither
    checksums nor writing hold the interpreter lock, so training can continue meanwhile.

    Raises:
        CheckpointError: If the format does not support an object in the checkpoint.
    """
    if not is_safetensors(path):
        return {path: partial(torch.save, checkpoint)}
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_encode(checkpoint, (), tensors), allow_nan=False)
    metadata = dict(format='pt', checkpoint=text, crc32=str(zlib.crc32(text.encode())))
    return {
        path: partial(write_safetensors, tensors, metadata),
        json_beside(path): lambda file: file.write(f'{text}\n'.encode()),
    }


def write_safetensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], file: Writable
) -> None:
    """Write safetensors (https://github.com/huggingface/safetensors#format).

    Tensors must be contiguous and on the CPU. The safetensors library's writer would assemble the
    full file in memory and hold the interpreter lock.
    """
    # The widest elements come first, so that each tensor is aligned to its element size.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Mapping] = dict(__metadata__=metadata)
    end = 0
    for name in names:
        tensor = tensors[name]
        begin, end = end, end + tensor.nbytes
        header[name] = dict(
            dtype=DTYPES[tensor.dtype], shape=list(tensor.shape), data_offsets=[begin, end]
        )
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    file.write(len(text).to_bytes(8, 'little') + text)
    for name in names:
        file.write(_bytes_of(tensors[name]))


def json_beside(path: str) -> str:
    return path.removesuffix('.safetensors') + '.json'


def read_safetensors(path: str, map_location='cpu') -> dict:
    """Read a checkpoint written by :func:`files_of`, or any other file's tensors as a state dict.

    Raises:
        CheckpointError: If the file is damaged.
    """
    try:
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    except SafetensorError as error:
        raise CheckpointError(f'{path} is damaged or no safetensors file: {error}') from error
    if 'checkpoint' not in metadata:
        return {name: tensor.to(map_location) for name, tensor in tensors.items()}
    text = metadata['checkpoint']
    if metadata.get('crc32') != str(zlib.crc32(text.encode())):
        raise CheckpointError(f'{path} is damaged: its header fails its checksum')
    return _decode(json.loads(text), tensors, map_location, path)


def check_pickle(path: str) -> None:
    """Check that a file begins with a complete pickle, without executing it.

    On other data the unpickler itself may allocate gigabytes.

    Raises:
        CheckpointError: If it does not.
    """
    with open(path, 'rb') as file:
        try:
            # Reads of a memory map end with the file, for any requested length.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            for _ in pickletools.genops(content):  # type: ignore[arg-type]  # has readline, too
                pass
        except Exception as error:  # Any type, if it is not a pickle
            raise CheckpointError(
                f'{path} is damaged or not a checkpoint: it holds no pickle'
            ) from error


def check_zip(path: str) -> None:
    """Verify the checksums of PyTorch's zip, which ``torch.load`` does not do.

    Raises:
        CheckpointError: If a checksum does not match, or the file is truncated.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise CheckpointError(f'{path} is truncated or damaged: {error}') from error
    if damaged:
        raise CheckpointError(f'{path} is damaged: its part {damaged!r} fails its checksum')


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(_bytes_of(tensor))


def name_of(path: tuple[str, ...], taken: Collection[str]) -> str:
    """Name of a checkpoint's tensor in a safetensors file; weights have their state dict names."""
    name = '.'.join(path[1:]) if path[0] == WEIGHTS else '/'.join(path)
    while name in taken:
        name += '/'
    return name


def _encode(value, path: tuple[str, ...], tensors: dict[str, Tensor]):
    """Move tensors to ``tensors``; return the rest as JSON, with ``$`` marking what JSON lacks."""
    if isinstance(value, (Tensor, StoredTensor)) and value.dtype not in DTYPES:
        raise CheckpointError(
            f'{"/".join(path)} is of type {value.dtype}, which a safetensors checkpoint cannot '
            'hold; use save_format="pth"'
        )
    if isinstance(value, StoredTensor):
        return {'$stored': [value.name, DTYPES[value.dtype], *value.shape]}
    if isinstance(value, Tensor):
        name = name_of(path, tensors)
        tensors[name] = value.detach().cpu().contiguous()
        return {'$tensor': name, 'crc32': _checksum(tensors[name])}
    if isinstance(value, np.ndarray):
        try:
            tensor = torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
        except TypeError as error:
            raise CheckpointError(f'{"/".join(path)}: {error}; use save_format="pth"') from error
        return {'$array': _encode(tensor, path, tensors)}
    if isinstance(value, np.generic):
        return {'$numpy': [value.dtype.str, _encode(value.item(), path, tensors)]}
    if isinstance(value, HistoryBuffer):
        log, count = value.data
        parts = dict(log=log, count=count)
        parts = {name: _encode(part, (*path, name), tensors) for name, part in parts.items()}
        return {'$history': dict(parts, max_length=value.max_length)}
    if isinstance(value, float) and not math.isfinite(value):
        return {'$float': repr(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        encoded = [(key, _encode(part, (*path, str(key)), tensors)) for key, part in value.items()]
        if all(type(key) is str and not key.startswith('$') for key in value):
            return dict(encoded)
        return {'$items': [[_encode(key, path, tensors), part] for key, part in encoded]}
    if isinstance(value, (list, tuple)):
        members = [_encode(part, (*path, str(i)), tensors) for i, part in enumerate(value)]
        return members if isinstance(value, list) else {'$tuple': members}
    raise CheckpointError(
        f'{"/".join(path)} is of type {type(value).__module__}.{type(value).__qualname__}, which '
        'a safetensors checkpoint cannot hold; use save_format="pth"'
    )


def _decode(value, tensors: Mapping[str, Tensor], map_location, path: str):
    def decode(part):
        return _decode(part, tensors, map_location, path)

    if isinstance(value, list):
        return [decode(part) for part in value]
    if not isinstance(value, dict):
        return value
    if '$tensor' in value:
        tensor = tensors.get(value['$tensor'])
        if tensor is None or _checksum(tensor) != value['crc32']:
            raise CheckpointError(
                f'{path} is damaged: its tensor {value["$tensor"]!r} fails its checksum'
            )
        return tensor.to(map_location)
    if '$stored' in value:
        name, dtype, *shape = value['$stored']
        return StoredTensor(name, shape, {text: kind for kind, text in DTYPES.items()}[dtype])
    if '$array' in value:
        return decode(value['$array']).cpu().numpy()
    if '$numpy' in value:
        kind, number = value['$numpy']
        return np.dtype(kind).type(decode(number))
    if '$history' in value:
        parts = value['$history']
        return HistoryBuffer(decode(parts['log']), decode(parts['count']), parts['max_length'])
    if '$float' in value:
        return float(value['$float'])
    if '$tuple' in value:
        return tuple(decode(part) for part in value['$tuple'])
    if '$items' in value:
        return {decode(key): decode(part) for key, part in value['$items']}
    return {key: decode(part) for key, part in value.items()}
