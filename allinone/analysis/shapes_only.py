"""Run a network on the meta device, where only shapes are computed, also if it reads numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmcv.ops import multi_scale_deform_attn
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_map_only

aten = torch.ops.aten
SMALL = 4096  # elements: the shapes of feature maps and counts that networks read as numbers
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


@contextmanager
def shapes_only() -> Iterator[None]:
    """In this context, models and images on the meta device run without values.

    Small tensors that do not depend on the image, such as the shapes of feature maps, keep their
    values, since transformers read them as numbers. Searches (``nonzero``, a mask as an index) find
    nothing. What attention saves for the backward pass is as on a GPU: no matrix of weights by
    PyTorch's function, and by mmcv's deformable one its inputs.
    """
    with _deformable_attention_of_gpus(), _EfficientAttention(), _ShapesOnly():
        yield


@contextmanager
def _deformable_attention_of_gpus() -> Iterator[None]:
    """mmcv samples each level in Python where there is no GPU, and saves all samples."""
    before = multi_scale_deform_attn.multi_scale_deformable_attn_pytorch
    multi_scale_deform_attn.multi_scale_deformable_attn_pytorch = _sampled
    try:
        yield
    finally:
        multi_scale_deform_attn.multi_scale_deformable_attn_pytorch = before


def _sampled(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return _Sampled.apply(value, locations, weights)


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        """Shapes as of mmcv's function."""
        ctx.save_for_backward(value, locations, weights)
        batch, _, heads, channels = value.shape
        return value.new_empty(batch, locations.shape[1], heads * channels)


class _EfficientAttention(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and len(args) == 3 and args[0].dim() == 4:
            mask = kwargs.get('attn_mask')
            if args[0].is_meta and mask is None and not kwargs.get('is_causal'):
                return aten._scaled_dot_product_efficient_attention(*args, None, True)[0]
        return func(*args, **kwargs)


class _ShapesOnly(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        on_meta = tree_any(_is_meta, (args, kwargs))
        if not on_meta:
            return _with_values(func, args, kwargs)
        if func.overloadpacket is aten.nonzero:
            return args[0].new_empty((0, args[0].dim()), dtype=torch.long)
        if func.overloadpacket in INDEXED:
            args = (args[0], _without_masks(args[1]), *args[2:])
        mixed = tree_any(_has_values, (args, kwargs))
        moved, options = (
            tree_map_only(Tensor, _to_meta, (args, kwargs)) if mixed else (args, kwargs)
        )
        result = func(*moved, **options)
        # What is changed in place stays what it is.
        return args[0] if mixed and func._schema.is_mutable and result is moved[0] else result


def _with_values(func, args: tuple, kwargs: dict) -> Any:
    """Run without tensors on the meta device, and keep the values of small results."""
    if str(kwargs.get('device')) == 'meta':
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.numel() > SMALL:
            return result
        kwargs['device'] = 'cpu'
    result = func(*args, **kwargs)
    changed = func._schema.is_mutable or any(ret.alias_info for ret in func._schema.returns)
    if isinstance(result, Tensor) and result.numel() > SMALL and not changed:
        return _to_meta(result)
    return result


def _without_masks(indices: list[Tensor | None]) -> list[Tensor | None]:
    """Indices without masks: a mask has as many dimensions as it takes the place of, all empty."""
    found: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            none = torch.empty(0, dtype=torch.long, device='meta')
            found += [none] * index.dim()
        else:
            found.append(index)
    return found


def _is_meta(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_meta


def _has_values(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_meta


def _to_meta(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_meta else torch.empty_like(tensor, device='meta')
