"""A config as Python text with one key a line, and the difference of two of them."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from keyword import iskeyword
from typing import NamedTuple

WIDTH = 100
INDENT = 4
BRACKETS = (')', ']', '}')


class Line(NamedTuple):
    """A line of a config's text.

    Attributes:
        text: Without a line break.
        key: Dotted key of what the line belongs to.
    """

    text: str
    key: str


def lines_of(cfg: Mapping) -> list[Line]:
    """A config as Python text, one key a line, which mmengine reads as the same config."""
    found: list[Line] = []
    for key, value in cfg.items():
        found += _member(f'{key} = ', value, str(key), 0, '')
    return found


def difference(
    one: Sequence[Line], other: Sequence[Line], names: tuple[str, str], context: int = 3
) -> Iterator[str]:
    """Lines of a unified diff, whose hunks name the key of their first change.

    Args:
        one: Text of the first config.
        other: Text of the second one.
        names: Of both.
        context: Number of equal lines around a change.
    """
    texts = ([line.text for line in one], [line.text for line in other])
    matcher = SequenceMatcher(None, texts[0], texts[1], autojunk=False)
    hunks = [group for group in matcher.get_grouped_opcodes(context) if group]
    if hunks:
        yield from (f'--- {names[0]}', f'+++ {names[1]}')
    for group in hunks:
        _, i, _, k, _ = group[0]
        _, _, j, _, m = group[-1]
        changes = [code for code in group if code[0] != 'equal']
        lines = [line for _, a, b, c, d in changes for line in (*one[a:b], *other[c:d])]
        first = next((line for line in lines if line.text.strip(' ,') not in BRACKETS), lines[0])
        yield f'@@ -{i + 1},{j - i} +{k + 1},{m - k} @@ {first.key}'
        for kind, a, b, c, d in group:
            if kind == 'equal':
                yield from (f' {line.text}' for line in one[a:b])
            else:
                yield from (f'-{line.text}' for line in one[a:b])
                yield from (f'+{line.text}' for line in other[c:d])


def _member(start: str, value, key: str, depth: int, end: str) -> Iterator[Line]:
    """Lines of a value after ``KEY=``; ``end`` follows it."""
    space = ' ' * (INDENT * depth)
    if isinstance(value, Mapping) and value:
        named = all(_is_name(name) for name in value)
        yield Line(f'{space}{start}{"dict(" if named else "{"}', key)
        for name, part in value.items():
            inner = f'{name}=' if named else f'{name!r}: '
            yield from _member(inner, part, f'{key}.{name}', depth + 1, ',')
        yield Line(f'{space}{")" if named else "}"}{end}', key)
    elif isinstance(value, (list, tuple)) and _is_deep(value):
        left, right = '[]' if isinstance(value, list) else '()'
        yield Line(f'{space}{start}{left}', key)
        for number, part in enumerate(value):
            yield from _member('', part, f'{key}.{number}', depth + 1, ',')
        yield Line(f'{space}{right}{end}', key)
    else:
        yield from (Line(text, key) for text in _filled(f'{space}{start}', value, end))


def _is_name(name) -> bool:
    return isinstance(name, str) and name.isidentifier() and not iskeyword(name)


def _is_deep(value) -> bool:
    """Whether there is a dictionary in a list."""
    if isinstance(value, (list, tuple)):
        return any(_is_deep(part) for part in value)
    return isinstance(value, Mapping)


def _filled(start: str, value, end: str) -> Iterator[str]:
    """A plain value; lists that are longer than a line go over several."""
    text = _plain(value)
    if len(start) + len(text) + len(end) <= WIDTH or not isinstance(value, (list, tuple)):
        yield f'{start}{text}{end}'
        return
    left, right = '[]' if isinstance(value, list) else '()'
    space = ' ' * (len(start) - len(start.lstrip()))
    yield f'{start}{left}'
    line = ''
    for part in map(_plain, value):
        if line and len(space) + INDENT + len(line) + len(part) + 2 > WIDTH:
            yield f'{space}{" " * INDENT}{line.rstrip()}'
            line = ''
        line += f'{part}, '
    yield f'{space}{" " * INDENT}{line.rstrip()}'
    yield f'{space}{right}{end}'


def _plain(value) -> str:
    if isinstance(value, Mapping):
        return 'dict()'
    if isinstance(value, list):
        return f'[{", ".join(map(_plain, value))}]'
    if isinstance(value, tuple):
        return f'({", ".join(map(_plain, value))}{"," if len(value) == 1 else ""})'
    if isinstance(value, float) and value - value != 0:
        return f"float('{value!r}')"  # Infinite, or no number
    return repr(value)
