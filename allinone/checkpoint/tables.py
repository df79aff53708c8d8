"""Resizing of tables of positions, whose size is that of images or windows."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor

RELATIVE = 'relative_position_bias_table'
ABSOLUTE = 'pos_embed'
# Computed from the config where a file has none, or has those of another window
COMPUTED = ('relative_position_index', 'relative_coords_table', 'attn_mask')


def computed(name: str) -> bool:
    """Whether a tensor is no weight but computed from the sizes of images and windows."""
    return name.endswith(COMPUTED)


def resized_relative(state: Mapping, own: Mapping) -> dict:
    """Tables ``((2 w - 1)**2 + extra, heads)`` of windows of another size, bicubically.

    As Swin's authors do for other windows. mmpretrain's own hook calls what SciPy 1.14 removed. The
    extra rows are those of the class token (BEiT), which stay.

    Args:
        state: The state dict.
        own: That of the module, whose shapes are wanted.
    """
    return {
        name: _square(value, own[name])
        if name.endswith(RELATIVE) and _differs(value, own.get(name), dim=0, dims=2)
        else value
        for name, value in state.items()
    }


def resized_absolute(state: Mapping, own: Mapping) -> dict:
    """Embeddings ``(1, extra + h * w, C)`` of square images of another size, by mmpretrain."""
    found = dict(state)
    for name, value in state.items():
        if name.endswith(ABSOLUTE) and _differs(value, own.get(name), dim=1, dims=3):
            (side, extra), (wanted, others) = _side(value.shape[1]), _side(own[name].shape[1])
            if extra == others:
                shapes = (side, side), (wanted, wanted)
                found[name] = resize_pos_embed(value, *shapes, num_extra_tokens=extra)
    return found


def _differs(value, wanted, dim: int, dims: int) -> bool:
    """Whether two tensors have different lengths in one dimension, and in no other."""
    if not isinstance(value, Tensor) or wanted is None or not value.dim() == wanted.dim() == dims:
        return False
    shapes = [*value.shape], [*wanted.shape]
    lengths = [shape.pop(dim) for shape in shapes]
    return lengths[0] != lengths[1] and shapes[0] == shapes[1]


def _side(length: int) -> tuple[int, int]:
    side = math.isqrt(length)
    return side, length - side * side


def _square(table: Tensor, wanted: Tensor) -> Tensor:
    (side, extra), (new, others) = _side(table.shape[0]), _side(wanted.shape[0])
    if extra != others:
        return table
    places, rest = table[: side * side], table[side * side :]
    grid = places.float().T.reshape(1, -1, side, side)
    grid = F.interpolate(grid, (new, new), mode='bicubic', align_corners=False)
    return torch.cat([grid.flatten(2)[0].T.to(table.dtype), rest])
