"""Layers that fix the size of maps when they are traced, as functions of any size."""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor


@contextmanager
def free_sizes():
    """Inside, layers that fix the size of maps when they are traced take maps of any size.

    Those of mmseg that enlarge maps by a factor round the size by ``int``. PyTorch decomposes
    pooling to a number of bins, as in PSPNet and UPerNet, for the size at which it is traced.
    """
    from mmseg.models.utils.wrappers import Upsample  # Slow to import

    upstream, pooling = Upsample.forward, F.adaptive_avg_pool2d

    def forward(self, x: Tensor) -> Tensor:
        factor = self.scale_factor
        if self.size or not isinstance(factor, float) or not factor.is_integer():
            return upstream(self, x)
        size = [side * int(factor) for side in x.shape[-2:]]
        return F.interpolate(x, size, None, self.mode, self.align_corners)

    def pool(x: Tensor, output_size) -> Tensor:
        if not any(isinstance(side, torch.SymInt) for side in x.shape[-2:]):
            return pooling(x, output_size)
        counts = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
        if all(count == 1 for count in counts):
            return pooling(x, output_size)
        sides = x.shape[-2:]
        counts = [side if count is None else count for side, count in zip(sides, counts)]
        rows, columns = (_bins(side, count, x) for side, count in zip(sides, counts))
        return rows @ x @ columns.T

    Upsample.forward = forward
    F.adaptive_avg_pool2d = pool
    try:
        yield
    finally:
        Upsample.forward = upstream
        F.adaptive_avg_pool2d = pooling


def _bins(side: int, count: int, like: Tensor) -> Tensor:
    """``(count, side)`` weights with which adaptive pooling takes the mean of each bin."""
    bins = torch.arange(count, device=like.device)
    first = torch.div(bins * side, count, rounding_mode='floor')
    last = torch.div((bins + 1) * side + count - 1, count, rounding_mode='floor')
    places = torch.arange(side, device=like.device)
    inside = (places >= first[:, None]) & (places < last[:, None])
    return inside.to(like.dtype) / (last - first)[:, None].to(like.dtype)
