"""Stand-in for mmcv's compiled module ``mmcv._ext``, made of torchvision and PyTorch operators.

Contains the functions that ``mmcv.ops`` (2.3.6) calls, with mmcv's names and arguments: most write
into tensors that the caller allocated. They run wherever torchvision runs (CPU, CUDA). 16-bit
floats are computed in float32 and rounded on writing, except in the attention, which computes in
the type of its input. Operators that mmcv has on CUDA alone (CARAFE, deformable RoI pooling, its
synchronized batch normalization) run on the CPU too.

Any other name yields a function that raises ``UnavailableOpError`` when called, because mmcv checks
at import that all its operators exist.
"""

from collections.abc import Callable
from typing import NoReturn

from .ops.attention import ms_deform_attn_backward, ms_deform_attn_forward
from .ops.bbox import bbox_overlaps
from .ops.carafe import (
    carafe_backward,
    carafe_forward,
    carafe_naive_backward,
    carafe_naive_forward,
)
from .ops.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from .ops.deform_roi_pool import deform_roi_pool_backward, deform_roi_pool_forward
from .ops.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from .ops.masked_conv import masked_col2im_forward, masked_im2col_forward
from .ops.nms import nms, nms_match, softnms
from .ops.psa_mask import psamask_backward, psamask_forward
from .ops.roi import roi_align_backward, roi_align_forward, roi_pool_backward, roi_pool_forward
from .ops.sync_bn import (
    sync_bn_backward_data,
    sync_bn_backward_param,
    sync_bn_forward_mean,
    sync_bn_forward_output,
    sync_bn_forward_var,
)
from .ops.unavailable import UnavailableOpError

__all__ = [
    'bbox_overlaps',
    'carafe_backward',
    'carafe_forward',
    'carafe_naive_backward',
    'carafe_naive_forward',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'deform_roi_pool_backward',
    'deform_roi_pool_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'masked_col2im_forward',
    'masked_im2col_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'nms_match',
    'psamask_backward',
    'psamask_forward',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
    'softnms',
    'sync_bn_backward_data',
    'sync_bn_backward_param',
    'sync_bn_forward_mean',
    'sync_bn_forward_output',
    'sync_bn_forward_var',
]


def get_compiler_version() -> str:
    """Returns the text that replaces the compiler's version in environment reports."""
    return 'not compiled (torchvision stand-in)'


def get_compiling_cuda_version() -> str:
    """Returns what mmcv itself reports when built without CUDA."""
    return 'not available'


def __getattr__(name: str) -> Callable[..., NoReturn]:
    # A stub for `__path__` and the like would mislead the import system and `inspect`.
    if name.startswith('__'):
        raise AttributeError(f"module 'mmcv._ext' has no attribute '{name}'")

    def unavailable(*args, **kwargs) -> NoReturn:
        raise UnavailableOpError(name)

    unavailable.__name__ = unavailable.__qualname__ = name
    return unavailable
