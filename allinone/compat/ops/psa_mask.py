"""Masks of point-wise spatial attention, spread over the feature map.

Source: Zhao et al., "PSANet: Point-wise Spatial Attention Network for Scene Parsing" (ECCV 2018).

Each pixel predicts one value for each place of a window around it. ``input`` has shape
(B, h_mask * w_mask, H, W), ``output`` (B, H * W, H, W): a value between any two pixels of the map,
0 where one lies outside of the other's window.
"""

import torch
from torch import Tensor

__all__ = ['psamask_backward', 'psamask_forward']

_COLLECT = 0


def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Writes the spread masks to ``output``.

    Args:
        input: Masks, shape (B, h_mask * w_mask, H, W).
        output: Output, shape (B, H * W, H, W).
        psa_type: 0 to collect (the last two axes are the pixel that predicts), 1 to distribute (the
            second axis is).
        num_: B.
        h_feature: H.
        w_feature: W.
        h_mask: Rows of a window.
        w_mask: Columns of a window.
        half_h_mask: Row of a window that lies on the pixel that predicts.
        half_w_mask: Column of a window that lies on the pixel that predicts.
    """
    y, x = (torch.arange(size, device=input.device) for size in (h_feature, w_feature))
    # The place in the window of the second pixel where the first pixel lies.
    values = _gather(
        input.flatten(2),
        y[:, None] - y + half_h_mask,
        x[:, None] - x + half_w_mask,
        (h_mask, w_mask),
    )
    output.copy_((values if psa_type == _COLLECT else values.transpose(1, 2)).view_as(output))


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Adds the gradient to ``grad_input``; the other arguments are those of ``psamask_forward``."""
    y, x, mask_y, mask_x = (
        torch.arange(size, device=grad_output.device)
        for size in (h_feature, w_feature, h_mask, w_mask)
    )
    grad = grad_output.flatten(2)
    # The pixel of the map that lies on each place of a pixel's window.
    values = _gather(
        grad if psa_type == _COLLECT else grad.transpose(1, 2),
        mask_y[:, None] + y - half_h_mask,
        mask_x[:, None] + x - half_w_mask,
        (h_feature, w_feature),
    )
    grad_input += values.view_as(grad_input)


def _gather(values: Tensor, rows: Tensor, columns: Tensor, size: tuple[int, int]) -> Tensor:
    """Picks, for each pixel, values from a grid of ``size``; 0 outside of the grid.

    Args:
        values: Values on the grid of each pixel, shape (B, size[0] * size[1], H * W).
        rows: Row of the grid to pick for (i, y), shape (I, H).
        columns: Column of the grid to pick for (j, x), shape (J, W).
        size: Height and width of the grid.

    Returns:
        Values for (i, j) and (y, x), shape (B, I * J, H * W).
    """
    row_exists, column_exists = (
        (index >= 0) & (index < length) for index, length in zip((rows, columns), size, strict=True)
    )
    exists = row_exists[:, None, :, None] & column_exists[:, None]
    index = rows[:, None, :, None] * size[1] + columns[:, None]
    index = index.masked_fill(~exists, 0).flatten(0, 1).flatten(1)
    picked = values.gather(1, index.expand(len(values), -1, -1))
    return picked.masked_fill(~exists.flatten(0, 1).flatten(1), 0)
