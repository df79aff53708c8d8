"""Names and colours of a task's classes."""

import colorsys
from collections.abc import Mapping
from typing import cast

GOLDEN = 0.61803398875  # step between hues that keeps all of them distinct
TONES = ((0.75, 0.95), (0.55, 1.0), (0.85, 0.75))  # saturation and value, in turn

Colour = tuple[int, int, int]


class ClassTable:
    """Name and RGB colour of every label, with defaults if the data set has none.

    Args:
        metainfo: The data set's ``classes`` and ``palette``. A palette whose length differs from
            that of the classes is a default of the data set type (COCO's 80 colours) and ignored.
        start: Index of the task's first colour in the sequence of distinct colours, so that tasks
            without palettes differ.
    """

    def __init__(self, metainfo: Mapping | None = None, start: int = 0):
        metainfo = metainfo or {}
        self.classes = [str(name) for name in metainfo.get('classes') or ()]
        palette = metainfo.get('palette')
        self.palette: list[Colour] | None = None
        if isinstance(palette, (list, tuple)) and len(palette) == len(self.classes):
            self.palette = [cast(Colour, tuple(int(c) for c in colour)) for colour in palette]
        self.start = start

    def name(self, label: int) -> str:
        """The class's name, or its number if the data set has no name."""
        return self.classes[label] if 0 <= label < len(self.classes) else str(label)

    def colour(self, label: int) -> Colour:
        if self.palette is not None and 0 <= label < len(self.palette):
            return self.palette[label]
        return distinct_colour(self.start + label)


def distinct_colour(index: int) -> Colour:
    """The ``index``-th RGB colour of an endless, fixed sequence of well separated ones."""
    saturation, value = TONES[index % len(TONES)]
    red, green, blue = colorsys.hsv_to_rgb((0.08 + index * GOLDEN) % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever is easier to read on ``colour``."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
