"""Evaluation of images that not all have a task's labels, by several processes.

MMEngine collects results by their place: the first result of each process, then the second, and so
on up to the size of the data set. That is right where each process has a result for each of its
images. Of a source whose images lack labels, processes have different numbers of results; so the
images without labels get a mark, which is taken out before the metric is computed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from mmengine.evaluator import BaseMetric, Evaluator


class NotLabelled:
    """Stands in results for an image without labels of the task; the class itself is the mark."""


def process(
    evaluator: Evaluator, labelled: Sequence[int], images: int, samples: Sequence, batch: Mapping
) -> None:
    """Let the metrics process the labelled images of a batch, and mark its other images.

    Args:
        evaluator: Of the task.
        labelled: Positions of the labelled images in the batch.
        images: Number of images of the batch.
        samples: Predictions of the labelled images.
        batch: The labelled part of the batch, as one of the task alone.
    """
    begins = [len(metric.results) for metric in evaluator.metrics]
    if labelled:
        evaluator.process(data_samples=samples, data_batch=batch)
    for metric, begin in zip(evaluator.metrics, begins, strict=True):
        found = metric.results[begin:]
        if len(found) == len(labelled):  # One for each image, as mmengine expects of a metric
            marked: list[Any] = [NotLabelled] * images
            for position, result in zip(labelled, found, strict=True):
                marked[position] = result
            metric.results[begin:] = marked


def evaluate(evaluator: Evaluator, images: int) -> dict:
    """The metrics of results with marks.

    Args:
        evaluator: Of the task.
        images: Number of images of the source, with and without labels of the task.
    """
    with _unmarked(evaluator.metrics):
        return evaluator.evaluate(images)


@contextmanager
def _unmarked(metrics: Sequence[BaseMetric]) -> Iterator[None]:
    """Metrics that are computed without marks."""
    for metric in metrics:
        metric.compute_metrics = partial(_of_labelled, metric.compute_metrics)
    try:
        yield
    finally:
        for metric in metrics:
            del metric.compute_metrics


def _of_labelled(compute: Callable[[list], dict], results: list) -> dict:
    return compute([result for result in results if result is not NotLabelled])
