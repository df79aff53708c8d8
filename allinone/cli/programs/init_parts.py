"""What a new config is made of: heads, backbones and data sets that the user names."""

import difflib
import re
from collections.abc import Iterable
from functools import cache
from keyword import iskeyword
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from allinone.config.data_sets import innermost
from allinone.config.shipped import base_configs, shipped_folder
from allinone.conversion.own.image_size import at_most, report_of
from allinone.errors import ConfigError
from allinone.io.program import called
from allinone.registry.scopes import scope_of_type
from allinone.tasks.first_heads import HEADS

PLAIN, MAPPED, MASKS = '_vit', '_mapped', '_masks'


class Task(NamedTuple):
    """A task of a new config.

    Attributes:
        name: As the user calls it.
        head: Variable of its head.
        head_file: Name in ``configs/_base_/tasks``.
        variable: Of its data set.
        data_file: A path, or a name in ``configs/_base_/datasets``.
        batch_size: Of the data set.
        images: Number in training; 0 if that is not known.
        validated: Whether the data have a validation split.
    """

    name: str
    head: str
    head_file: str
    variable: str
    data_file: Path | str
    batch_size: int
    images: int
    validated: bool


def backbones() -> list[str]:
    """Names in ``configs/_base_/backbones``."""
    return _in('backbones')


def data_sets() -> list[str]:
    """Names in ``configs/_base_/datasets``."""
    return _in('datasets')


def _in(folder: str) -> list[str]:
    start = f'_base_/{folder}/'
    return [name.removeprefix(start) for name in base_configs() if name.startswith(start)]


@cache
def heads() -> dict[str, str]:
    """``{variable: name of its file}`` of ``configs/_base_/tasks``."""
    found = {}
    for name in _in('tasks'):
        for variable, value in _variables(shipped_folder() / f'_base_/tasks/{name}.py').items():
            if isinstance(value, dict) and 'type' in value:
                found[variable] = name
    return found


def read_task(text: str, one_stride: bool = False, longest: int | None = None) -> Task:
    """Read ``NAME=KIND:DATA``.

    Args:
        text: The option.
        one_stride: Whether the backbone's feature maps have one stride, which some heads have a
            form for.
        longest: Longest side of images of a converted folder.

    Raises:
        ConfigError: If it cannot be used.
        DataError: If the converted folder cannot.
    """
    name, equals, rest = text.partition('=')
    kind, colon, data = rest.partition(':')
    if not (name and equals and kind and colon and data):
        raise ConfigError(f'--task is {text!r}; give NAME=KIND:DATA')
    if not name.isidentifier() or iskeyword(name):
        raise ConfigError(f'--task is {text!r}, whose name is {name!r}; give a word of letters')
    head = find_head(text, kind, one_stride)
    file, variables, images = find_data(text, data, longest)
    head_cfg = _variables(shipped_folder() / f'_base_/tasks/{heads()[head]}.py')[head]
    variable, entry = _choose(text, data, kind, scope_of_type(head_cfg['type']), head, variables)
    size = entry['train_dataloader'].get('batch_size', 1)
    validated = entry.get('val_dataloader') is not None
    return Task(name, head, heads()[head], variable, file, size, images, validated)


def find_head(text: str, kind: str, one_stride: bool = False) -> str:
    """The variable of a kind's head, or of a head by name.

    Args:
        text: The option, for messages.
        kind: A kind in ``HEADS``, or a head.
        one_stride: As in :func:`read_task`.

    Raises:
        ConfigError: If there is no such head.
    """
    head = HEADS.get(kind, kind)
    known = heads()
    if head not in known:
        near = difflib.get_close_matches(kind, [*HEADS, *known], 2)
        raise ConfigError(
            f'--task is {text!r}, and {kind!r} is neither one of {list(HEADS)} nor a head of '
            'configs/_base_/tasks' + (f'; do you mean {" or ".join(near)}?' if near else '')
        )
    plain = f'{head.removesuffix(MAPPED)}{PLAIN}'
    return plain if one_stride and kind in HEADS and plain in known else head


def find_data(text: str, data: str, longest: int | None) -> tuple[Path | str, dict, int]:
    """File, variables and number of training images of a data set.

    Args:
        text: The option, for messages.
        data: A converted folder, a file, or a name in ``configs/_base_/datasets``.
        longest: As in :func:`read_task`.

    Raises:
        ConfigError: If there is no such data set, or it serves several tasks.
        DataError: If the converted folder cannot be used.
    """
    path, images = Path(data), 0
    file: Path | str
    if path.is_dir():
        file = at_most(path, longest)
        images = report_of(path).get('splits', {}).get('train', {}).get('images', 0)
        found = _variables(file)
    elif path.is_file():
        file, found = path, _variables(path)
    elif data in data_sets():
        file, found = data, _variables(shipped_folder() / f'_base_/datasets/{data}.py')
    else:
        near = difflib.get_close_matches(data, data_sets(), 2)
        raise ConfigError(
            f'--task is {text!r}, and {data} is no folder, file or name in '
            'configs/_base_/datasets; '
            + (
                f'do you mean {" or ".join(near)}?'
                if near
                else f'convert your data with: {called("convert")}'
            )
        )
    entries = {
        key: value
        for key, value in found.items()
        if isinstance(value, dict) and 'train_dataloader' in value
    }
    if not entries:
        raise ConfigError(f'--task is {text!r}, and {data} has no variable of a data set')
    alone = {
        key: entry for key, entry in entries.items() if 'tasks' not in entry['train_dataloader']
    }
    if not alone:
        raise ConfigError(
            f'--task is {text!r}, and the images of {data} have labels of several tasks; write '
            'such a config yourself, as docs/shared_images.md shows'
        )
    return file, alone, images


def _choose(
    text: str, data: str, kind: str, scope: str | None, head: str, entries: dict
) -> tuple[str, dict]:
    """The variable of a data set that a head can learn from."""
    fitting = {
        key: entry
        for key, entry in entries.items()
        if next(innermost(entry['train_dataloader']['dataset']))[0] == scope
    }
    if not fitting:
        raise ConfigError(
            f'--task is {text!r}, but {data} has labels for {_kinds_of(entries.values())}, not for '
            f'{kind}; change the kind or the data'
        )
    wants_masks = 'mask_rcnn' in head
    key = next((key for key in fitting if key.endswith(MASKS) == wants_masks), next(iter(fitting)))
    return key, fitting[key]


def _kinds_of(entries: Iterable[dict]) -> str:
    scopes = {next(innermost(entry['train_dataloader']['dataset']))[0] for entry in entries}
    names = []
    for kind, head in HEADS.items():
        cfg = _variables(shipped_folder() / f'_base_/tasks/{heads()[head]}.py')[head]
        if scope_of_type(cfg['type']) in scopes:
            names.append(kind)
    return ' or '.join(names) or 'another kind of task'


def _variables(path: Path) -> dict:
    """What a base file defines.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        return Config.fromfile(str(path)).to_dict()
    except Exception as error:  # A file is a program.
        words = re.sub(r'\s+', ' ', str(error))
        raise ConfigError(f'{path} cannot be read: {type(error).__name__}: {words}') from error
