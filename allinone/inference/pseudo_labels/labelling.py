"""Labels of images, chunk by chunk."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing

from allinone.errors import DataError
from allinone.inference.streaming import InputImage
from allinone.tasks.pseudo_labels import ClassRule, LabelledImage, PseudoLabels

from .images import Images
from .own_labels import OwnLabels
from .teachers import Teacher

Rules = Mapping[str, Sequence[ClassRule]]


def chunks(paths: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), size):
        yield paths[start : start + size]


def label_chunk(
    paths: Sequence[str],
    images: Images,
    teachers: Sequence[Teacher],
    forms: Mapping[str, PseudoLabels],
    rules: Rules,
    place: Callable[[str, str], str],
    batch_size: int,
    own: Mapping[str, OwnLabels],
) -> Iterator[dict]:
    """A line of the journal for each image, in their order: its size and its labels.

    Files of an image are written before its line is given. An image that cannot be read or
    predicted has a line with the reason.

    Args:
        paths: Of the images.
        images: All images.
        teachers: Prepared.
        forms: ``{task: form of its labels}``.
        rules: ``{task: rules of its classes}``.
        place: From a task and the stem of an image to the path of its file, without a suffix.
        batch_size: Maximum number of images in a pass.
        own: ``{task: labels that images have already}``. Of images without them the task is not
            labelled, for it is not known of which classes the labels would be.
    """
    streams = [_labelled(paths, images, t, forms, rules, place, batch_size) for t in teachers]
    try:
        for path, results in zip(paths, zip(*streams)):
            line = dict(image=images.names[path])
            failures = [result for result in results if isinstance(result, DataError)]
            if failures:
                yield dict(line, failed=str(failures[0]))
                continue
            labels = {task: found for result in results for task, found in result['labels'].items()}
            for task, known in own.items():
                info = known.of(path)
                labels[task] = info and forms[task].complete(labels[task], info, known)
            yield dict(line, size=results[0]['size'], labels=labels)
    finally:
        for stream in streams:
            stream.close()


def _labelled(
    paths: Sequence[str],
    images: Images,
    teacher: Teacher,
    forms: Mapping[str, PseudoLabels],
    rules: Rules,
    place: Callable[[str, str], str],
    batch_size: int,
) -> Generator[dict | DataError, None, None]:
    """What one teacher says of each image, or the error of the image."""

    def convert(item: InputImage, samples: Mapping) -> dict:
        height, width = item.content()[0].shape[:2]
        stem = images.stem(paths[item.index])
        labels = {
            task: forms[task].label(sample, rules[task], place(task, stem))
            for task, sample in samples.items()
        }
        return dict(size=[width, height], labels=labels)

    errors: list[DataError] = []
    found = teacher.inferencer.stream(
        list(paths), batch_size, teacher.labels, on_error=errors.append, convert=convert
    )
    with closing(found):
        for index, record, _ in found:
            # Errors may come earlier than the images before them.
            yield _error_of(paths[index], errors) if record is None else record


def _error_of(path: str, errors: Sequence[DataError]) -> DataError:
    return next((error for error in errors if str(error).startswith(path)), errors[-1])


def labelled_images(images: Images, lines: Sequence[Mapping], task: str) -> Iterator[LabelledImage]:
    """The images with labels of a task, by the lines of the journal."""
    for path, line in zip(images.paths, lines, strict=True):
        if 'failed' not in line and line['labels'][task] is not None:
            width, height = line['size']
            name = line['image']
            yield LabelledImage(name, images.stem(path), width, height, line['labels'][task])
