"""Label maps as polygons and back, as in the segmentation part of Track 1's submissions.

A class is a list of polygons, each a list of pixels ``[x, y]``. All polygons of a class are filled
together by the even-odd rule, outlines included: a hole is one more polygon, along the pixels of
the class around it. Classes are drawn one after another onto class 0, later ones over earlier ones.

Encoder and decoder published with the challenge's baseline and by a participant, both of OpenCV's
``findContours`` and ``fillPoly``: ``mask2polygon`` in ``OneForAll/evaluation/seg_evaluator.py``
of https://github.com/AquaSecure/CVPR2023_ComprehensiveModel_Track1, ``polygon2mask`` in code built
on it. The latter passes over polygons of less than three points, which the former writes for
specks and lines one pixel wide. Here their last point is repeated, so that no pixel is lost.
"""

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from allinone.io.image_files import IGNORED

MIN_POINTS = 3

Polygon = list[list[int]]


def to_polygons(mask: np.ndarray) -> list[Polygon]:
    """The polygons of a bool mask ``(H, W)``; :func:`decode_label_map` gives exactly it back."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    polygons = [outline[:, 0].tolist() for outline in outlines]
    return [polygon + polygon[-1:] * (MIN_POINTS - len(polygon)) for polygon in polygons]


def encode_label_map(labels: np.ndarray, ignored: int = IGNORED) -> dict[str, list[Polygon]]:
    """``{class number: polygons}`` of each class present in a label map ``(H, W)``."""
    return {
        str(number): to_polygons(labels == number)
        for number in np.unique(labels).tolist()
        if number != ignored
    }


def decode_label_map(
    classes: Mapping[str, Iterable[Sequence]], shape: tuple[int, int]
) -> np.ndarray:
    """The label map ``(H, W)`` of ``{class number: polygons}``; 0 where nothing is drawn.

    Polygons of less than three points are passed over.
    """
    labels = np.zeros(shape, np.uint8)
    for number, polygons in classes.items():
        outlines = [
            np.asarray(points, np.int32) for points in polygons if len(points) >= MIN_POINTS
        ]
        if outlines:
            cv2.fillPoly(labels, outlines, int(number))
    return labels
