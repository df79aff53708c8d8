"""Deformable RoI pooling: RoIAlign whose bins are moved by predicted offsets.

Source: Dai et al., "Deformable Convolutional Networks" (ICCV 2017).

Shapes throughout: ``input`` (N, C, H, W), ``rois`` (R, 5) as in ``roi``, ``output``
(R, C, pooled height, pooled width), ``offset`` (R, 2, pooled height, pooled width) as (x, y) in
units of ``gamma`` times the region's size, or (0,) for none. ``spatial_scale`` is feature pixels
per image pixel; ``sampling_ratio`` is the number of samples per bin along each axis, or 0 for one
per feature pixel.
"""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from .precision import to_kernel_dtype

__all__ = ['deform_roi_pool_backward', 'deform_roi_pool_forward']


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Writes the mean of each bin's samples to ``output``; 0 for a region without area."""
    features, rois, offset = to_kernel_dtype(input, rois, offset)
    pooled = (pooled_height, pooled_width)
    size = _sizes(rois, spatial_scale)
    count = _counts(size, pooled, sampling_ratio)
    pixels = features.permute(0, 2, 3, 1).flatten(0, 2)
    total = pixels.new_zeros(len(rois), pooled_height * pooled_width, pixels.shape[1])
    for rows, y, x in _samples(rois, size, offset, count, pooled, spatial_scale, gamma):
        places, weights, _ = _corners(rois[rows, 0], y, x, features.shape[2:])
        total[rows] += (weights.unsqueeze(-1) * pixels[places]).sum(0)
    output.copy_((total / _total(count)).transpose(1, 2).reshape(output.shape))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Adds the gradients to ``grad_input`` and ``grad_offset``, of the shapes of the inputs.

    Beyond the first and last rows and columns of features, interpolation repeats them, and mmcv's
    gradient of the offset is not that of the value. It is mmcv's here.
    """
    grad_output, features, rois, offset = to_kernel_dtype(grad_output, input, rois, offset)
    pooled = (pooled_height, pooled_width)
    size = _sizes(rois, spatial_scale)
    count = _counts(size, pooled, sampling_ratio)
    pixels = features.permute(0, 2, 3, 1).flatten(0, 2)
    grad = grad_output.flatten(2).transpose(1, 2) / _total(count)
    grad_pixels = torch.zeros_like(pixels)
    moved = grad.new_zeros(2, *grad.shape[:2])
    for rows, y, x in _samples(rois, size, offset, count, pooled, spatial_scale, gamma):
        places, weights, slopes = _corners(rois[rows, 0], y, x, features.shape[2:])
        shares = weights.unsqueeze(-1) * grad[rows]
        grad_pixels.index_add_(0, places.flatten(), shares.flatten(0, 2))
        if offset.numel():
            moved[:, rows] += (slopes * (pixels[places] * grad[rows]).sum(-1)).sum(1)
    shape = (len(features), *features.shape[2:], features.shape[1])
    grad_input += grad_pixels.view(shape).permute(0, 3, 1, 2)
    if offset.numel():
        moved = (gamma * size).T.unsqueeze(-1) * moved
        grad_offset += moved.transpose(0, 1).reshape(grad_offset.shape)


def _sizes(rois: Tensor, scale: float) -> Tensor:
    """Returns width and height of the regions in feature pixels, shape (R, 2)."""
    return (rois[:, 3:] * scale - 0.5) - (rois[:, 1:3] * scale - 0.5)


def _counts(size: Tensor, pooled: tuple[int, int], ratio: int) -> Tensor:
    """Returns the samples of a bin along x and y, shape (R, 2); 0 of an empty or infinite one."""
    if ratio > 0:
        return size.new_full(size.shape, ratio, dtype=torch.long)
    step = size / size.new_tensor(pooled[::-1])
    return step.ceil().nan_to_num(nan=0, posinf=0, neginf=0).long().clamp(min=0)


def _total(count: Tensor) -> Tensor:
    """Returns the samples of a bin, at least 1, shape (R, 1, 1)."""
    return count.prod(1).clamp(min=1).view(-1, 1, 1)


def _samples(
    rois: Tensor,
    size: Tensor,
    offset: Tensor,
    count: Tensor,
    pooled: tuple[int, int],
    scale: float,
    gamma: float,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yields one sample of each bin after the other, in mmcv's order.

    Args:
        rois: Regions, shape (R, 5).
        size: Width and height of the regions, shape (R, 2).
        offset: Offsets of the bins, shape (R, 2, pooled height, pooled width) or (0,).
        count: Samples along x and y, shape (R, 2).
        pooled: Bins along y and x.
        scale: Feature pixels per image pixel.
        gamma: Unit of the offsets in sizes of the region.

    Yields:
        Indices of the M regions that have such a sample, and y and x of the sample in each of their
        bins, both of shape (M, bins).
    """
    start = (rois[:, 1:3] * scale - 0.5).view(-1, 2, 1, 1)
    if offset.numel():
        start = start + gamma * size.view(-1, 2, 1, 1) * offset
    step = size / size.new_tensor(pooled[::-1])
    down, right = (torch.arange(bins, device=rois.device) for bins in pooled)
    near_x = (start[:, 0] + right * step[:, 0, None, None]).expand(-1, *pooled).flatten(1)
    near_y = (start[:, 1] + down[:, None] * step[:, 1, None, None]).expand(-1, *pooled).flatten(1)
    most_x, most_y = count.amax(0).tolist() if len(count) else (0, 0)
    for i, j in product(range(most_y), range(most_x)):
        rows = ((j < count[:, 0]) & (i < count[:, 1])).nonzero().squeeze(1)
        right_by, down_by = (
            (k + 0.5) * step[rows, axis, None] / count[rows, axis, None]
            for axis, k in enumerate((j, i))
        )
        yield rows, near_y[rows] + down_by, near_x[rows] + right_by


def _corners(
    image: Tensor, y: Tensor, x: Tensor, size: torch.Size
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the four pixels around each sample, as RoIAlign interpolates.

    Args:
        image: Index in the batch of each region, shape (M,).
        y: Samples along y, shape (M, bins).
        x: Samples along x, shape (M, bins).
        size: Height and width of the feature map.

    Returns:
        Indices into all pixels of the batch, shape (4, M, bins); their weights, which are 0 for
        samples more than a pixel outside of the map, of the same shape; and the slopes of the value
        along x and y per unit of each pixel, shape (2, 4, M, bins).
    """
    height, width = size
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    # NaN is outside too, and must not become an index.
    y, x = (torch.where(inside, value, 0) for value in (y, x))
    near_y, near_x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = near_y.floor(), near_x.floor()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    below, beside = near_y - top, near_x - left
    above, before = 1 - below, 1 - beside

    first = image.long().unsqueeze(1) * height
    rows = [(first + edge.long()) * width for edge in (top, bottom)]
    places = torch.stack([row + edge.long() for row in rows for edge in (left, right)])
    weights = torch.stack([above * before, above * beside, below * before, below * beside])
    along_x = torch.stack([y - bottom, bottom - y, top - y, y - top])
    along_y = torch.stack([x - right, left - x, right - x, x - left])
    return places, weights * inside, torch.stack([along_x, along_y]) * inside
