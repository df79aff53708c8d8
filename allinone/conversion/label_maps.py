"""Encodings of label maps: classes by pixel value or colour."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from allinone.errors import DataError

__all__ = ['IGNORED', 'Colours', 'Values']

IGNORED = 255


class Values:
    """Single-channel label maps.

    Args:
        classes: Number of classes.
        table: Class of each valid value, 255 for ignored. None: values are the classes, and label
            maps need no rewriting.
        shift: Without a table: value minus class, such as 1 if value 0 is ignored.
    """

    def __init__(self, classes: int, table: Mapping[int, int] | None = None, shift: int = 0):
        self.as_is = table is None
        if table is None:
            table = {number + shift: number for number in range(classes)} | {IGNORED: IGNORED}
            table |= {number: IGNORED for number in range(shift)}
        self.known = np.zeros(256, bool)
        self.table = np.full(256, IGNORED, np.uint8)
        for value, label in table.items():
            self.known[value], self.table[value] = True, label

    @staticmethod
    def open(path: str) -> Image.Image:
        """The label map of a file."""
        return _open(path)

    def read(self, image: Image.Image) -> tuple[np.ndarray, dict[int, int]]:
        """Classes of an opened label map, uint8 ``[H, W]``, and the number of pixels of each.

        Raises:
            DataError: For a label map with several channels or with a value without a class. What
                is linked must have 8 bits.
        """
        values = np.asarray(image)
        if not self.as_is and values.ndim == 2 and values.dtype.kind in 'biu':
            wide = values[(values < 0) | (values > IGNORED)]
            if wide.size:
                raise DataError(f'it has the value {wide[0]}, which stands for no class')
            values = values.astype(np.uint8)
        if values.ndim != 2 or values.dtype != np.uint8:
            raise DataError(f'it has the mode {image.mode}, not one channel of 8 bits')
        pixels = np.bincount(values.ravel(), minlength=256)
        unknown = np.flatnonzero((pixels > 0) & ~self.known)
        if len(unknown):
            raise DataError(f'it has the value {unknown[0]}, which stands for no class')
        counts = np.bincount(self.table, pixels, 256).astype(np.int64)
        return self.table[values], {int(label): int(counts[label]) for label in counts.nonzero()[0]}


class Colours:
    """Colour-coded label maps.

    Args:
        classes: Class of each valid colour ``(red, green, blue)``, 255 for ignored.
    """

    as_is = False

    def __init__(self, classes: Mapping[Sequence[int], int]):
        codes = {red << 16 | green << 8 | blue: n for (red, green, blue), n in classes.items()}
        self.codes = np.array(sorted(codes))
        self.labels = np.array([codes[code] for code in sorted(codes)], np.uint8)

    @staticmethod
    def open(path: str) -> Image.Image:
        """As :meth:`Values.open`."""
        return _open(path)

    def read(self, image: Image.Image) -> tuple[np.ndarray, dict[int, int]]:
        """As :meth:`Values.read`."""
        values = np.asarray(image.convert('RGB')).astype(np.int64)
        values = values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2]
        places = np.searchsorted(self.codes, values).clip(max=len(self.codes) - 1)
        wrong = values[self.codes[places] != values]
        if len(wrong):
            colour = tuple(int(wrong[0] >> shift & 255) for shift in (16, 8, 0))
            raise DataError(f'it has the colour {colour}, which stands for no class')
        labels = self.labels[places]
        numbers, counts = np.unique(labels, return_counts=True)
        return labels, dict(zip(numbers.tolist(), counts.tolist()))


def _open(path: str) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image
