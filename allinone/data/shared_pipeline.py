"""Checks of a shared pipeline by the classes of its transforms and by what it loads."""

from collections.abc import Iterator, Sequence
from typing import Any

from mmcv.transforms import TestTimeAug

from allinone.config.build_errors import places
from allinone.errors import ConfigError
from allinone.io.seeding import state_kept
from allinone.io.text import listed
from allinone.tasks.joined_labels import JoinedBoxes, JoinedMaps

from .nested_transforms import with_nested
from .transforms import LoadSharedAnnotations
from .transforms.shared_labels import joined_tasks

MIXING = ('get_indexes', 'get_indices', 'results_cache')  # of transforms of several images


def refuse_views(key: str, pipeline: Any) -> None:
    """Refuse transforms that give several views of an image.

    Args:
        key: The config key of the pipeline.
        pipeline: Its config, which need not be one that can be built.

    Raises:
        ConfigError: Naming the transform.
    """
    for path, name in places(key, pipeline, TestTimeAug):
        raise ConfigError(
            f'{path} gives several views of an image ({name}), which is for sources of one task; '
            'leave it out, or make a separate source of each task'
        )


def refuse_mixing(key: str, dataset: Any) -> None:
    """Refuse transforms of several images where they would mix the image, but not all labels.

    Args:
        key: The config key of the pipeline.
        dataset: A :class:`~allinone.data.SharedDataset` after ``full_init``.

    Raises:
        ConfigError: Naming the transform, and which labels it would not mix.
    """
    joined = joined_tasks(dataset.kinds)
    boxes = joined.get(JoinedBoxes, ())
    reason = next(_not_mixed(dataset, boxes, joined.get(JoinedMaps, ())), None)
    remedy = f', or make a separate source of {listed(boxes)}' if boxes else ''
    for number, step in enumerate(dataset.pipeline.transforms) if reason else ():
        for part in with_nested(step):
            if any(hasattr(part, attribute) for attribute in MIXING):
                inside = '' if part is step else f' in {type(step).__name__}'
                raise ConfigError(
                    f'{key}.{number} ({type(part).__name__}{inside}) mixes several images, which '
                    f'goes with boxes of all images alone, but this source has {reason}; leave it '
                    f'out{remedy}'
                )


def _not_mixed(dataset: Any, boxes: Sequence[str], maps: Sequence[str]) -> Iterator[str]:
    others = [task for task in dataset.tasks if task not in (*boxes, *maps)]
    if maps:
        yield f'label maps ({listed(maps)})'
    if others:
        yield f'labels of images ({listed(others)})'
    for task in boxes:
        lacking = int((~dataset.labelled[:, dataset.tasks.index(task)]).sum())
        if lacking:
            yield f'{lacking} images without labels of {task}'


def check_loading(key: str, dataset: Any) -> None:
    """Refuse labels that a task's transform loads, but which no transform changes afterwards.

    The first labelled image of each task is loaded.

    Args:
        key: The config key of the pipeline.
        dataset: A :class:`~allinone.data.SharedDataset` after ``full_init``.

    Raises:
        ConfigError: Naming the labels and the task.
    """
    steps = dataset.pipeline.transforms
    loaders = [n for n, step in enumerate(steps) if isinstance(step, LoadSharedAnnotations)]
    if not loaders:
        return
    first = dataset.labelled.argmax(axis=0)
    with state_kept():
        for index in sorted(set(first.tolist())):
            try:
                results = dataset.prepare_data(dataset.get_data_info(index))
                for step in steps[: loaders[0] + 1]:
                    results = step(results)
            except ConfigError as error:
                raise ConfigError(f'{key}.{loaders[0]}: {error}') from error
            except Exception:
                continue  # Met again, with its file, when the sample is loaded
