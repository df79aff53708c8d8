"""A trial of a shared pipeline: does each transform that moves the image move all labels?"""

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from allinone.errors import AllInOneError, ConfigError
from allinone.io.image_files import IGNORED
from allinone.io.seeding import seed_host, state_kept
from allinone.io.text import listed
from allinone.tasks.joined_labels import JoinedLabels, JoinedMaps

from .datasets.shared_parts import explain_failure
from .nested_transforms import with_nested
from .transforms import LoadSharedAnnotations, PackSharedInputs
from .transforms.shared_labels import joined_tasks

TRIALS = 10  # A transform of probability 1/2 does nothing in all of them once in 1024 times.
MOVES = 4  # trials in which a transform moved the image and all labels; one of several may err
GRID = (3, 4)  # Rows and columns of marks at most, so that a crop shows some of them
CELL = 24  # pixels of a side of the grid's cells at least
BLUR = 0.2  # part of a mark's side by which a transform may widen it
NEW = 0.2  # part of the marks that lies where none was: the image has moved
PILLOW = 'pillow'
DTYPES = (np.uint8, np.float32, np.float64)
GROUND, BRIGHTER = (40, 100), 150  # brightness, and that of the marks above it


class _Trial(NamedTuple):
    """A sample with marks in the image and all labels, and the image alone without marks."""

    marked: dict
    plain: dict


def check_pipeline(key: str, dataset: Any) -> None:
    """Refuse a transform that fails, or that moves the image, but not the labels of all tasks.

    Marks are painted into an image of the data set's size, its label maps and its boxes, and each
    transform runs on it several times. Where the marks are in the image afterwards, whatever
    happened to its colours, is where it differs from the same image without marks, transformed with
    the same random numbers. A transform that takes the first image, but not the marks, ends the
    trial.

    Args:
        key: The config key of the pipeline.
        dataset: A :class:`~allinone.data.SharedDataset` after ``full_init``, which may be inside
            another.

    Raises:
        ConfigError: Naming the transform and the tasks whose labels stay behind.
    """
    steps = dataset.pipeline.transforms
    joined = joined_tasks(dataset.kinds)
    numbers = {type(step): number for number, step in reversed(list(enumerate(steps)))}
    first, last = (numbers.get(cls) for cls in (LoadSharedAnnotations, PackSharedInputs))
    if not joined or first is None or last is None:
        return
    with state_kept():
        trial = _begin(dataset, steps[: first + 1], joined)
        for number in range(first + 1, last):
            step = steps[number]
            name = f'{key}.{number} ({type(step).__name__})'
            _refuse_swaps(name, step, joined)
            if trial is None:
                continue
            trial = _try(name, step, trial, joined)
            if trial is None:
                _refuse_failing(name, dataset, number)


def _refuse_swaps(name: str, step, joined: Mapping[type[JoinedLabels], Sequence[str]]) -> None:
    tasks = joined.get(JoinedMaps, ())
    swaps = getattr(step, 'swap_seg_labels', None)
    if swaps and len(tasks) > 1:
        raise ConfigError(
            f'{name}.swap_seg_labels is {swaps}, but the label maps of {listed(tasks)} go through '
            'it together and have different labels; leave it out, or make separate sources'
        )


def _begin(dataset, steps: Sequence, joined: Mapping) -> _Trial | None:
    """The first sample, marked behind the transforms that load it; None if they fail."""
    try:
        results = dataset.prepare_data(dataset.get_data_info(0))
        for step in steps:
            results = step(results)
        image = results['img']
        boxes = _marks(*image.shape[:2])
        ground = np.random.default_rng(0).integers(*GROUND, image.shape).astype(image.dtype)
        marked = ground.copy()
        for left, top, right, bottom in boxes:
            marked[top:bottom, left:right] += BRIGHTER
        for form, tasks in joined.items():
            results |= form.mark(results, tasks, boxes)
    except Exception:
        return None  # Met again, with its file, when the sample is loaded.
    return _Trial(dict(results, img=marked), dict(results, img=ground))


def _marks(height: int, width: int) -> np.ndarray:
    """Boxes ``(N, 4)`` of marks, one at a random place in each cell of a grid."""
    random = np.random.default_rng(1)
    rows, columns = (max(min(n, side // CELL), 1) for n, side in zip(GRID, (height, width)))
    tall, wide = height / rows, width / columns
    boxes = []
    for row in range(rows):
        for column in range(columns):
            y, x = random.uniform(0.05, 0.5, 2)
            top, left = int((row + y) * tall), int((column + x) * wide)
            boxes.append((left, top, left + max(int(wide / 3), 1), top + max(int(tall / 3), 1)))
    return np.array(boxes)


def _try(name: str, step, trial: _Trial, joined: Mapping) -> _Trial | None:
    """The samples behind a transform; None if what follows cannot be tried.

    Raises:
        ConfigError: If labels stay behind.
    """
    marks = _difference(trial)
    if marks is None:
        return None
    # They may store samples, so marked and plain ones must not meet.
    copies = copy.deepcopy(step), copy.deepcopy(step)
    after, moves = None, 0
    for number in range(TRIALS):
        if moves == MOVES and not hasattr(step, 'transforms'):
            break
        outcome = _transformed(copies, trial, number)
        if outcome is None:
            _refuse_joined(name, copies[0], trial, number, joined.get(JoinedMaps, ()))
            return None
        moved = _difference(outcome) if outcome.marked else None
        if moved is None:
            continue  # Dropped, or no mark is in sight
        after = outcome
        resized = trial.marked['img'].shape[:2] != outcome.marked['img'].shape[:2]
        has_moved = _has_moved(marks, moved)
        if not (resized or has_moved):
            continue
        moves += 1
        _refuse_interpolation(name, trial, outcome, joined.get(JoinedMaps, ()))
        for form, tasks in joined.items():
            places = form.places(outcome.marked)
            for what, before in form.places(trial.marked).items():
                fits_image = before.shape[-2:] == trial.marked['img'].shape[:2]
                if not np.array_equal(before, places.get(what)):
                    continue
                if has_moved or (fits_image and resized):
                    raise ConfigError(
                        f'{name} moves the image, but not the {what} of {listed(tasks)}; use a '
                        "transform that moves all labels, such as mmdet's Resize, RandomFlip, "
                        f'RandomCrop, Rotate and Pad, or give {listed(tasks)} another source'
                    )
    return after


def _refuse_interpolation(name: str, trial: _Trial, outcome: _Trial, tasks: Sequence[str]) -> None:
    """Between two labels of several maps lie labels of none of them."""
    if len(tasks) < 2:
        return
    before, after = (sample['gt_seg_map'] for sample in (trial.marked, outcome.marked))
    if not set(np.unique(after[after > IGNORED])) <= set(np.unique(before)):
        raise ConfigError(
            f'{name} interpolates the label maps of {listed(tasks)}, which gives labels that are '
            'in none of them; leave it out, or use a transform that takes the nearest label'
        )


def _refuse_joined(name: str, step, trial: _Trial, number: int, tasks: Sequence[str]) -> None:
    """Refuse a transform that fails on several label maps, but not on one."""
    if len(tasks) < 2:
        return
    parts = JoinedMaps.split(trial.marked, tasks)
    single = _Trial(*(sample | parts[tasks[0]] for sample in trial))
    if _transformed((step, step), single, number):
        if any(getattr(part, 'backend', None) == PILLOW for part in with_nested(step)):
            raise ConfigError(
                f'{name} takes one label map with backend={PILLOW!r}, but gets those of '
                f'{listed(tasks)} together; leave backend out'
            )
        raise ConfigError(
            f'{name} takes one label map, but fails on those of {listed(tasks)} together; leave '
            'it out, or make separate sources'
        )


def _refuse_failing(name: str, dataset, number: int) -> None:
    """Refuse a transform that fails on the first image itself, whatever it does with marks."""
    *before, step = copy.deepcopy(dataset.pipeline.transforms[: number + 1])
    for trial in range(TRIALS):
        seed_host('pipeline trial', trial)
        try:
            results = dataset.prepare_data(dataset.get_data_info(0))
            for earlier in before:
                results = results and earlier(results)
        except Exception:
            return  # Met again when a sample is loaded
        try:
            results and step(copy.deepcopy(results))
        except (AllInOneError, OSError):
            return
        except Exception as error:
            words, remedy = explain_failure(step, results, error)
            raise ConfigError(f'{name} {words}; {remedy}') from error


def _transformed(steps: Sequence, trial: _Trial, number: int) -> _Trial | None:
    """Both samples behind a transform, empty if it drops them; None if it cannot be tried.

    Args:
        steps: The transform of the marked sample and that of the plain one.
        trial: The samples.
        number: Of the trial.
    """
    results = []
    for step, sample in zip(steps, trial):
        seed_host('pipeline trial', number)
        try:
            result = step(copy.deepcopy(sample))
        except Exception:
            return None  # Met again when a sample is loaded
        if result is None:
            return _Trial({}, {})
        if not isinstance(result, dict) or not isinstance(result.get('img'), np.ndarray):
            return None
        results.append(result)
    return _Trial(*results)


def _difference(trial: _Trial) -> np.ndarray | None:
    """Where the marks are in the image, bool ``(H, W)``; None where they are not visible."""
    marked, plain = (sample['img'] for sample in trial)
    if marked.shape != plain.shape or marked.ndim != 3 or marked.dtype not in DTYPES:
        return None
    channels = cv2.split(cv2.absdiff(np.ascontiguousarray(marked), np.ascontiguousarray(plain)))
    difference = functools.reduce(np.maximum, channels)
    marks = difference > difference.max() / 2
    return marks if marks.any() and marks.mean() < 0.5 else None


def _has_moved(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether marks are where none was. A transform that hides some of them moves nothing."""
    marks, _ = cv2.connectedComponents(before.astype(np.uint8))
    side = 2 * round(max(BLUR * (before.sum() / (marks - 1)) ** 0.5, 1)) + 1
    known = np.zeros(np.maximum(before.shape, after.shape), np.uint8)
    known[: before.shape[0], : before.shape[1]] = before
    known = cv2.dilate(known, np.ones((side, side), np.uint8))
    new = after & (known[: after.shape[0], : after.shape[1]] == 0)
    return new.sum() > NEW * after.sum()
