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
from .image_files import UNTURNED, UPRIGHT, check_complete, check_decodes, orientation

# By one suffix that OpenCV can be asked about. Its formats of floats (.hdr, .pfm, .exr) are no
# images to predict on.
FORMATS = {
    '.jpg': ('.jpg', '.jpeg', '.jpe', '.jfif', '.mpo'),
    '.png': ('.png', '.apng'),
    '.bmp': ('.bmp', '.dib'),
    '.ppm': ('.ppm', '.pgm', '.pbm', '.pnm', '.pam'),
    '.tiff': ('.tif', '.tiff'),
    '.webp': ('.webp',),
    '.gif': ('.gif',),
    '.avif': ('.avif', '.avifs'),
    '.jp2': ('.jp2', '.j2k', '.j2c', '.jpc', '.jpf', '.jpx'),
    '.ras': ('.ras', '.sr'),
}
# Which formats OpenCV reads depends on its build; those that it reads it also writes.
SUFFIXES = tuple(
    suffix for known, group in FORMATS.items() if cv2.haveImageWriter(known) for suffix in group
)
# Files that systems put into folders of images
SYSTEM_FILES = ('thumbs.db', 'ehthumbs.db', 'desktop.ini')
SUFFIXES_SHOWN = 6  # in a note
# EXIF orientations: mirrored ones, and number of counterclockwise quarter turns after mirroring
MIRRORED, QUARTERS = (2, 4, 5, 7), {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}
JPEG_OPTIONS = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    # Full-resolution colour, without which coloured letters blur.
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


def find_images(
    path: str | os.PathLike,
    note: Callable[[str], None] = lambda sentence: None,
    suffixes: tuple[str, ...] = SUFFIXES,
) -> list[str]:
    """The file itself, the images in a folder (not in subfolders), or the files of a pattern.

    Args:
        path: A file, a folder, or a pattern such as ``'street/**/*.jpg'``; sorted by name.
        note: Called with a sentence about the files and subfolders of a folder that are passed
            over. Hidden files are not counted.
        suffixes: Suffixes of the files to find in a folder, in lower case.

    Raises:
        DataError: If there is no such file, the folder holds no image, or nothing matches.
    """
    path = os.fspath(path)
    if osp.isdir(path):
        names, others, folders = _listed(path, suffixes)
        if not names:
            subfolders = f' and {folders} subfolder(s)' if folders else ''
            raise DataError(
                f'{path} is a folder without images: it has {_counted(others)}{subfolders}; '
                f'suffixes of images are {", ".join(suffixes)}'
            )
        if others:
            verb = 'is' if len(others) == 1 else 'are'
            note(f'{path}: {_counted(others)} {verb} passed over')
        if folders:
            note(
                f'{path}: {folders} {"subfolder is" if folders == 1 else "subfolders are"} passed '
                f'over; give a pattern such as {osp.join(path, "**/*.jpg")!r} for their images'
            )
        return [osp.join(path, name) for name in names]
    if osp.exists(path):
        return [path]
    if has_magic(path):
        found = sorted(name for name in glob(path, recursive=True) if osp.isfile(name))
        if not found:
            raise DataError(f'{path} matches no file')
        return found
    raise DataError(f'{path}: no such image or folder')


def _listed(path: str, suffixes: tuple[str, ...]) -> tuple[list[str], list[str], int]:
    """Names of the files with these suffixes, names of the others, and number of subfolders."""
    try:
        with os.scandir(path) as entries:
            is_folder = {
                entry.name: entry.is_dir() for entry in entries if not entry.name.startswith('.')
            }
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror or error}') from error
    files = sorted(name for name, folder in is_folder.items() if not folder)
    names = [name for name in files if name.lower().endswith(suffixes)]
    others = [name for name in files if not name.lower().endswith(suffixes)]
    others = [name for name in others if name.lower() not in SYSTEM_FILES]
    return names, others, len(is_folder) - len(files)


def _counted(names: Sequence[str]) -> str:
    """Number of files, and that of each suffix."""
    count = Counter(osp.splitext(name)[1].lower() or 'no suffix' for name in names)
    most = sorted(count.items(), key=lambda item: (-item[1], item[0]))
    shown = [f'{suffix} {number}' for suffix, number in most[:SUFFIXES_SHOWN]]
    rest = sum(number for _, number in most[SUFFIXES_SHOWN:])
    shown += [f'others {rest}'] if rest else []
    files = '1 file' if len(names) == 1 else f'{len(names)} files'
    return f'{files} ({", ".join(shown)})' if names else 'no files'


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
    tag = _check_header(path, max_pixels, note)
    try:
        image = mmcv.imread(path)
    except (OSError, ValueError, cv2.error) as error:
        raise DataError(f'{path} cannot be read: {" ".join(str(error).split())}') from error
    if image is None:
        check_decodes(path)
        raise DataError(f'{path} is not an image that OpenCV can read')
    return image if tag == UPRIGHT else _turned(image, tag)


def _turned(image: np.ndarray, tag: int) -> np.ndarray:
    """The image turned by an EXIF orientation."""
    if tag in MIRRORED:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, QUARTERS.get(tag, 0)))


def _check_header(path: str, max_pixels: float, note: Callable[[str], None]) -> int:
    """Check size and mode; returns the EXIF orientation that OpenCV does not apply."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            mode, frames = image.mode, getattr(image, 'n_frames', 1)
            deep = any('16' in str(tile[3]) for tile in image.tile)
            tag = orientation(image) if image.format in UNTURNED else UPRIGHT
    except Image.DecompressionBombError as error:
        if max_pixels < float('inf'):
            # Pillow has its own limit, and only its error contains the size.
            pixels = int(re.findall(r'\d+', str(error))[0])
            raise DataError(
                f'{path} is too large: {pixels:,} pixels; scale it to at most '
                f'{max_pixels:,.0f} pixels'
            ) from error
        return UPRIGHT
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        # Decoding reports errors; OpenCV reads some formats that Pillow does not.
        return UPRIGHT
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
    return tag


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write RGB uint8 ``(H, W, 3)`` atomically, in the format of the suffix."""
    suffix = osp.splitext(path)[1]
    options = JPEG_OPTIONS if suffix in ('.jpg', '.jpeg') else ()
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        height, width = image.shape[:2]
        raise DataError(f'{path} cannot be encoded: {width} x {height} are too many pixels for it')
    write_whole(path, data.tobytes())


LONGEST_STEM = 80  # characters of that of an address


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
        else f'{_stem(path)}-{hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()}'
        for path in paths
    }


def _stem(path: str) -> str:
    if path.lower().startswith(('http://', 'https://')):
        # The query of an address is no part of a name, and may be long.
        name = osp.basename(re.split('[?#]', path)[0])
        return osp.splitext(name)[0][:LONGEST_STEM] or 'address'
    return osp.splitext(osp.basename(path))[0]
