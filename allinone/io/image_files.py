"""Checks and sizes of image files, without importing torch."""

import io
import os

from PIL import Image

from allinone.errors import DataError

JPEG_START = b'\xff\xd8'
# {first bytes of a file: bytes at its end}
ENDS = {JPEG_START: b'\xff\xd9', b'\x89PNG': b'IEND'}
JPEG_SCAN = 0xDA
TAIL_BYTES = 12
IGNORED = 255  # Value in label maps of pixels without a class
ORIENTATION, UPRIGHT = 0x0112, 1  # EXIF
UNTURNED = ('WEBP', 'AVIF')  # Formats whose EXIF orientation OpenCV does not apply
TURNED = (5, 6, 7, 8)  # EXIF orientations rotated by 90 degrees


def is_local(path: str) -> bool:
    return '://' not in path and not path.startswith('s3:')


def check_complete(path: str) -> None:
    """Refuse a truncated local JPEG or PNG file; other files are checked when they are read.

    Raises:
        DataError: If the file is missing, empty, or has no end marker.
    """
    if not is_local(path):
        return
    try:
        with open(path, 'rb') as file:
            head = file.read(4)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            tail = file.read()
            if any(head.startswith(start) and end not in tail for start, end in ENDS.items()):
                file.seek(0)
                check_end(path, file.read())
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror or error}') from error
    if not head:
        raise DataError(f'{path} is an empty file')


def check_end(path: str, content: bytes) -> None:
    """Refuse the content of a truncated JPEG or PNG file.

    OpenCV silently decodes a truncated JPEG to an image with a grey remainder. Cameras append data,
    so if the file does not end with the end marker, everything after the header is searched for it
    (the header of a JPEG may have a thumbnail with an end marker).

    Raises:
        DataError: If it has no end marker.
    """
    for start, end in ENDS.items():
        if not content.startswith(start) or end in content[-TAIL_BYTES:]:
            continue
        if end not in _after_header(content):
            raise DataError(f'{path} is truncated ({len(content)} bytes)')


def _after_header(data: bytes) -> bytes:
    """The data after a JPEG's header segments; all data of any other file."""
    if not data.startswith(JPEG_START):
        return data
    position = len(JPEG_START)
    # A segment: 0xff, its kind, two bytes of length that include themselves.
    while data[position + 1 : position + 2] not in (b'', bytes([JPEG_SCAN])):
        position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
    return data[position:]


def check_decodes(path: str, backend_args: dict | None = None) -> None:
    """Raise :class:`DataError` if a file cannot be decoded as an image.

    Args:
        path: A local path or an address.
        backend_args: mmengine's arguments for reading an address.
    """
    file: str | io.BytesIO = path
    if not is_local(path):
        from mmengine.fileio import get  # Imports torch

        file = io.BytesIO(get(path, backend_args))
    try:
        with Image.open(file) as image:
            image.load()
    except Exception as error:
        raise DataError(f'{path} is not a readable image: {error}') from error


def shown_size(path: str | io.BytesIO) -> tuple[int, int]:
    """Width and height of an image as it is shown, upright by its EXIF orientation."""
    with Image.open(path) as image:
        return image.size[::-1] if orientation(image) in TURNED else image.size


def orientation(image: Image.Image) -> int:
    """EXIF orientation of an opened JPEG, PNG, WebP or AVIF image: 1 (upright) to 8.

    Pillow turns TIFF images itself, and gives their size as they are shown.
    """
    # Pillow would decode all pixels of a PNG without the tag to search for it.
    return image.getexif().get(ORIENTATION, UPRIGHT) if 'exif' in image.info else UPRIGHT


def decoded_size(path: str) -> list[int]:
    """``[width, height]`` of a training image, which OpenCV decodes as it is shown.

    Raises:
        DataError: As :func:`check_upright`.
    """
    check_upright(path)
    return list(shown_size(path))


def check_upright(path: str) -> None:
    """Refuse a training image whose EXIF orientation OpenCV does not apply.

    OpenCV applies the EXIF orientation of JPEG, PNG and TIFF images, not that of WebP and AVIF.

    Raises:
        DataError: If it is such an image.
    """
    with Image.open(path) as image:
        kind = image.format
        turned = kind in UNTURNED and orientation(image) != UPRIGHT
    if turned:
        name = 'a WebP' if kind == 'WEBP' else f'an {kind}'
        raise DataError(
            f'{path} is {name} image with an EXIF orientation, which OpenCV does not apply, so '
            'its labels would not fit; save it upright'
        )
