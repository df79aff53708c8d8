"""Calls of a model on images of any form, whose results are objects."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from allinone.errors import DataError
from allinone.registry.options import check_choice, check_flag

from .inferencer import AllInOneInferencer, log_note
from .records import to_record
from .results import Result, Results
from .sources import CHANNELS, Source, VideoInput, find_sources, frames, is_stream
from .streaming import InputImage
from .video import is_camera


def predict_results(
    inferencer: AllInOneInferencer,
    inputs: Any,
    batch_size: int = 8,
    tasks: Sequence[str] | None = None,
    stream: bool | None = None,
    channels: str = 'bgr',
    classify_boxes: str | None = None,
    on_error: Callable[[DataError], None] | None = None,
    urls: bool = True,
    embed_boxes: str | None = None,
) -> Results | Generator[Result | None, None, None]:
    """Results of inputs; see :meth:`allinone.inference.load.Predicts.__call__`.

    Args:
        inferencer: Of the model.
        inputs: Images of any form.
        batch_size: Maximum number of images per pass.
        tasks: Run only these.
        stream: Whether to yield results instead of returning all.
        channels: Order of the channels of arrays and tensors.
        classify_boxes: Name of a classification task to run on each detected box.
        on_error: Called when an input fails, whose result is then None. Default: raise.
        urls: Whether addresses are fetched.
        embed_boxes: Name of a retrieval task that embeds each detected box.
    """
    check_choice('channels', channels, CHANNELS)
    if stream is not None:
        check_flag('stream', stream)
    report = on_error or _raise
    found: Iterable[Source | VideoInput] = find_sources(inputs, channels, urls, report, log_note)
    videos: list[VideoInput] = []
    if not (live := is_stream(inputs)):
        found = list(found)
        videos = [source for source in found if isinstance(source, VideoInput)]
    # Of a camera no frame waits for others.
    size = 1 if any(map(is_camera, videos)) else batch_size
    boxes = dict(classify_boxes=classify_boxes, embed_boxes=embed_boxes)
    results = _stream(inferencer, found, size, tasks, channels, boxes, report)
    if stream or stream is None and (live or videos):
        return results
    with closing(results):
        return Results(results)


def _stream(
    inferencer: AllInOneInferencer,
    found: Iterable[Source | VideoInput],
    batch_size: int,
    tasks: Sequence[str] | None,
    channels: str,
    boxes: Mapping[str, str | None],
    report: Callable[[DataError], None],
) -> Generator[Result | None, None, None]:
    damages: list[DataError] = []

    def entries() -> Generator[Source, None, None]:
        for source in found:
            if isinstance(source, VideoInput):
                yield from frames(source, report, damages)
            else:
                yield source

    def convert(item: InputImage, samples: dict) -> Result:
        kinds = {task: inferencer.model.kinds[task] for task in samples}
        record = {
            task: to_record(sample, inferencer.metainfo[task], kind=kinds[task])
            for task, sample in samples.items()
        }
        return Result(record, kinds, inferencer.metainfo, item.source, channels, samples)

    images = entries()
    predicted = inferencer.stream(
        images,
        batch_size,
        tasks,
        on_error=report,
        convert=convert,
        **boxes,
    )
    with closing(images), closing(predicted):
        for _, result, _ in predicted:
            yield result
    for damage in damages:
        report(damage)


def _raise(error: DataError) -> None:
    raise error
