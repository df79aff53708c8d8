"""Data samples for pictures that come without a data set."""

from collections.abc import Mapping, Sequence
from importlib import import_module

from torch import Tensor, nn

SAMPLE_TYPES = dict(
    mmpretrain=('mmpretrain.structures', 'DataSample'),
    mmdet=('mmdet.structures', 'DetDataSample'),
    mmseg=('mmseg.structures', 'SegDataSample'),
)


def library_of(model: nn.Module) -> str:
    """``'mmpretrain'``, ``'mmdet'`` or ``'mmseg'``: whose model this is, or derives from."""
    for cls in type(model).__mro__:
        if cls.__module__.split('.')[0] in SAMPLE_TYPES:
            return cls.__module__.split('.')[0]
    raise TypeError(f'{type(model).__name__} derives from no model of {sorted(SAMPLE_TYPES)}')


def make_samples(
    model: nn.Module,
    batch: Tensor,
    sizes: Sequence[tuple[int, int]],
    metainfo: Sequence[dict] | None = None,
) -> list:
    """One sample of the model's library for each picture of ``batch`` ``(N, 3, H, W)``.

    Args:
        model: A task's stock model.
        batch: Normalised pictures, padded at the right and bottom.
        sizes: ``(H_i, W_i)`` of each before padding.
        metainfo: Overrides for each picture, e.g. ``ori_shape`` (H, W) and ``scale_factor``
            (width, height).
    """
    module, name = SAMPLE_TYPES[library_of(model)]
    sample_type = getattr(import_module(module), name)
    height, width = batch.shape[-2:]
    samples = []
    for index, (h, w) in enumerate(sizes):
        info = dict(
            img_shape=(h, w),
            ori_shape=(h, w),
            pad_shape=(height, width),
            batch_input_shape=(height, width),
            scale_factor=(1.0, 1.0),
            padding_size=[0, width - w, 0, height - h],
            flip=False,
        )
        info |= metainfo[index] if metainfo else {}
        samples.append(sample_type(metainfo=info))
    return samples


def micro_batches(batch: Mapping | list[Mapping]) -> list[Mapping]:
    """The batches that a task's share of a step is made of: one, or a list of them."""
    return batch if isinstance(batch, list) else [batch]
