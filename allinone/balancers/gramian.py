"""Inner products and sums of gradients, accurate for gradients that nearly cancel."""

import torch
from torch import Tensor

from allinone.distributed.processes import holders

CHUNK = 1 << 18


def gramian_of(gradients: Tensor) -> Tensor:
    """Inner products ``[K, K]``, float64, of gradients ``[K, P]`` of any floating dtype.

    Products are summed in float64 over chunks of columns. The products of nearly opposite gradients
    cancel, so in float32 rounding errors would decide the direction; float16 products overflow.
    There is no device-to-host copy, and only one chunk is copied at a time. Products of sharded
    gradients (inside :func:`held_by`) are summed over the processes.

    Args:
        gradients: One row per task.
    """
    total = gradients.new_zeros(len(gradients), len(gradients), dtype=torch.float64)
    for chunk in gradients.split(CHUNK, dim=1):
        exact = chunk.double()
        total.addmm_(exact, exact.T)
    return holders().whole(total)


def weighted_sum(weights: Tensor, gradients: Tensor) -> Tensor:
    """``weights @ gradients`` ``[P]`` in the dtype of the gradients ``[K, P]``.

    Computed in the weights' dtype if that is more precise, over chunks of columns. Half precision
    would round weights to two or three digits, and the large weight of a short gradient would
    overflow.
    """
    if torch.promote_types(weights.dtype, gradients.dtype) == gradients.dtype:
        return weights.to(gradients) @ gradients
    return torch.cat(
        [(weights @ chunk.to(weights)).to(chunk) for chunk in gradients.split(CHUNK, dim=1)]
    )
