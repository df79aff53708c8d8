"""The floating-point type in which the operators compute."""

import torch
from torch import Tensor

__all__ = [
    'to_kernel_dtype',
]


def to_kernel_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Converts tensors to one type that torchvision's kernels support.

    The kernels need arguments of equal type and do not support bfloat16, while mixed-precision
    training passes several types at once.

    Args:
        tensors: Floating-point tensors of any shape.

    Returns:
        The tensors in float64 if any is float64, else in float32; the same object if its type
        does not change.
    """
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    dtype = torch.float64 if double else torch.float32
    return tuple(tensor.to(dtype) for tensor in tensors)
