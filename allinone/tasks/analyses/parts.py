"""Tables and curves of an analysis as plain values, which the page and the plots are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

Number = int | float | None


@dataclass(frozen=True)
class Part:
    """Something that the page shows.

    Attributes:
        form: How it is shown.
        title: Its title.
        note: What a reader has to know of it.
    """

    form: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Its attributes, with its ``form``."""
        return dict(form=self.form, **asdict(self))


@dataclass(frozen=True)
class Table(Part):
    """A table; ``columns`` has the names and the formats of their values."""

    form: ClassVar[str] = 'table'
    title: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[str | Number]]
    note: str = ''


@dataclass(frozen=True)
class Matrix(Part):
    """Counts ``values`` with names of the rows (ground truth) and columns (prediction)."""

    form: ClassVar[str] = 'matrix'
    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[int]]
    note: str = ''


@dataclass(frozen=True)
class Curves(Part):
    """Lines ``{name: values}`` over common values ``x``; ``mean`` is their mean."""

    form: ClassVar[str] = 'curves'
    title: str
    x_label: str
    y_label: str
    x: Sequence[float]
    lines: Mapping[str, Sequence[Number]]
    mean: Sequence[Number]
    note: str = ''


@dataclass(frozen=True)
class Reliability(Part):
    """Bins of equal width of the score: ``counts``, mean score and share of right predictions."""

    form: ClassVar[str] = 'reliability'
    title: str
    counts: Sequence[int]
    confidence: Sequence[Number]
    accuracy: Sequence[Number]
    ece: Number
    note: str = ''


@dataclass(frozen=True)
class Histogram(Part):
    """``counts`` between ``edges``."""

    form: ClassVar[str] = 'histogram'
    title: str
    x_label: str
    y_label: str
    edges: Sequence[float]
    counts: Sequence[int]
    log: bool = field(default=False, kw_only=True)
    note: str = ''
