"""Files with the names of classes, and for label maps their values or colours."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from allinone.conversion.label_maps import IGNORED
from allinone.errors import DataError

__all__ = ['Classes', 'IGNORE', 'check_names', 'read_class_file', 'read_names']

IGNORE = '__ignore__'  # as in LabelMe's examples
COLOUR, VALUE = 3, 1
HEADS = re.compile(r'name|class|label|id|value|pixel value|r|g|b|red|green|blue|color_rgb')


class Classes(NamedTuple):
    """Names of classes, and the class of each value or colour; None where a file has only names."""

    names: tuple[str, ...]
    values: dict[int, int] | None = None
    colours: Mapping[Sequence[int], int] | None = None


def read_class_file(path: Path) -> Classes:
    """Read a class file.

    A line is ``NAME`` (its value is its number from 0), ``NAME,VALUE``, ``NAME,R,G,B``, either with
    the numbers in front, or ``NAME:R,G,B:PARTS:ACTIONS`` (CVAT's ``labelmap.txt``). A head of
    column names and lines that begin with ``#`` are passed over. What is named ``__ignore__`` is no
    class; the pixels are ignored.

    Raises:
        DataError: If the file cannot be read, is empty, mixes forms or says something twice.
    """
    rows = [_fields(line, path) for line in _lines(path)]
    if rows and len(rows[0][1]) == 0 and HEADS.fullmatch(rows[0][0].lower().split(',')[0]):
        if len(rows) > 1 and rows[1][1]:
            rows = rows[1:]
    if not rows:
        raise DataError(f'{path} names no class; write one a line')
    width = len(rows[0][1])
    for name, numbers in rows:
        if len(numbers) != width or width not in (0, VALUE, COLOUR):
            raise DataError(
                f'{path}: {name!r} has {len(numbers)} numbers, other lines {width}; write NAME, '
                'NAME,VALUE or NAME,R,G,B in each line'
            )
        if not all(0 <= number <= 255 for number in numbers):
            raise DataError(f'{path}: {name!r} has {numbers}; write numbers from 0 to 255')
    if width == 0:
        names = tuple(name for name, _ in rows)
        check_names(names, path)
        return Classes(names)
    names = tuple(dict.fromkeys(name for name, _ in rows if name != IGNORE))
    table: dict[Sequence[int], int] = {}
    for name, numbers in rows:
        if numbers in table:
            raise DataError(f'{path} has {numbers} twice; give each to one class')
        table[numbers] = IGNORED if name == IGNORE else names.index(name)
    if width == VALUE:
        return Classes(names, values={numbers[0]: label for numbers, label in table.items()})
    return Classes(names, colours=table)


def read_names(path: Path) -> tuple[str, ...]:
    """Names of the classes of a file, whatever else it says; as :func:`read_class_file`."""
    return read_class_file(path).names


def check_names(names: tuple[str, ...], path: Path) -> None:
    """Raise :class:`DataError` for a name that is given twice, or is no text."""
    if not names:
        raise DataError(f'{path} names no class; write their names into it')
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise DataError(f'{path} has a class named {name!r}; give each a name')
        if names.count(name) > 1:
            raise DataError(f'{path} names the class {name!r} twice; give each its own name')


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, 'strerror', None) or 'it is no UTF-8 text'
        raise DataError(f'{path} cannot be read ({why}); give a text file of classes') from error
    lines = [line.strip() for line in text.split('\n')]
    return [line for line in lines if line and not line.startswith('#')]


def _fields(line: str, path: Path) -> tuple[str, tuple[int, ...]]:
    """Name and numbers of a line."""
    found = re.fullmatch(r'([^:]+):([\d\s,]*):[^:]*:[^:]*', line)
    if found:  # CVAT's form
        line = ','.join([found[1], *filter(None, [found[2].strip()])])
    fields = [field.strip() for field in next(csv.reader([line], skipinitialspace=True))]
    numbers = tuple(int(field) for field in fields if field.isdecimal())
    names = [field for field in fields if not field.isdecimal()]
    if len(fields) == 1 or not numbers:
        return line, ()
    if len(names) != 1 or fields.index(names[0]) not in (0, len(fields) - 1):
        raise DataError(f'{path} has the line {line!r}; write NAME, NAME,VALUE or NAME,R,G,B')
    return names[0], numbers
