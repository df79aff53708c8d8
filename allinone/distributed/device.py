"""The device of a training or a test."""

import os
import sys

from allinone.errors import ConfigError

VISIBLE = 'CUDA_VISIBLE_DEVICES'


def use_device(device) -> None:
    """Choose the device of this process, for MMEngine takes CUDA wherever there is some.

    Before PyTorch is imported the other devices are hidden; later they are only not used.

    Args:
        device (str or torch.device, optional): ``'cpu'``, ``'cuda'`` (any), or ``'cuda:N'``, the
            N-th that is visible. None: no choice.

    Raises:
        ConfigError: If there is no such device.
    """
    if device is None:
        return
    device = str(device)
    kind, colon, number = device.partition(':')
    if kind not in ('cpu', 'cuda') or (colon and (kind == 'cpu' or not number.isdigit())):
        raise ConfigError(f"device is {device!r}; give 'cpu', 'cuda' or 'cuda:N'")
    if number and 'LOCAL_RANK' in os.environ:
        raise ConfigError(
            f'device is {device!r}, but each process of a launcher has a device of its own; give '
            f"'cuda', and choose the devices by {VISIBLE}"
        )
    hidden = 'torch' not in sys.modules
    if hidden and (number or kind == 'cpu'):
        os.environ[VISIBLE] = _name_of(device, int(number)) if number else ''
    # Not before: CUDA looks at the variable once.
    import torch
    from mmengine.device import utils

    index = 0 if hidden or not number else int(number)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == 'cuda' and index >= count:
        raise ConfigError(
            f"device is {device!r}, but PyTorch sees {count} CUDA devices; give another, or 'cpu'"
        )
    if kind == 'cuda' and number:
        torch.cuda.set_device(index)
    utils.DEVICE = kind


def _name_of(device: str, number: int) -> str:
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return str(number)
    names = [name for name in visible.split(',') if name]
    if number >= len(names):
        raise ConfigError(f'device is {device!r}, but {VISIBLE}={visible!r} shows {len(names)}')
    return names[number]
