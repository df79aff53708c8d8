"""Pooling of features over regions of interest: RoIAlign and RoIPool.

Regions are rows (index in the batch, x1, y1, x2, y2) in pixels of the image, shape (R, 5);
``spatial_scale`` converts them to pixels of the feature map (N, C, H, W).
"""

import torch
import torchvision  # noqa: F401  # registers `torch.ops.torchvision`
from torch import Tensor

from .precision import to_kernel_dtype
from .unavailable import UnavailableOpError

__all__ = [
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
]

_MAX_MODE = 0


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Averages bilinear samples of each bin into ``output``.

    Args:
        input: Features, shape (N, C, H, W).
        rois: Regions, shape (R, 5).
        output: Output, shape (R, C, aligned_height, aligned_width).
        argmax_y: Unused; belongs to max pooling.
        argmax_x: Unused; belongs to max pooling.
        aligned_height: Bins along y.
        aligned_width: Bins along x.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Samples per bin along each axis; 0 for one per feature pixel.
        pool_mode: 1 for the mean. 0, the maximum, is not available.
        aligned: Whether pixel centres lie at half coordinates.

    Raises:
        UnavailableOpError: If ``pool_mode`` is 0.
    """
    _require_mean(pool_mode)
    features, regions = to_kernel_dtype(input, rois)
    pooled = torch.ops.torchvision.roi_align(
        features, regions, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Adds the gradient with respect to the features to ``grad_input``, shape (N, C, H, W).

    Arguments and errors are those of ``roi_align_forward``; ``grad_output`` has the output's shape.
    """
    _require_mean(pool_mode)
    grad, regions = to_kernel_dtype(grad_output, rois)
    grad_input += torch.ops.torchvision._roi_align_backward(
        grad,
        regions,
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Writes the maximum of each bin to ``output``.

    torchvision's forward does not fit: it rounds the corners of a region to whole feature pixels,
    while mmcv does not, and mmcv's far corner includes its pixel (x2 + 1). Loops over regions and
    bins, so it is too slow for regular training.

    Args:
        input: Features, shape (N, C, H, W).
        rois: Regions, shape (R, 5).
        output: Output, shape (R, C, pooled_height, pooled_width); 0 where a bin is empty.
        argmax: Output, same shape, int32: index y * W + x of the maximum, the first in reading
            order among equals; -1 where the bin is empty.
        pooled_height: Bins along y.
        pooled_width: Bins along x.
        spatial_scale: Feature pixels per image pixel.
    """
    height, width = input.shape[-2:]
    output.zero_()
    argmax.fill_(-1)
    far = rois.new_tensor([0, 0, 1, 1])
    x1, y1, x2, y2 = ((rois[:, 1:] + far) * spatial_scale).unbind(1)
    columns = _bins(x1, x2, pooled_width, width)
    rows = _bins(y1, y2, pooled_height, height)
    inside = ((x2 > x1) & (y2 > y1)).tolist()

    for r, batch in enumerate(rois[:, 0].long().tolist()):
        if not inside[r]:
            continue
        for j, (left, right) in enumerate(columns[r]):
            if right <= left:
                continue
            # Along x first, so that equal maxima resolve by row first, as in reading order.
            across, place_x = input[batch, :, :, left:right].max(dim=2)
            for i, (top, bottom) in enumerate(rows[r]):
                if bottom <= top:
                    continue
                value, place_y = across[:, top:bottom].max(dim=1)
                y = place_y + top
                x = place_x.gather(1, y.unsqueeze(1)).squeeze(1) + left
                output[r, :, i, j] = value
                argmax[r, :, i, j] = (y * width + x).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Adds the gradient with respect to the features to ``grad_input``, shape (N, C, H, W).

    Arguments are those of ``roi_pool_forward``; ``grad_output`` has the output's shape.
    """
    grad, regions = to_kernel_dtype(grad_output, rois)
    grad_input += torch.ops.torchvision._roi_pool_backward(
        grad, regions, argmax, spatial_scale, pooled_height, pooled_width, *grad_input.shape
    )


def _require_mean(pool_mode: int) -> None:
    if pool_mode == _MAX_MODE:
        raise UnavailableOpError("roi_align(pool_mode='max')")


def _bins(start: Tensor, end: Tensor, count: int, size: int) -> list[list[list[int]]]:
    """Returns the pixel ranges [first, last) of each region's bins along one axis.

    Args:
        start: Near edge of the regions in feature pixels, shape (R,).
        end: Far edge of the regions, shape (R,).
        count: Bins per region.
        size: Pixels of the feature map along the axis; ranges are clipped to it.

    Returns:
        Nested lists of shape (R, count, 2).
    """
    step = ((end - start) / count).unsqueeze(1)
    number = torch.arange(count, device=start.device, dtype=start.dtype)
    first = (number * step + start.unsqueeze(1)).floor()
    last = ((number + 1) * step + start.unsqueeze(1)).ceil()
    return torch.stack([first, last], -1).clamp(0, size).long().tolist()
