"""Safe reading of checkpoints that the libraries load themselves.

Parts of mmseg, mmdet and mmpretrain call MMEngine's loader directly (``init_cfg`` of type
``Pretrained_Part``, a detector's ``teacher_ckpt``). If a file holds more than tensors, that loader
falls back to unpickling any type; from a URL it always unpickles any type.
"""

import os
import tempfile
from typing import BinaryIO

from mmengine.runner import checkpoint as mmengine_checkpoint

from .loading import read_checkpoint
from .zoo import download

__all__ = [
    'install',
]


def _read(file: str | os.PathLike | BinaryIO, map_location=None, weights_only=None) -> dict:
    if isinstance(file, (str, os.PathLike)):
        return read_checkpoint(file, map_location)
    with tempfile.NamedTemporaryFile(suffix='.pth') as copy:
        copy.write(file.read())
        copy.flush()
        return read_checkpoint(copy.name, map_location)


def _read_url(url: str, model_dir=None, map_location=None, progress: bool = True) -> dict:
    return read_checkpoint(download(url, folder=model_dir), map_location)


def install() -> None:
    """Replace all functions that MMEngine unpickles with by :func:`read_checkpoint`.

    Every scheme of its ``CheckpointLoader`` ends in one of the two. Replacing only the schemes
    would miss those that call each other directly (``torchvision://``, ``open-mmlab://``).

    Raises:
        ImportError: If this MMEngine lacks these functions; loading would then be silently unsafe.
    """
    safe = dict(_safe_torch_load=_read, load_url=_read_url)
    for name in safe:
        if not hasattr(mmengine_checkpoint, name):
            raise ImportError(
                f'mmengine.runner.checkpoint has no {name} to replace by safe loading; install the '
                'version of constraints.txt'
            )
    for name, load in safe.items():
        setattr(mmengine_checkpoint, name, load)
