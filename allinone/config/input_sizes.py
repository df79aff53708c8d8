"""Sizes of images that a backbone takes, found by running it on blank images."""

from torch import nn

from .feature_maps import maps_at

STEPS = (1, 2, 4, 7, 8, 14, 16, 28, 32, 64, 128)
# Pixels; an odd multiple of the step from each on is tried.
SMALL, LARGE = (96, 224), (448, 640)
FIXED = (128, 192, 224, 256, 288, 320, 384, 448, 512, 518, 1024)  # pixels
GRAIN = 16  # pixels, of the smallest size


def size_rule(backbone: nn.Module) -> str:
    """``any size``, ``any multiple of 14``, ``any size from 224 on`` or ``224 x 224 only``.

    Args:
        backbone: In evaluation mode; on the meta device nothing is computed.
    """
    for group in (SMALL, LARGE):
        for step in STEPS:
            sizes = [step * (-(-least // step) | 1) for least in group]
            if all(_takes(backbone, *pair) for pair in zip(sizes, reversed(sizes))):
                rule = 'any size' if step == 1 else f'any multiple of {step}'
                return rule if group is SMALL else f'{rule} from {_smallest(backbone, step)} on'
    fixed = [size for size in FIXED if _takes(backbone, size, size)]
    return f'{fixed[0]} x {fixed[0]} only' if fixed else 'no usual size'


def _smallest(backbone: nn.Module, step: int) -> int:
    grain = step * -(-GRAIN // step)
    return next(
        size for size in range(grain, max(LARGE) + grain, grain) if _takes(backbone, size, size)
    )


def _takes(backbone: nn.Module, height: int, width: int) -> bool:
    try:
        maps_at(backbone, height, width)
    except Exception:
        return False
    return True
