"""Read a config file and apply command-line options."""

import ast
import difflib
import os.path as osp
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.config.utils import ConfigParsingError

from allinone.errors import ConfigError
from allinone.io.renames import rename_keys
from allinone.registry import LIBRARIES

from .check import KNOWN_KEYS
from .data_entries import KEY as DATA
from .data_entries import has_data
from .expansion import expand_config
from .literals import literal
from .shipped import find_config

# What mmengine reads as text: {'a': 1}, [{'a': 1}], dict(a=1)
DICTIONARY = re.compile(r'[\s\[(]*(\{[^{}]*:|\{\s*\}|dict\()')

# What a child config of a base with loaders in the long form names
OF_A_TASK = re.compile(
    r'\{\{\s*_base_\.((?:train|val|test)_(?:dataloader|evaluator))\.(\w+)\s*\}\}'
)
LIBRARY_CONFIG = re.compile(rf'({"|".join(LIBRARIES)})\.configs\.[\w.]+')


Options = Sequence[str] | Mapping[str, Any] | None


def load_config(
    path: str,
    options: Options = None,
    work_dir: str | None = None,
    launcher: str = 'none',
    wire: bool = True,
) -> Config:
    """Read a config, apply options, and set ``work_dir`` and ``launcher``.

    Short forms (``data``, ``copy_of``) are expanded.

    Args:
        path: The file, or the name of a shipped config.
        options: As in :func:`parse_options`.
        work_dir: In place of the config's. Default: ``work_dirs/NAME``.
        launcher: Of the processes, as in mmengine.
        wire: Fill what follows from the backbone.

    Raises:
        ConfigError: If the file is missing or cannot be parsed, or an option or a short form does
            not fit it.
    """
    path = find_config(path)
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        words = ' '.join(str(error).split())
        missing = LIBRARY_CONFIG.search(words) if isinstance(error, ConfigParsingError) else None
        if missing:
            raise ConfigError(
                f'{path} imports {missing[0]}, but the installed {missing[1]} has its configs as '
                f"text only; inherit from them in a text config, as in _base_ = ['{missing[1]}::"
                "PATH.py']"
            ) from error
        moved = OF_A_TASK.search(_text_of(path)) if isinstance(error, KeyError) else None
        if moved:
            part, task = moved.groups()
            raise ConfigError(
                f'{path} has {moved[0]}, but its base has no such key; if the base has {task!r} in '
                f'data, write {{{{_base_.data.{task}.{part.replace("test_", "val_")}}}}}'
            ) from error
        # mmengine gives no reason where a pure Python config defines a class or a function.
        words = words or 'define classes in a module, and list it in custom_imports'
        raise ConfigError(f'{path} cannot be read: {type(error).__name__}: {words}') from error
    return finish_config(cfg, path, options, work_dir, launcher, wire)


def finish_config(
    cfg: Config,
    path: str,
    options: Options = None,
    work_dir: str | None = None,
    launcher: str | None = None,
    wire: bool = True,
) -> Config:
    """Bring a config into the form that a run reads, in place; see :func:`load_config`.

    Args:
        cfg: As mmengine reads it, or as this function returns it.
        path: Its file, or what to call it in messages.
        options: As in :func:`parse_options`.
        work_dir: In place of the config's.
        launcher: In place of the config's.
        wire: As in :func:`load_config`.
    """
    parsed = parse_options(options)
    if has_data(cfg):
        # The long form, which other options change, is made of it.
        of_data = {key: parsed.pop(key) for key in list(parsed) if key.split('.')[0] == DATA}
        _merge_options(cfg, path, of_data)
    expand_config(cfg, wire=False)  # Options may set another backbone.
    complete_config(cfg, path, parsed, _name_of(options))
    expand_config(cfg, wire=wire)  # Options may have short forms.
    cfg.launcher = launcher or cfg.get('launcher') or 'none'
    default = osp.join('work_dirs', osp.splitext(osp.basename(path))[0])
    cfg.work_dir = work_dir or cfg.get('work_dir') or default
    return cfg


def _name_of(options: Options) -> str:
    """What to call the options in messages."""
    return 'the call' if isinstance(options, Mapping) else '--cfg-options'


def _text_of(path: str) -> str:
    with open(path, encoding='utf-8') as file:
        return file.read()


def complete_config(
    cfg: Config, path: str, options: Options = None, given: str = '--cfg-options'
) -> Config:
    """Apply options, and set defaults of keys that a config may omit.

    Args:
        cfg: The config, changed in place.
        path: Its file, for messages.
        options: As in :func:`parse_options`.
        given: What to call the options in messages.

    Raises:
        ConfigError: If an option has no effect or does not fit the config.
    """
    parsed = parse_options(options)
    _check_options(path, cfg, parsed, given)
    _merge_options(cfg, path, parsed, given)
    rename_keys(cfg._cfg_dict)
    cfg.setdefault('runner_type', 'MultiDatasetRunner')
    cfg.setdefault('default_scope', 'allinone')
    return cfg


def _merge_options(cfg: Config, path: str, parsed: dict, given: str = '--cfg-options') -> None:
    try:
        cfg.merge_from_dict(parsed)
    except (KeyError, TypeError):
        # Options are merged together, because _delete_ needs its neighbours; one by one only to
        # name the cause.
        for key, value in parsed.items():
            try:
                cfg.merge_from_dict({key: value})
            except (KeyError, TypeError) as error:
                raise ConfigError(
                    f'{given} has {key!r}, which does not fit {path}: {error.args[0]}'
                ) from error
        raise


def parse_options(options: Options) -> dict[str, Any]:
    """Parse ``['a.b=1', ...]`` as mmengine's ``--cfg-options`` does, and dictionaries.

    Args:
        options: A list of ``KEY=VALUE``, or ``{key: value}``.

    Raises:
        ConfigError: If an option is no ``KEY=VALUE``, or its value has brackets without a pair or a
            dictionary that is no Python literal.
    """
    if isinstance(options, Mapping):
        return dict(options)
    parsed = {}
    for option in options or []:
        key, equals, value = option.partition('=')
        if not equals:
            raise ConfigError(f'--cfg-options has {option!r}; give KEY=VALUE')
        parsed[key] = _parse_value(key, value)
    return parsed


def _parse_value(key: str, value: str):
    node = _dictionary(value)
    if node is not None:
        try:
            return literal(node)
        except ValueError as error:
            raise ConfigError(
                f'--cfg-options has {key}={value}, which is no dictionary of literals; put names '
                f'in quotes and all of it in others, as in "{key}={{\'NAME\': 1}}", or set its '
                f'keys, as in {key}.NAME=1'
            ) from error
    try:
        return DictAction._parse_iterable(value)
    except (AssertionError, RecursionError) as error:
        raise ConfigError(
            f'--cfg-options has {key}={value}, whose brackets have no pair; close them'
        ) from error


def _dictionary(value: str) -> ast.expr | None:
    """The expression, if it is a dictionary or has some; other text may have braces, too."""
    if not DICTIONARY.match(value):
        return None
    try:
        node = ast.parse(value.strip(), mode='eval').body
    except SyntaxError:
        return None  # '{:05d}.jpg'
    called = isinstance(node, ast.Call) and node.keywords
    return node if called or isinstance(node, (ast.Dict, ast.List, ast.Tuple)) else None


def _check_options(path: str, cfg: Config, options: dict, given: str) -> None:
    """Refuse options that have no effect."""
    for key in options:
        top = key.split('.')[0]
        near = difflib.get_close_matches(top, KNOWN_KEYS, 1)
        if top in KNOWN_KEYS:
            continue
        if top in cfg:
            raise ConfigError(
                f'{given} has {key!r}, but {top} is a variable of {path}, used up when the '
                'file is read; set the keys that are made of it'
            )
        raise ConfigError(
            f'{given} has {key!r}, which nothing reads; '
            + (f'do you mean {near[0]!r}?' if near else 'check its spelling')
        )
