"""Convolution at chosen places of one image, which guided anchoring predicts with.

Shapes: ``im`` (1, C, H, W), ``mask_h_idx`` and ``mask_w_idx`` (N,) of the places.
"""

import torch.nn.functional as F
from torch import Tensor

__all__ = ['masked_col2im_forward', 'masked_im2col_forward']


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Writes the patch around each place to ``col`` (C * kernel_h * kernel_w, N)."""
    width = im.shape[3] + 2 * pad_w - kernel_w + 1
    patches = F.unfold(im, (kernel_h, kernel_w), padding=(pad_h, pad_w))
    col.copy_(patches[0][:, mask_h_idx * width + mask_w_idx])


def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Writes ``col`` (channels, N) to the places of ``im``; the others stay as they are."""
    im[0, :, mask_h_idx, mask_w_idx] = col
