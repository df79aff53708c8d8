"""What the results of all kinds have, and the optional packages that they are converted to."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from allinone.errors import ConfigError


class TaskResult:
    """A record of one task, a list or a dictionary, with attributes.

    It compares, and is written by :mod:`json`, like the record itself.

    Attributes:
        columns: Names of the columns of :meth:`to_df`.
    """

    columns: Sequence[str] = ()

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary of plain values for each line of a table."""
        raise NotImplementedError(f'{type(self).__name__} does not define rows()')

    def entries(self) -> list[Mapping]:
        """Dictionaries of the record with ``'label'`` and ``'name'`` of a class."""
        return []

    def class_names(self) -> list[str]:
        """Names of the classes, as far as the record has them, else their numbers."""
        names = {entry['label']: entry['name'] for entry in self.entries()}
        named = [label for label, name in names.items() if name != str(label)]
        return [names.get(label, str(label)) for label in range(max(named, default=-1) + 1)]

    def to_dict(self) -> Any:
        """The record, of plain dictionaries and lists."""
        return plain(self)

    def to_df(self):
        """A ``pandas.DataFrame``, one line each of :meth:`rows`.

        Raises:
            ConfigError: If pandas is not installed.
        """
        return data_frame(self.rows(), self.columns)

    def to_supervision(self):
        """An object of the package ``supervision``.

        Raises:
            ConfigError: If it is not installed, or has nothing of this kind.
        """
        raise ConfigError(
            f'supervision has nothing for {type(self).__name__}; use to_dict() or to_df()'
        )


def plain(value: Any) -> Any:
    """A copy of plain dictionaries and lists."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def rows_of(record: Any) -> list[dict[str, Any]]:
    """Lines of a table: of a result, or of a record of a kind without results."""
    if isinstance(record, TaskResult):
        return record.rows()
    entries = record if isinstance(record, list) else [record]
    return [
        {key: value for key, value in entry.items() if not isinstance(value, (dict, list))}
        if isinstance(entry, Mapping)
        else {'value': entry}
        for entry in entries
    ]


def data_frame(rows: Sequence[Mapping], columns: Sequence[str] = ()):
    """``pandas.DataFrame`` of rows; ``columns`` come first, also where there are no rows.

    Raises:
        ConfigError: If pandas is not installed.
    """
    pandas = optional('pandas', 'to_df()')
    return pandas.DataFrame(
        rows, columns=list(dict.fromkeys([*columns, *(k for r in rows for k in r)]))
    )


def optional(package: str, user: str, extra: str | None = None):
    """A package of an extra, by default the one of the same name.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ConfigError(
            f'{user} needs the package {package}, which cannot be imported ({error}); install it '
            f"with pip install 'allinone[{extra or package}]'"
        ) from error
