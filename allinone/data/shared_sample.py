"""Data samples of images with labels of several tasks, and batches of them."""

from collections.abc import Mapping, Sequence

from mmengine.structures import BaseDataElement


class SharedDataSample(BaseDataElement):
    """The data samples of one image, one for each task that the image has labels of.

    Attributes:
        labels (dict[str, BaseDataElement]): ``{task: data sample of the task's library}``.
    """

    labels: dict[str, BaseDataElement]


def is_shared(batch: Mapping) -> bool:
    """Whether a collated batch is of images with labels of several tasks."""
    samples = batch.get('data_samples')
    first = samples[0] if isinstance(samples, Sequence) and samples else None
    return isinstance(first, SharedDataSample)


def labelled(batch: Mapping, task: str) -> list[int]:
    """Positions of the images that have labels of ``task``; of a batch of one task: all."""
    if not is_shared(batch):
        return list(range(len(batch['inputs'])))
    return [i for i, sample in enumerate(batch['data_samples']) if task in sample.labels]


def labelled_batch(batch: Mapping, task: str) -> dict:
    """The part of a collated batch with labels of ``task``, as a batch of that task alone.

    Args:
        batch: ``inputs``, images ``(3, H, W)`` as a list or ``(N, 3, H, W)``, and
            ``data_samples``.
        task: Name of the task.
    """
    if not is_shared(batch):
        return dict(batch)
    chosen = labelled(batch, task)
    inputs = batch['inputs']
    return dict(
        batch,
        inputs=inputs[chosen] if hasattr(inputs, 'index_select') else [inputs[i] for i in chosen],
        data_samples=[batch['data_samples'][i].labels[task] for i in chosen],
    )
