"""Finding, reading, naming and writing of image files."""

import hashlib
import os
import os.path as osp
import re
from collections import Counter
from collections.abc import Callable, Sequence
from glob import glob, has_magic

import cv2
import mmcv
import numpy as np
from PIL import Image, UnidentifiedImageError

from allinone.errors import DataError

from .atomic import write_whole
from .image_files import UPRIGHT, check_complete, check_decodes, orientation

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.tif', '.tiff', '.webp', '.gif')
# EXIF orientations: mirrored ones, and number of counterclockwise quarter turns after mirroring
MIRRORED, QUARTERS = (2, 4, 5, 7), {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}
JPEG_OPTIONS = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    # Full-resolution colour, without which coloured letters blur.
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


def find_images(path: str | os.PathLike) -> list[str]:
    """The file itself, the images in a folder (not in subfolders), or the files of a pattern.

    Args:
        path: A file, a folder, or a pattern such as ``'street/**/*.jpg'``; sorted by name.

    Raises:
        DataError: If there is no such file, the folder holds no image, or nothing matches.
    """
    path = os.fspath(path)
    if osp.isdir(path):
        try:
            files = os.listdir(path)
        except OSError as error:
            raise DataError(f'{path} cannot be read: {error.strerror or error}') from error
        names = sorted(
            name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith('.')
        )
        if not names:
            raise DataError(f'{path} is a folder without images ({", ".join(SUFFIXES)})')
        return [osp.join(path, name) for name in names]
    if osp.exists(path):
        return [path]
    if has_magic(path):
        found = sorted(name for name in glob(path, recursive=True) if osp.isfile(name))
        if not found:
            raise DataError(f'{path} matches no file')
        return found
    raise DataError(f'{path}: no such image or folder')


def read_image(
    path: str | os.PathLike,
    max_pixels: float = float('inf'),
    note: Callable[[str], None] = lambda sentence: None,
) -> np.ndarray:
    """Decode an image file to BGR uint8 ``(H, W, 3)``, rotated by its EXIF data.

    As in training, it uses the upper 8 of 16 bits per channel and the first frame of an animation,
    converts CMYK to RGB, and ignores transparency.

    Args:
        path: The file.
        max_pixels: Larger images are refused before they are decoded.
        note: Called with a sentence about each part of the file that is ignored.

    Raises:
        DataError: If the file is missing, truncated, too large or not an image.
    """
    path = os.fspath(path)
    check_complete(path)
    _check_header(path, max_pixels, note)
    try:
        image = mmcv.imread(path)
    except (OSError, ValueError, cv2.error) as error:
        raise DataError(f'{path} cannot be read: {" ".join(str(error).split())}') from error
    if image is None:
        check_decodes(path)
        raise DataError(f'{path} is not an image that OpenCV can read')
    return _upright_webp(path, image) if path.lower().endswith('.webp') else image


def _upright_webp(path: str, image: np.ndarray) -> np.ndarray:
    """The image turned by its EXIF orientation, which OpenCV applies to all formats but WebP."""
    with Image.open(path) as opened:
        tag = orientation(opened) if opened.format == 'WEBP' else UPRIGHT
    if tag in MIRRORED:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, QUARTERS.get(tag, 0)))


def _check_header(path: str, max_pixels: float, note: Callable[[str], None]) -> None:
    try:
        with Image.open(path) as image:
            width, height = image.size
            mode, frames = image.mode, getattr(image, 'n_frames', 1)
            deep = any('16' in str(tile[3]) for tile in image.tile)
    except Image.DecompressionBombError as error:
        if max_pixels < float('inf'):
            # Pillow has its own limit, and only its error contains the size.
            pixels = int(re.findall(r'\d+', str(error))[0])
            raise DataError(
                f'{path} is too large: {pixels:,} pixels; scale it to at most '
                f'{max_pixels:,.0f} pixels'
            ) from error
        return
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        # Decoding reports errors; OpenCV reads some formats that Pillow does not.
        return
    if width * height > max_pixels:
        raise DataError(
            f'{path} is too large: {width} x {height} pixels; scale it to at most '
            f'{max_pixels:,.0f} pixels'
        )
    if frames > 1:
        note(f'{path} has {frames} frames; only the first is looked at')
    if deep:
        note(f'{path} has 16 bits a channel; the upper 8 are looked at')
    if mode == 'CMYK':
        note(f'{path} is CMYK; it is looked at as RGB')
    if mode in ('RGBA', 'LA', 'PA'):
        note(f'{path} has transparency, which is not looked at')


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write RGB uint8 ``(H, W, 3)`` atomically, in the format of the suffix."""
    suffix = osp.splitext(path)[1]
    options = JPEG_OPTIONS if suffix in ('.jpg', '.jpeg') else ()
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    write_whole(path, data.tobytes())


def output_names(paths: Sequence[str]) -> dict[str, str]:
    """``{path: name}`` for results: the stem, plus a hash of the path if images share a stem.

    The names depend only on the paths, so all processes of a distributed run use the same names.
    """
    paths = list(dict.fromkeys(paths))
    # Some file systems do not distinguish A.png from a.png.
    count = Counter(_stem(path).lower() for path in paths)
    return {
        path: _stem(path)
        if count[_stem(path).lower()] == 1
        else f'{_stem(path)}-{hashlib.blake2b(path.encode(), digest_size=4).hexdigest()}'
        for path in paths
    }


def _stem(path: str) -> str:
    return osp.splitext(osp.basename(path))[0]
