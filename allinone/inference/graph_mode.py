"""How images become inputs and predictions of an exported graph."""

import cv2
import mmcv
import numpy as np
from mmcv.transforms import Resize
from mmengine.config import Config

from allinone.errors import ConfigError, DataError
from allinone.models.exported import ExportedModel

from .modes import OnePass
from .options import AS_TESTED_MODE, inference_mode
from .scale import AS_TESTED, ImageScale, image_scale


class FixedSize(OnePass):
    """All tasks on images that are fitted into the size of a graph, which pads them.

    Args:
        model: The graph.
    """

    def __init__(self, model: ExportedModel):
        width, height = model.input.scale
        keeps = model.input.keep_ratio
        super().__init__(model, ImageScale(Resize(scale=(width, height), keep_ratio=keeps), None))
        self.settings |= dict(size=list(model.input.size))

    def resize(self, image: np.ndarray) -> np.ndarray:
        assert self.scale.resize is not None
        if not self.scale.resize.keep_ratio:
            return super().resize(image)
        # mmcv turns the scale for upright images, which would then be higher than the graph.
        height, width = image.shape[:2]
        most = self.scale.resize.scale
        factor = min(most[0] / width, most[1] / height)
        size = int(width * factor + 0.5), int(height * factor + 0.5)
        try:
            return mmcv.imresize(image, size)
        except cv2.error as error:
            raise DataError(
                f'an image of {width} x {height} cannot be resized to the scale {most}, where a '
                'side would have less than a pixel'
            ) from error


def graph_mode(model: ExportedModel, mode: str | None, scale) -> OnePass:
    """The one pass of a graph.

    Args:
        model: The graph.
        mode: ``'one_pass'`` or None.
        scale: As in :func:`image_scale`, of a graph of any size.

    Raises:
        ConfigError: If the mode is another one, or a scale is given to a graph of one size.
    """
    if inference_mode(Config(), mode)[1] == AS_TESTED_MODE:
        raise ConfigError(
            f"mode is 'as_tested', but {model.path} is an exported graph, which has no test "
            'pipelines; leave the mode out, or give the checkpoint'
        )
    if not model.input.any_size:
        if scale != AS_TESTED:
            height, width = model.input.size
            raise ConfigError(
                f'scale is {scale!r}, but {model.path} takes images of {height} x {width} (height '
                'x width) alone; leave the scale out, or export the graph with --dynamic size'
            )
        return FixedSize(model)
    if scale != AS_TESTED:
        return OnePass(model, image_scale(Config(), scale, (), ()))
    resize = Resize(scale=model.input.scale, keep_ratio=model.input.keep_ratio)
    return OnePass(model, ImageScale(resize, None))
