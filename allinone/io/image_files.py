"""What an image's file says without decoding it; imports no torch."""

import io
import os

from PIL import Image

from allinone.errors import DataError

JPEG_START = b'\xff\xd8'
# How files begin, and what must then be at their end
ENDS = {JPEG_START: b'\xff\xd9', b'\x89PNG': b'IEND'}
JPEG_SCAN = 0xDA
TAIL_BYTES = 12
IGNORED = 255  # Value of a label map: of no class
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # Exif: the image is shown turned by a quarter


def is_local(path: str) -> bool:
    return '://' not in path and not path.startswith('s3:')


def check_complete(path: str) -> None:
    """Refuse a local JPEG or PNG file whose end is missing; others are checked when they are read.

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
    """Refuse the content of a JPEG or PNG file whose end is missing.

    OpenCV decodes a truncated JPEG to an image with a grey remainder and says nothing. Cameras
    append data of their own, so where the file does not end with the end marker, it is looked for
    in all that follows the header (of a JPEG: whose thumbnail has an end marker too).

    Raises:
        DataError: If it has no end marker.
    """
    for start, end in ENDS.items():
        if not content.startswith(start) or end in content[-TAIL_BYTES:]:
            continue
        if end not in _after_header(content):
            raise DataError(f'{path} is truncated ({len(content)} bytes)')


def _after_header(data: bytes) -> bytes:
    """What follows a JPEG's header segments; all of any other file."""
    if not data.startswith(JPEG_START):
        return data
    position = len(JPEG_START)
    # A segment: 0xff, its kind, two bytes of length that count themselves.
    while data[position + 1 : position + 2] not in (b'', bytes([JPEG_SCAN])):
        position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
    return data[position:]


def check_decodes(path: str, backend_args: dict | None = None) -> None:
    """Raise :class:`DataError` if a file cannot be decoded as an image.

    Args:
        path: A local one, or an address.
        backend_args: What mmengine reads an address by.
    """
    file: str | io.BytesIO = path
    if not is_local(path):
        from mmengine.fileio import get  # Brings torch

        file = io.BytesIO(get(path, backend_args))
    try:
        with Image.open(file) as image:
            image.load()
    except Exception as error:
        raise DataError(f'{path} is not a readable image: {error}') from error


def shown_size(path: str) -> tuple[int, int]:
    """Width and height of an image as OpenCV loads it, upright by its Exif tag."""
    with Image.open(path) as image:
        # Asked of a PNG, Pillow would decode it all; of a JPEG without the tag, it would look long.
        tagged = image.format == 'JPEG' and 'exif' in image.info
        turned = tagged and image.getexif().get(ORIENTATION) in TURNED
        return image.size[::-1] if turned else image.size
