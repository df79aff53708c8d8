"""The normalisation of images that weights of a backbone expect."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mmengine.logging import print_log
from mmengine.model import ImgDataPreprocessor
from torch import nn

TOLERANCE = 0.5  # of 255; libraries round the same values differently


class Normalisation(NamedTuple):
    """Mean and standard deviation of each channel.

    Attributes:
        mean: Of values from 0 to 255, in the order of the channels.
        std: As ``mean``.
        rgb: Whether the order is red, green, blue, or the reverse.
    """

    mean: Sequence[float]
    std: Sequence[float]
    rgb: bool

    def __str__(self) -> str:
        order = 'RGB' if self.rgb else 'BGR'
        mean, std = (', '.join(f'{value:g}' for value in part) for part in (self.mean, self.std))
        return f'mean [{mean}], std [{std}], {order}'

    def like(self, other: 'Normalisation') -> bool:
        """Whether two are the same but for rounding."""
        values = [[*part.mean, *part.std] for part in (self, other)]
        return (
            self.rgb == other.rgb
            and len(values[0]) == len(values[1])
            and all(abs(one - two) <= TOLERANCE for one, two in zip(*values, strict=True))
        )


def of_config(cfg: Mapping | None) -> Normalisation | None:
    """That of a config ``model.data_preprocessor``; None if it has none."""
    if not cfg or cfg.get('mean') is None or cfg.get('std') is None:
        return None
    return Normalisation(list(cfg['mean']), list(cfg['std']), bool(cfg.get('bgr_to_rgb', False)))


def mismatch(backbone: nn.Module, used: Normalisation | None) -> str | None:
    """What to change if images are normalised in another way than the weights expect.

    Args:
        backbone: That of a library may have ``normalisation``.
        used: That of the images; None if it is not known.
    """
    wanted = getattr(backbone, 'normalisation', None)
    if not isinstance(wanted, Normalisation) or used is None or wanted.like(used):
        return None
    return (
        f'model.data_preprocessor has {used}, but the weights of model.backbone expect {wanted}, '
        'as its library lists them; set mean, std and bgr_to_rgb so if you use these weights'
    )


def warn_of_mismatch(backbone: nn.Module, preprocessor: nn.Module) -> None:
    """Log it if the model's images are normalised in another way than its weights expect."""
    used = None
    if isinstance(preprocessor, ImgDataPreprocessor) and hasattr(preprocessor, 'mean'):
        mean, std = (part.flatten().tolist() for part in (preprocessor.mean, preprocessor.std))
        used = Normalisation(mean, std, preprocessor._channel_conversion)
    words = mismatch(backbone, used)
    if words:
        print_log(words, 'current', level=logging.WARNING)
