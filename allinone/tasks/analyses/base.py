"""What the analysis of a kind has in common with those of others."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from .parts import Part, Table


class Quality(NamedTuple):
    """How good the prediction of an image is.

    Attributes:
        value: From 0 (wrong) to 1; NaN if it is not defined, as without anything to find.
        weight: The number of things that it is of. Of images with one value, that with the most is
            the better example of a good or of a bad one.
    """

    value: float
    weight: float


class TaskAnalysis(ABC):
    """Collects predictions and ground truth, image by image, and makes tables and curves of them.

    A kind of task names its class in ``TaskKind.analysis``. What is kept are counts and scores, no
    images and no label maps.

    Attributes:
        quality: What :attr:`Quality.value` is, in words.
        class_metric: Name of the values of :meth:`class_values`.

    Args:
        classes: Names of the classes.
        score_thr: Score from which predictions count, where a kind counts them.
    """

    quality: ClassVar[str]
    class_metric: ClassVar[str]

    def __init__(self, classes: Sequence[str], score_thr: float = 0.3):
        self.classes = list(classes)
        self.score_thr = score_thr

    @abstractmethod
    def add(self, sample: Any, info: Mapping | None = None) -> Quality | None:
        """Add an image.

        Args:
            sample: The data sample, with prediction and ground truth.
            info: What the data set knows of the image, with labels in pixels of the file.

        Returns:
            None if the image has no labels of this kind.
        """

    @abstractmethod
    def class_values(self) -> dict[str, float | None]:
        """``{class: value}`` in percent; None where it is undefined."""

    @abstractmethod
    def summary(self) -> dict[str, float | None]:
        """``{name: value}`` of all images and classes."""

    @abstractmethod
    def parts(self) -> list[Part]:
        """Tables and curves, in the order of the page."""

    @classmethod
    @abstractmethod
    def label_parts(
        cls, title: str, infos: Iterable[Mapping], classes: Sequence[str], most: int
    ) -> list[Part]:
        """Statistics of the labels of a data set.

        Args:
            title: Which data set it is.
            infos: Its ``get_data_info`` of each image.
            classes: Names of the classes.
            most: Label maps to read, if the labels are in such.
        """


def percent(value: float) -> float | None:
    """A fraction in percent; None if it is not defined."""
    return None if value != value else 100 * float(value)


def count_table(
    title: str,
    classes: Sequence[str],
    columns: Mapping[str, Any],
    note: str,
    total: int | None = None,
) -> Table:
    """Statistics of labels, a class a row.

    Args:
        title: Of the table.
        classes: Names of the classes.
        columns: ``{name: a value of each class}``; of the first one the table has the share of
            each class.
        note: Below it.
        total: What the shares are of. Default: the sum of the first column.
    """
    first, *others = columns
    total = int(sum(columns[first])) if total is None else total
    rows = []
    for index, name in enumerate(classes):
        values = [_plain(column[index]) for column in columns.values()]
        share = 100 * float(columns[first][index]) / total if total else None
        rows.append([name, values[0], share, *values[1:]])
    return Table(
        title,
        {'Class': '', first: ',d', f'% of {first.lower()}': '.1f'}
        | {name: ',d' if 'size' not in name else ',.0f' for name in others},
        rows,
        note,
    )


def _plain(value: Any) -> int | float | None:
    value = value.item() if hasattr(value, 'item') else value
    return None if value != value else value
