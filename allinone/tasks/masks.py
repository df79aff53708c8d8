"""Masks in records."""

import numpy as np
from pycocotools import mask as coco_mask

RLE_SCHEMA = dict(
    type='object',
    properties=dict(
        size=dict(type='array', items=dict(type='integer'), minItems=2, maxItems=2),
        counts=dict(type='string'),
    ),
    required=['size', 'counts'],
    additionalProperties=False,
)


def encode_mask(mask: np.ndarray) -> dict:
    """COCO RLE ``{'size': [H, W], 'counts': str}`` of a bool mask ``(H, W)``."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(side) for side in rle['size']], counts=rle['counts'].decode())


def decode_mask(rle: dict) -> np.ndarray:
    """Bool mask ``(H, W)`` of a COCO RLE."""
    return coco_mask.decode(rle) > 0
