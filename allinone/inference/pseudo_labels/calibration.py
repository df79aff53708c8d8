"""Which predictions become labels, by the precision on held-out images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allinone.config.build_errors import named
from allinone.errors import ConfigError
from allinone.tasks.pseudo_labels import (
    ClassRule,
    HeldOutPart,
    HeldOutScores,
    PseudoLabels,
    best_precision,
    lowest_threshold,
)

from .held_out import HELD_OUT
from .teachers import Teacher

Track = Callable[[Iterable, str, int], Iterable]


@dataclass(frozen=True)
class Wanted:
    """What the labels of a task are to be.

    Attributes:
        precision: The lowest share of right predictions behind the threshold of a label.
        ignore: The same for regions to ignore; None: no regions.
        minimum: The least number of held-out predictions behind a threshold.
    """

    precision: float
    ignore: float | None
    minimum: int


def parse_precision(entries: Sequence[str], tasks: Sequence[str]) -> dict[str, float]:
    """``{task: precision}`` of entries ``.7``, for all tasks, and ``TASK=.8``.

    Raises:
        ConfigError: If an entry is no number above 0 and at most 1, or no task to label.
    """
    found, default = {}, 0.7
    for entry in entries:
        task, equals, number = entry.rpartition('=')
        if equals and task not in tasks:
            raise ConfigError(f'--precision has {entry!r}, but {list(tasks)} are labelled')
        value = fraction('--precision', number)
        if equals:
            found[task] = value
        else:
            default = value
    return {task: found.get(task, default) for task in tasks}


def fraction(option: str, number: str) -> float:
    """A number above 0 and at most 1.

    Raises:
        ConfigError: If it is none.
    """
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise ConfigError(f'{option} has {number!r}; give a share above 0 and at most 1, as in .7')
    return value


def calibrate(
    teacher: Teacher,
    task: str,
    part: HeldOutPart,
    wanted: Wanted,
    path: str,
    batch_size: int,
    track: Track,
) -> list[ClassRule]:
    """The thresholds of each class of a task.

    Args:
        teacher: That labels the task.
        task: Name of the task.
        part: Its held-out images.
        wanted: What is reached.
        path: File of the held-out part, for messages.
        batch_size: Maximum number of images in a pass.
        track: Shows the progress of an iterable, with a name and its length.

    Raises:
        ConfigError: If no class reaches the precision.
        DataError: If a held-out image cannot be read, or none has a label.
    """
    form = teacher.new_form(task)

    def compare(item, samples: dict) -> Any:
        return form.compare(samples[task], part, item.index)

    found = teacher.inferencer.stream(part.images, batch_size, [task], convert=compare)
    for _, compared, _ in track(found, f'held-out {task}', len(part.images)):
        form.add(compared)
    with named(f'{HELD_OUT} {task}={path}'):
        scores = form.held_out_scores(part)
    rules = [_rule(found, wanted, form.ignores) for found in scores]
    if not any(rule.label for rule in rules):
        raise _nothing(task, form, scores, wanted, path)
    return rules


def _rule(found: HeldOutScores, wanted: Wanted, ignores: bool) -> ClassRule:
    label = lowest_threshold(found, wanted.precision, wanted.minimum)
    # Regions to ignore belong to classes with labels: the others have no loss on these images.
    ignore = None
    if label and ignores and wanted.ignore is not None:
        ignore = lowest_threshold(found, wanted.ignore, wanted.minimum)
    return ClassRule(label, ignore, found.total())


def _nothing(
    task: str, form: PseudoLabels, scores: Sequence[HeldOutScores], wanted: Wanted, path: str
) -> ConfigError:
    reached = {
        name: best
        for name, found in zip(form.classes, scores)
        if (best := best_precision(found, wanted.minimum)) is not None
    }
    if not reached:
        return ConfigError(
            f'no class of {task} has {wanted.minimum} predictions on the images of {path}, so no '
            'precision is known; hold out more images, or give a lower --min-predictions'
        )
    name = max(reached, key=lambda name: reached[name])
    return ConfigError(
        f'no class of {task} reaches the precision {wanted.precision:g} on {path} with '
        f'{wanted.minimum} predictions: the best is {reached[name]:.3f}, of {name}; train a better '
        f'teacher, or give a lower --precision {task}=...'
    )


def rules_to_json(classes: Sequence[str], rules: Sequence[ClassRule]) -> dict:
    return {name: rule.to_json() for name, rule in zip(classes, rules, strict=True)}


def rules_from_json(content: Mapping[str, Mapping]) -> list[ClassRule]:
    return [ClassRule.from_json(rule) for rule in content.values()]
