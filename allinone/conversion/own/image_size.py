"""A converted data set at a smaller size of images, as a second file of its variable."""

import json
import re
from pathlib import Path

from allinone.conversion.source import REPORT
from allinone.errors import DataError

from .config_lines import FILE, write_data_set

__all__ = ['at_most', 'files_by_size', 'refresh', 'report_of']

VARIABLE = re.compile(r'^(?!_)(\w+) = (?:dict\(|\{)', re.MULTILINE)
LIBRARY = re.compile(r"'(mmdet|mmseg|mmpretrain)\b")
SUFFIX = re.compile(r"img_suffix\W+'([^']*)'")
SIZED = re.compile(rf'{Path(FILE).stem}_(\d+)\.py')
KINDS = dict(mmdet='det', mmseg='seg', mmpretrain='cls')


def report_of(folder: Path) -> dict:
    """The report of a conversion; empty in a folder that was made otherwise.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return json.loads((folder / REPORT).read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(
            f'{folder / REPORT} cannot be read ({type(error).__name__}: {error}); convert the data '
            'again'
        ) from error


def at_most(folder: Path, longest: int | None) -> Path:
    """The file with the variable of a converted data set.

    Args:
        folder: The converted set.
        longest: Of the typical image in pixels. Where it is larger, ``data_set_SIZE.py`` is written
            beside ``data_set.py``, with the same variable for smaller images.

    Raises:
        DataError: If the folder has no such file, or its report cannot be read.
    """
    path = folder / FILE
    size = report_of(folder).get('typical_size')
    if longest is None or not size or max(size) <= longest:
        _text(path)
        return path
    return _write(folder, longest)


def files_by_size(folder: Path) -> dict[Path, int]:
    """The files of smaller images that a folder has, and their sizes."""
    found = ((path, SIZED.fullmatch(path.name)) for path in sorted(folder.glob('*.py')))
    return {path: int(match[1]) for path, match in found if match}


def refresh(folder: Path) -> None:
    """Write the files of smaller images anew, for a conversion that wrote ``data_set.py`` anew.

    Args:
        folder: The converted set.

    Raises:
        DataError: As :func:`at_most`.
    """
    for longest in files_by_size(folder).values():
        _write(folder, longest)


def _text(path: Path) -> str:
    folder = path.parent
    try:
        return path.read_text(encoding='utf-8')
    except (OSError, ValueError) as error:
        raise DataError(
            f'{folder} has no {FILE} ({type(error).__name__}), so it is not converted; convert it '
            'with: allinone convert'
        ) from error


def _write(folder: Path, longest: int) -> Path:
    path, content = folder / FILE, report_of(folder)
    text = _text(path)
    name, library = VARIABLE.search(text), LIBRARY.search(text)
    size = content.get('typical_size')
    if not (size and name and library):
        return path
    factor = min(1, longest / max(size))
    content['typical_size'] = [max(1, round(side * factor)) for side in size]
    suffix = SUFFIX.search(text)
    file_name = f'{Path(FILE).stem}_{longest}.py'
    kind = KINDS[library[1]]
    return write_data_set(folder, name[1], kind, content, suffix[1] if suffix else '', file_name)
