"""Images of any form as the BGR arrays that the model takes."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps

from allinone.errors import DataError
from allinone.io.images import find_images, read_image

from .temporary_copy import TemporaryCopy
from .urls import download, is_url
from .video import Video, is_camera, is_video

MAX_PIXELS = 40_000_000
CHANNELS = ('bgr', 'rgb')
DEPTHS = (1, 3, 4)  # channels: grey, colour, colour with transparency
DEEP = 'I;16'  # prefix of Pillow's modes of 16 bits

LISTS = (list, tuple)
# What can be iterated over, but is no several inputs
SINGLE = (str, os.PathLike, bytes, bytearray, Mapping, np.ndarray, torch.Tensor, Image.Image)

Note = Callable[[str], None]


class Source:
    """An image that can be read, also again after its prediction.

    Attributes:
        name: In messages.
        path: Of its file or video, or its address; None for an image in memory.
        frame: Its index in a video; None if it is of none.
        time: Seconds since the first frame of the video.
    """

    path: str | None = None
    frame: int | None = None
    time: float | None = None

    def __init__(self, name: str):
        self.name = name

    def read(self, note: Note = lambda sentence: None) -> np.ndarray:
        """BGR uint8 ``(H, W, 3)``.

        Raises:
            DataError: If it is no image that can be read.
        """
        raise NotImplementedError


class FileSource(Source):
    """An image file."""

    def __init__(self, path: str):
        super().__init__(path)
        self.path = path

    def read(self, note: Note = lambda sentence: None) -> np.ndarray:
        return read_image(self.name, MAX_PIXELS, note)


class UrlSource(Source):
    """An image at an address of HTTP, which is fetched once, into a temporary file.

    Args:
        url: The address.
        allowed: Whether it may be fetched.
    """

    def __init__(self, url: str, allowed: bool):
        super().__init__(url)
        self.path, self._allowed = url, allowed
        self._copy: TemporaryCopy | None = None

    def read(self, note: Note = lambda sentence: None) -> np.ndarray:
        if not self._allowed:
            raise DataError(
                f'{self.name} is an address, and urls=False forbids to fetch any; give a file'
            )
        if self._copy is None:
            self._copy = TemporaryCopy(download(self.name))
        path = self._copy.path
        try:
            return read_image(path, MAX_PIXELS, lambda text: note(text.replace(path, self.name)))
        except DataError as error:
            raise DataError(str(error).replace(path, self.name)) from error


class MemorySource(Source):
    """An array, a tensor or an image of Pillow.

    Args:
        image: As :func:`as_bgr` takes it.
        channels: Order of the channels of arrays and tensors.
        name: In messages.
        reused: Whether the caller may overwrite it after the first reading, so that it is copied.
    """

    def __init__(self, image: Any, channels: str, name: str, reused: bool = False):
        super().__init__(name)
        self._image, self._channels, self._reused = image, channels, reused

    def read(self, note: Note = lambda sentence: None) -> np.ndarray:
        found = as_bgr(self._image, self._channels, self.name)
        if self._reused:
            self._image = found.copy() if found is self._image else found
            self._channels, self._reused = 'bgr', False
            return self._image
        return found


class FrameSource(Source):
    """A frame of a video."""

    def __init__(self, video: Video, image: np.ndarray):
        index = video.read - 1
        camera = 'camera ' if is_camera(video.source) else ''
        super().__init__(f'{camera}{video.source}, frame {index}')
        self.path, self.frame, self.time = video.source, index, video.times[index]
        self._image = image

    def read(self, note: Note = lambda sentence: None) -> np.ndarray:
        return self._image


class VideoInput(str):
    """Path of a video or number of a camera among the inputs, which has many images."""


def find_sources(
    inputs: Any, channels: str, urls: bool, on_error: Callable[[DataError], None], on_note: Note
) -> Iterator[Source | VideoInput]:
    """The images of inputs, and the videos, which are not opened.

    Args:
        inputs: An input, or an iterable of inputs.
        channels: Order of the channels of arrays and tensors.
        urls: Whether addresses may be fetched.
        on_error: Called with the error of a path without images.
        on_note: Called with a sentence about the files of a folder that are passed over.
    """
    lazy = is_stream(inputs)
    number = 0
    for entry in inputs if lazy or isinstance(inputs, LISTS) else [inputs]:
        if isinstance(entry, int) and not isinstance(entry, bool):
            entry = str(entry)
        if is_url(entry):
            yield UrlSource(entry, urls)
        elif isinstance(entry, (str, os.PathLike)):
            yield from _of_path(os.fspath(entry), on_error, on_note)
        else:
            # One entry with a further dimension is a batch.
            for image in entry if getattr(entry, 'ndim', 3) == 4 else [entry]:
                yield MemorySource(image, channels, f'input {number}', lazy)
                number += 1
            continue
        number += 1


def is_stream(inputs: Any) -> bool:
    """Whether inputs are a generator or another iterable that is no list."""
    return isinstance(inputs, Iterable) and not isinstance(inputs, (*LISTS, *SINGLE))


def _of_path(
    path: str, on_error: Callable[[DataError], None], on_note: Note
) -> Iterator[Source | VideoInput]:
    if is_camera(path):
        yield VideoInput(path)
        return
    try:
        found = find_images(path, on_note)
    except DataError as error:
        on_error(error)
        return
    for file in found:
        yield VideoInput(file) if is_video(file) else FileSource(file)


def frames(
    source: str, on_error: Callable[[DataError], None], damages: list[DataError]
) -> Iterator[Source]:
    """The frames of a video or camera.

    Args:
        source: A path, or the number of a camera.
        on_error: Called if it cannot be opened.
        damages: Gets the error of a video that ends too early.
    """
    try:
        video = Video(source)
    except DataError as error:
        on_error(error)
        return
    for image in video.frames():
        yield FrameSource(video, image)
    if (damage := video.damage()) is not None:
        damages.append(damage)


def as_bgr(image: Any, channels: str, name: str) -> np.ndarray:
    """BGR uint8 ``(H, W, 3)`` of an image in memory.

    Transparency is dropped, as that of a file is. The array is the argument itself where that is
    such an array.

    Args:
        image: An array ``(H, W)`` or ``(H, W, C)``, uint8; a tensor ``(H, W)`` or ``(C, H, W)``,
            uint8 or of floats from 0 to 1; C is 1 (grey), 3 or 4. Or an image of Pillow, which is
            turned by its EXIF orientation.
        channels: ``'bgr'`` or ``'rgb'``, the order in an array or tensor.
        name: In messages.

    Raises:
        DataError: If it is none of these.
    """
    if isinstance(image, Image.Image):
        return _of_pillow(image, name)
    if isinstance(image, torch.Tensor):
        array = _of_tensor(image, name)
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise DataError(
            f'{name} is {type(image).__name__}; give a path, an address, an image of Pillow, an '
            'array (H, W, 3) or a tensor (3, H, W)'
        )
    if array.ndim == 2:
        array = array[..., None]
    is_image = array.ndim == 3 and array.shape[2] in DEPTHS and array.size
    if array.dtype != np.uint8 or not is_image:
        tensor = isinstance(image, torch.Tensor)
        form = 'a tensor (C, H, W) of uint8 or floats' if tensor else 'a uint8 array (H, W, C)'
        raise DataError(
            f'{name} is {image.dtype} of shape {tuple(image.shape)}; give {form}, where C is 3 '
            '(colour), 1 (grey) or 4 (with transparency)'
        )
    if array.shape[2] == 1:
        return cv2.cvtColor(array, cv2.COLOR_GRAY2BGR)
    if channels == 'rgb':
        code = cv2.COLOR_RGB2BGR if array.shape[2] == 3 else cv2.COLOR_RGBA2BGR
        return cv2.cvtColor(array, code)
    return array if array.shape[2] == 3 else cv2.cvtColor(array, cv2.COLOR_BGRA2BGR)


def _of_tensor(image: torch.Tensor, name: str) -> np.ndarray:
    image = image.detach().cpu()
    if image.is_floating_point() and image.numel():
        # NaN fails, too.
        if not (0 <= image.min() and image.max() <= 1):
            low, high = float(image.min()), float(image.max())
            raise DataError(
                f'{name} is a tensor of floats from {low:g} to {high:g}; give floats from 0 to 1, '
                'or uint8'
            )
        image = (image.float() * 255).round().to(torch.uint8)
    array = image.numpy()
    return np.ascontiguousarray(array.transpose(1, 2, 0)) if array.ndim == 3 else array


def _of_pillow(image: Image.Image, name: str) -> np.ndarray:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(
            f'{name} is too large: {width} x {height} pixels; scale it to at most '
            f'{MAX_PIXELS:,} pixels'
        )
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(DEEP):
        # The upper 8 bits, as of a file
        return cv2.cvtColor((np.asarray(image) >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    if image.mode in ('I', 'F'):
        raise DataError(
            f'{name} is an image of Pillow of mode {image.mode!r}, whose range is not known; '
            "convert it to 'L' or 'RGB'"
        )
    return cv2.cvtColor(np.asarray(image.convert('RGB')), cv2.COLOR_RGB2BGR)
