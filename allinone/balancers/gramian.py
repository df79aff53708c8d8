"""Inner products and sums of gradients, exact enough to see what nearly cancels."""

import torch
from torch import Tensor

from allinone.distributed.processes import holders

CHUNK = 1 << 18


def gramian_of(gradients: Tensor) -> Tensor:
    """Inner products ``[K, K]``, float64, of gradients ``[K, P]`` of any floating dtype.

    Summed in float64 over chunks of columns: the products of nearly opposite gradients cancel, and
    what is left in float32 decides a direction by its rounding errors; fp16 products overflow. No
    value is read off the device, and the copies are of one chunk at a time. Of sharded gradients
    (inside :func:`held_by`) the parts' products are added up.

    Args:
        gradients: One row a task.
    """
    total = gradients.new_zeros(len(gradients), len(gradients), dtype=torch.float64)
    for chunk in gradients.split(CHUNK, dim=1):
        exact = chunk.double()
        total.addmm_(exact, exact.T)
    return holders().whole(total)


def weighted_sum(weights: Tensor, gradients: Tensor) -> Tensor:
    """``weights @ gradients`` ``[P]`` in the dtype of the gradients ``[K, P]``.

    Where the weights' dtype is the more precise, it is computed in that, over chunks of columns. In
    half precision, weights would be rounded to two or three digits, and the large one of a short
    gradient overflow.
    """
    if torch.promote_types(weights.dtype, gradients.dtype) == gradients.dtype:
        return weights.to(gradients) @ gradients
    return torch.cat(
        [(weights @ chunk.to(weights)).to(chunk) for chunk in gradients.split(CHUNK, dim=1)]
    )
