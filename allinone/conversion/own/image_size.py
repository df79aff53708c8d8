"""A converted data set at a smaller size of images, as a second file of its variable."""

import json
import re
from pathlib import Path

from allinone.conversion.source import REPORT
from allinone.errors import DataError

from .config_lines import FILE, write_data_set

__all__ = ['at_most', 'report_of']

VARIABLE = re.compile(r'^(?!_)(\w+) = (?:dict\(|\{)', re.MULTILINE)
LIBRARY = re.compile(r"'(mmdet|mmseg|mmpretrain)\b")
SUFFIX = re.compile(r"img_suffix\W+'([^']*)'")
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
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, ValueError) as error:
        raise DataError(
            f'{folder} has no {FILE} ({type(error).__name__}), so it is not converted; convert it '
            'with: allinone convert'
        ) from error
    content = report_of(folder)
    size = content.get('typical_size')
    name, library = VARIABLE.search(text), LIBRARY.search(text)
    if longest is None or not size or max(size) <= longest or not (name and library):
        return path
    content['typical_size'] = [max(1, round(side * longest / max(size))) for side in size]
    suffix = SUFFIX.search(text)
    file_name = f'{Path(FILE).stem}_{longest}.py'
    kind = KINDS[library[1]]
    return write_data_set(folder, name[1], kind, content, suffix[1] if suffix else '', file_name)
