"""Bring images to the size that an exported graph takes."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from allinone.errors import ConfigError


class GraphInput:
    """The input of a graph, as its metadata say.

    Args:
        path: Of the graph, for messages.
        metadata: Its ``input``.

    Attributes:
        size: ``(H, W)``, the only one unless ``any_size``.
        any_size: Whether the graph takes all multiples of ``multiple``.
        any_batch: Whether it takes several images.
        scale: ``(width, height)`` to which images are resized before they are padded.
        keep_ratio: Whether they keep their aspect ratio.
    """

    def __init__(self, path: str, metadata: Mapping):
        self.path = path
        self.size = (int(metadata['height']), int(metadata['width']))
        self.any_size = 'size' in metadata['dynamic']
        self.any_batch = 'batch' in metadata['dynamic']
        self.multiple = int(metadata['multiple'])
        width, height = metadata['resize']['scale']
        self.scale = (int(width), int(height))
        self.keep_ratio = bool(metadata['resize']['keep_ratio'])
        self._padding = np.array(metadata['pad']['value'], np.float32).reshape(3, 1, 1)

    def padded_size(self, size: tuple[int, int], what: str = 'an image') -> tuple[int, int]:
        """``(H, W)`` to which an image of ``(H, W)`` is padded.

        Args:
            size: Of the image.
            what: The image, for the message.

        Raises:
            ConfigError: If the image is larger than a graph of one size.
        """
        if self.any_size:
            height, width = (-(-side // self.multiple) * self.multiple for side in size)
            return height, width
        if size[0] > self.size[0] or size[1] > self.size[1]:
            raise ConfigError(
                f'{what} has {_words(size)} pixels (height x width), but {self.path} takes '
                f'{_words(self.size)}; resize it in the test pipeline, or export the graph with '
                '--dynamic size'
            )
        return self.size

    def padded(self, image: Tensor, what: str = 'an image') -> np.ndarray:
        """The graph's input of an image.

        Args:
            image: ``(3, H, W)``, BGR, 0 to 255.
            what: The image, for messages.

        Returns:
            ``(3, H', W')``, RGB, float32, with the image at the top left.
        """
        if image.dim() != 3 or image.shape[0] != 3:
            raise ConfigError(
                f'{what} has the shape {tuple(image.shape)}, but {self.path} takes (3, height, '
                'width); load it with 3 channels'
            )
        pixels = image.detach().cpu().flip(0).float().numpy()
        height, width = pixels.shape[1:]
        size = self.padded_size((height, width), what)
        if size == (height, width):
            return pixels
        found = np.broadcast_to(self._padding, (3, *size)).copy()
        found[:, :height, :width] = pixels
        return found


def _words(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]}'
