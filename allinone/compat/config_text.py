"""The text of a config, laid out without yapf.

MMEngine has yapf format the text of a config, which takes seconds at the start of a training: it is
asked for the text by the log, a hook and each visualization backend. The text here is the same
Python, a hundred columns wide.
"""

from collections.abc import Mapping, Sequence
from keyword import iskeyword

from mmengine.config import Config

WIDTH = 100
INDENT = 4


def install() -> None:
    """Replaces ``Config.pretty_text``."""
    Config.pretty_text = property(_pretty_text)


def _pretty_text(cfg: Config) -> str:
    return config_text(cfg.to_dict())


def config_text(values: Mapping) -> str:
    """One assignment a key, in the order of the keys, as MMEngine writes them.

    Args:
        values: A config as dictionaries, lists, tuples and values whose ``repr`` is Python.
    """
    return ''.join(
        f'{key} = {_laid_out(values[key], 0, len(str(key)) + 3)}\n' for key in _sorted(values)
    )


def _laid_out(value, indent: int, used: int) -> str:
    """A value on one line if that has room after ``used`` columns, else one member a line."""
    if not (value and isinstance(value, (Mapping, list, tuple))):
        return _one_line(value)
    line = _one_line(value)
    if used + len(line) < WIDTH:
        return line
    inner = indent + INDENT
    left, right = _brackets(value)
    if isinstance(value, Mapping):
        names = _names(value)
        members = [
            f'{name}{_laid_out(value[key], inner, inner + len(name))}'
            for key, name in zip(_sorted(value), names)
        ]
    else:
        members = [_laid_out(member, inner, inner) for member in value]
    lines = ''.join(f'{" " * inner}{member},\n' for member in members)
    return f'{left}\n{lines}{" " * indent}{right}'


def _one_line(value) -> str:
    if isinstance(value, Mapping):
        members = [
            f'{name}{_one_line(value[key])}' for key, name in zip(_sorted(value), _names(value))
        ]
    elif isinstance(value, (list, tuple)):
        members = [_one_line(member) for member in value]
    elif isinstance(value, str):
        return repr(value)
    elif isinstance(value, type):
        module = value.__module__
        return value.__name__ if module == 'builtins' else f'{module}.{value.__name__}'
    else:
        return str(value)
    left, right = _brackets(value)
    end = ',' if isinstance(value, tuple) and len(members) == 1 else ''
    return f'{left}{", ".join(members)}{end}{right}'


def _brackets(value: Mapping | Sequence) -> tuple[str, str]:
    if isinstance(value, Mapping):
        return ('dict(', ')') if _are_names(value) else ('{', '}')
    return ('[', ']') if isinstance(value, list) else ('(', ')')


def _names(value: Mapping) -> list[str]:
    form = '{}=' if _are_names(value) else '{!r}: '
    return [form.format(key) for key in _sorted(value)]


def _are_names(value: Mapping) -> bool:
    return all(isinstance(key, str) and key.isidentifier() and not iskeyword(key) for key in value)


def _sorted(value: Mapping) -> list:
    return sorted(value, key=str)
