"""``mmcv.ops.bbox_overlaps`` by hand."""

import math

import pytest
import torch
from standin_ops import not_compiled, ops

pytestmark = not_compiled

FIRST = torch.tensor([[0.0, 0, 4, 2], [1, 1, 3, 3]])
SECOND = torch.tensor([[0.0, 0, 2, 2], [2, 2, 5, 4], [9, 9, 10, 10]])


@pytest.mark.parametrize(
    'mode, offset, expected',
    [
        ('iou', 0, [[4 / 8, 0, 0], [1 / 7, 1 / 9, 0]]),
        ('iof', 0, [[4 / 8, 0, 0], [1 / 4, 1 / 4, 0]]),
        # Sizes in whole pixels: 5 x 3 and 3 x 3 against 3 x 3, 4 x 3 and 2 x 2.
        ('iou', 1, [[9 / 15, 3 / 24, 0], [4 / 14, 4 / 17, 0]]),
        ('iof', 1, [[9 / 15, 3 / 15, 0], [4 / 9, 4 / 9, 0]]),
    ],
)
def test_bbox_overlaps(mode, offset, expected):
    found = ops.bbox_overlaps(FIRST, SECOND, mode, offset=offset)
    torch.testing.assert_close(found, torch.tensor(expected))
    aligned = ops.bbox_overlaps(FIRST, SECOND[:2], mode, aligned=True, offset=offset)
    torch.testing.assert_close(aligned, torch.tensor(expected).diagonal())
    low = ops.bbox_overlaps(FIRST.half(), SECOND.half(), mode, offset=offset)
    torch.testing.assert_close(low, torch.tensor(expected).half())


def test_two_empty_boxes_have_no_overlap_and_none_give_no_rows():
    empty = torch.zeros(1, 4)
    assert math.isnan(ops.bbox_overlaps(empty, empty).item())
    assert ops.bbox_overlaps(empty, SECOND).tolist() == [[0, 0, 0]]
    assert ops.bbox_overlaps(FIRST[:0], SECOND).shape == (0, 3)
