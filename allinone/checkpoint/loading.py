"""Load checkpoints without executing code from them, and log which keys match."""

import os
import pickle
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from numpy._core import multiarray
from torch import nn

from allinone.config.parts import PREFIXES, SHARED_NECK
from allinone.errors import CheckpointError
from allinone.io.exported import is_exported, read_metadata
from allinone.io.text import shortened

from .fitting import Fit, fit
from .folder import is_folder, read_folder
from .formats import check_pickle, check_zip, is_safetensors, read_safetensors
from .shards import sharded_as
from .tables import computed
from .zoo import local_checkpoint

WORDS = 200
ZIP_START = b'PK\x03\x04'
TO_TRAIN = 'train them from it (load_from), or use the other tasks alone (--tasks)'

_some = partial(shortened, shown=8, last=', ')

_trusted: ContextVar[bool] = ContextVar('trusted', default=False)


@contextmanager
def trusting_checkpoints(trust: bool = True):
    """Context in which checkpoints may hold any type and so run code (``--trust-checkpoint``)."""
    before = _trusted.set(trust)
    try:
        yield
    finally:
        _trusted.reset(before)


def checkpoints_are_trusted() -> bool:
    """Whether the call is within :func:`trusting_checkpoints`."""
    return _trusted.get()


def read_checkpoint(path: str | os.PathLike, map_location='cpu', lazily: bool = False) -> dict:
    """Read a checkpoint with only tensors, plain containers and mmengine's log types.

    Args:
        path: Local; a folder ``.dcp``, a file ``.safetensors``, or a file of ``torch.save``.
        map_location: As in ``torch.load``.
        lazily: Allocate no memory for tensors until they are used: those of a folder are
            :class:`StoredTensor`, those of a file of ``torch.save`` are memory-mapped on the CPU.

    Raises:
        CheckpointError: If the file is missing, fails its checksums, or holds any other type
            (unless within :func:`trusting_checkpoints`), or is an exported graph.
    """
    path = os.path.expanduser(os.fspath(path))
    folder = is_folder(path) and os.path.isdir(path)
    if not folder and not os.path.isfile(path):
        raise CheckpointError(f'{path}: no such checkpoint file')
    if is_exported(path) and not folder:
        made_of = read_metadata(path)['checkpoint']['name']
        raise CheckpointError(
            f'{path} is an exported graph, which has no weights to load here; give the checkpoint '
            f'that it was exported from ({made_of})'
        )
    try:
        if folder:
            return read_folder(path, map_location, lazily)
        if is_safetensors(path):
            return read_safetensors(path, map_location)
        with open(path, 'rb') as file:
            head = file.read(len(ZIP_START))
        if not head:
            raise CheckpointError(f'{path} is an empty file')
        if head == ZIP_START:
            check_zip(path)
        elif _trusted.get():
            check_pickle(path)
        with torch.serialization.safe_globals(_allowed_types()):
            return torch.load(
                path,
                map_location=map_location,
                weights_only=not _trusted.get(),
                mmap=lazily and head == ZIP_START,
            )
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, str(error))) from error
    except (CheckpointError, MemoryError):
        raise  # Out of memory: the checkpoint is not damaged and must not be skipped.
    except Exception as error:  # On other data the unpickler raises any type.
        words = ' '.join(str(error).split())[:WORDS] or type(error).__name__
        if _trusted.get() and isinstance(error, (ImportError, AttributeError)):
            raise CheckpointError(
                f'{path} is damaged, or needs code that is not here ({words}); install what made it'
            ) from error
        raise CheckpointError(f'{path} is damaged or not a checkpoint: {words}') from error


def _refusal(path: str, words: str) -> str:
    found = re.search(r'GLOBAL (\S+)', words) or re.search(r"class '?([\w.]+)", words)
    if not found:
        return f'{path} is damaged or not a checkpoint: it holds no pickle of plain data'
    return (
        f'{path} is refused: it holds {found.group(1)}, not only tensors and numbers, and loading '
        'it could run code; give --trust-checkpoint if you trust who made it'
    )


def _allowed_types() -> list:
    dtypes = (
        *(f'{kind}{bits}' for kind in ('int', 'uint') for bits in (8, 16, 32, 64)),
        *('float16', 'float32', 'float64', 'bool'),
    )
    return [
        HistoryBuffer,
        slice,
        np.ndarray,
        np.dtype,
        multiarray._reconstruct,
        multiarray.scalar,
        # Their names in files written by NumPy 1
        (multiarray._reconstruct, 'numpy.core.multiarray._reconstruct'),
        (multiarray.scalar, 'numpy.core.multiarray.scalar'),
        *(type(np.dtype(name)) for name in dtypes),
        (_history_method, 'builtins.getattr'),
    ]


def _history_method(owner, name: str):
    """Replace ``getattr``, which mmengine's ``HistoryBuffer`` pickles to store its methods."""
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(f'GLOBAL getattr({owner!r}, {name!r})')
    return getattr(owner, name)


def load_weights(
    module: nn.Module, path: str | os.PathLike, prefix: str | None = None, key: str = 'load_from'
) -> None:
    """Load matching weights into ``module``, and log loaded, missing and unexpected keys.

    Args:
        module: The module to load into.
        path: A checkpoint, or a bare state dict; also a URL or a name of the zoo, as in
            :func:`local_checkpoint`.
        prefix: Take only the file's keys below this prefix, e.g. ``'backbone'``.
        key: The config key that named the file, for messages.

    Raises:
        CheckpointError: If the file cannot be read, or none of its keys matches.
    """
    path = local_checkpoint(path, key)
    checkpoint = read_checkpoint(path)
    load_state_dict(module, state_dict_of(checkpoint, path), path, prefix, key)


def state_dict_of(checkpoint: Mapping, path) -> dict:
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not state or not all(isinstance(name, str) for name in state):
        raise CheckpointError(f'{path} holds no state dict')
    return {re.sub(r'^module\.', '', name): value for name, value in state.items()}


def load_state_dict(
    module: nn.Module,
    state: dict,
    path,
    prefix: str | None = None,
    key: str = 'load_from',
    log: bool = True,
) -> Fit:
    """As :func:`load_weights`, from a state dict in memory; returns how it fits."""
    if prefix:
        state = state_below(state, prefix, path, key)
    found = fit(module, state)
    if not found.weights:
        raise CheckpointError(
            f'{key}={str(path)!r}: none of its {len(state)} keys'
            f'{f" below {prefix!r}" if prefix else ""} fits the model. It has '
            f'{_some(state)}; the model has {_some(module.state_dict())}'
        )
    load_fit(module, found, path, log)
    return found


def state_below(state: Mapping, prefix: str, path, key: str) -> dict:
    """The part of a state dict whose keys are below a prefix, without it.

    Raises:
        CheckpointError: If no key is.
    """
    start = prefix.rstrip('.') + '.'
    below = {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}
    if not below:
        tops = sorted({name.split('.')[0] for name in state})
        raise CheckpointError(
            f'{key}={str(path)!r} has no keys below {prefix!r}, but below {_some(tops)}; give '
            'one of these as prefix, or no prefix'
        )
    return below


def load_fit(module: nn.Module, found: Fit, path, log: bool = True) -> None:
    """Load what fits a module, and log it with what is missing, left, or was resized.

    Tables that are computed from sizes of images and windows are not counted.

    Args:
        module: The module.
        found: As :func:`allinone.checkpoint.fitting.fit` found it.
        path: Of the checkpoint, for the log.
        log: Whether to log.
    """
    own = module.state_dict()
    weights = {name: sharded_as(value, own[name]) for name, value in found.weights.items()}
    module.load_state_dict(weights, strict=False)
    if log:
        shapes = [f'{n} ({shape})' for n, shape in found.shapes.items() if not computed(n)]
        report = {
            'missing': [name for name in found.missing if not computed(name)],
            'unexpected': [name for name in found.unexpected if not computed(name)],
            'of another shape': shapes,
            'resized': found.resized,
        }
        loaded, needed = (sum(not computed(n) for n in names) for names in (weights, own))
        print_log(
            f'{path}: loaded {loaded} of {needed} tensors of the model'
            + ''.join(
                f'; {len(names)} {what}: {_some(names)}' for what, names in report.items() if names
            ),
            'current',
        )


def require_weights(
    model: nn.Module,
    state: Mapping,
    tasks: Sequence[str],
    path,
    backbone: bool = True,
    remedy: str | None = None,
) -> None:
    """Reject a state dict that would leave the backbone or ``tasks`` with random weights.

    Args:
        model: The joint model.
        state: What is loaded into it.
        tasks: Names of the tasks.
        path: Of the checkpoint, for messages.
        backbone: Whether it must have the backbone.
        remedy: The next step if it has tasks, but nothing of some of these. Default: none is named.

    Raises:
        CheckpointError: If a tensor is missing or has another shape.
    """
    needed = (*(PREFIXES if backbone else ()), *(f'tasks.{task}.' for task in tasks))
    of_neck = getattr(model, 'upstream_neck', lambda task: None)
    necks = [neck for neck in map(of_neck, tasks) if neck is not None]
    lacking = [
        name
        for name, value in model.state_dict().items()
        if name.startswith(needed)
        # Of the shared neck the levels that these tasks use
        and (
            not name.startswith(f'{SHARED_NECK}.')
            or any(neck.upstream(name) is not None for neck in necks)
        )
        and not name.endswith('num_batches_tracked')
        # Only training needs it.
        and '.distillation.' not in name
        and getattr(state.get(name), 'shape', None) != value.shape
    ]
    if not lacking:
        return
    without = [task for task in tasks if not _has(state, f'tasks.{task}.')]
    of_these = tuple(f'tasks.{task}.' for task in without)
    if remedy and _has(state, 'tasks.') and all(name.startswith(of_these) for name in lacking):
        raise CheckpointError(
            f'{path} does not fit the config: it lacks all weights of the tasks {without}; {remedy}'
        )
    raise CheckpointError(
        f'{path} does not fit the config: it lacks {len(lacking)} tensors of backbone or '
        f'tasks, or has them in other shapes, such as {lacking[0]!r}; give the config that it '
        'was trained with'
    )


def _has(state: Mapping, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in state)
