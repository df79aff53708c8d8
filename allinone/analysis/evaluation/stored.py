"""Reading of the analysis that lies in a work dir."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allinone.errors import DataError

VERSION = 1
IN_WORK_DIR = 'evaluation'
FILE, FOLDER, PAGE = 'evaluation.json', 'images', 'report.html'
TYPES = {'.png': 'image/png', '.jpg': 'image/jpeg'}


def read_evaluation(folder: str | os.PathLike) -> dict[str, Any] | None:
    """The content of ``evaluation.json`` with its images embedded; None if there is no such file.

    Args:
        folder: What ``tools/analyze.py evaluate`` wrote.

    Raises:
        DataError: If it is damaged, or of another version.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        if content['version'] != VERSION:
            raise DataError(
                f'{path} has version {content["version"]}, and this program reads {VERSION}; make '
                'it again with tools/analyze.py evaluate'
            )
        return embedded(content, Path(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{path} cannot be read ({type(error).__name__}: {error}); make it again with '
            'tools/analyze.py evaluate, or remove its folder'
        ) from error


def embedded(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The content with a ``data:`` address in place of the name of each image."""

    def of(entry: Mapping[str, Any]) -> dict[str, Any]:
        if 'image' not in entry:
            return dict(entry)
        file = folder / FOLDER / Path(entry['image']).name
        data = base64.b64encode(file.read_bytes()).decode()
        return dict(entry, image=f'data:{TYPES[file.suffix]};base64,{data}')

    lists = ('parts', 'labels', 'worst', 'best')
    return dict(
        content,
        tasks={
            task: dict(found, **{key: [of(entry) for entry in found[key]] for key in lists})
            for task, found in content['tasks'].items()
        },
    )
