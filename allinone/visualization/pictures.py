"""Picture files: finding, reading, naming and writing them."""

import hashlib
import os
import os.path as osp
from collections import Counter
from collections.abc import Sequence

import cv2
import mmcv
import numpy as np

from allinone.errors import DataError
from allinone.picture_files import check_complete, check_decodes

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.tif', '.tiff', '.webp')
JPEG_OPTIONS = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    # Full-resolution colour: coloured letters blur without.
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


def find_pictures(path: str | os.PathLike) -> list[str]:
    """The file itself, or the pictures that lie in a folder (not in folders below), by name.

    Raises:
        DataError: If there is no such file, or the folder holds no picture.
    """
    path = os.fspath(path)
    if osp.isdir(path):
        names = sorted(
            name
            for name in os.listdir(path)
            if name.lower().endswith(SUFFIXES) and not name.startswith('.')
        )
        if not names:
            raise DataError(f'{path} is a folder without pictures ({", ".join(SUFFIXES)})')
        return [osp.join(path, name) for name in names]
    if not osp.exists(path):
        raise DataError(f'{path}: no such picture or folder')
    return [path]


def read_picture(path: str | os.PathLike) -> np.ndarray:
    """Decode a picture file to BGR uint8 ``(H, W, 3)``, turned as its EXIF data says.

    Raises:
        DataError: If the file is missing, truncated or no picture.
    """
    path = os.fspath(path)
    check_complete(path)
    try:
        image = mmcv.imread(path)
    except (OSError, ValueError, cv2.error) as error:
        raise DataError(f'{path} cannot be read: {error}') from error
    if image is None:
        check_decodes(path)
        raise DataError(f'{path} is not a picture that OpenCV can read')
    return image


def write_picture(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write RGB uint8 ``(H, W, 3)`` in the format of the suffix; never a half-written file."""
    path = os.fspath(path)
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    suffix = osp.splitext(path)[1]
    options = JPEG_OPTIONS if suffix in ('.jpg', '.jpeg') else ()
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    with open(f'{path}.tmp', 'wb') as file:
        file.write(data.tobytes())
    os.replace(f'{path}.tmp', path)


def output_names(paths: Sequence[str]) -> dict[str, str]:
    """``{path: name}`` for results: the stem, and where pictures share one, a hash of the path.

    A function of the paths alone, so that each process of a distributed run gives the same names.
    """
    paths = list(dict.fromkeys(paths))
    # Some file systems do not tell A.png from a.png.
    count = Counter(_stem(path).lower() for path in paths)
    return {
        path: _stem(path)
        if count[_stem(path).lower()] == 1
        else f'{_stem(path)}-{hashlib.blake2b(path.encode(), digest_size=4).hexdigest()}'
        for path in paths
    }


def _stem(path: str) -> str:
    return osp.splitext(osp.basename(path))[0]
