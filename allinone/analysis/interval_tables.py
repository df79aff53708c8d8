"""Comparisons with intervals as tables of plain text."""

import importlib
from dataclasses import asdict

from allinone.errors import ConfigError
from allinone.evaluation.intervals import LEVEL, Interval
from allinone.evaluation.table import columns
from allinone.io.atomic import write_json
from allinone.io.outputs import require_writable

from .interval_comparison import DELTA, Compared, Comparison, compare
from .tested_groups import SEEDS_TO_NEST, Group, read_groups


def run_compare(args) -> None:
    """``tools/analyze.py compare``."""
    print(format_comparison(_comparison(args, args.groups)))


def run_power(args) -> None:
    """``tools/analyze.py power``."""
    if len(args.groups) > 2:
        raise ConfigError(
            f'power has {len(args.groups)} groups {args.groups}; give one, or two that are paired'
        )
    print(format_power(_comparison(args, args.groups)))


def _comparison(args, words: list[str]) -> Comparison:
    if args.out:
        require_writable('--out', args.out)
    for module in args.imports:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(f'--import {module} cannot be imported: {error}') from error
    comparison = compare(
        read_groups(words),
        _singles(getattr(args, 'single', [])),
        args.metrics,
        args.lower_is_better,
        args.resamplings,
        args.seed,
    )
    if args.out:
        write_json(args.out, asdict(comparison))
    return comparison


def _singles(given: list[tuple[str, str]]) -> dict[str, Group]:
    if len(dict(given)) < len(given):
        raise ConfigError(f'--single is {given}; name each task once, seeds as TASK=FILE,FILE')
    return {task: read_groups([f'{task}={files}'])[0] for task, files in given}


def format_comparison(comparison: Comparison) -> str:
    """Tables of each group, and of the differences to the first one.

    A difference whose interval holds 0 is ``none``.
    """
    first, *others = comparison.groups
    blocks = [_head(comparison)]
    blocks += [_values(group) for group in comparison.groups]
    blocks += [_differences(first, other, comparison.against) for other in others]
    blocks += [note for note in (_notes(comparison),) if note]
    return '\n\n'.join(blocks)


def format_power(comparison: Comparison) -> str:
    """A table of the smallest differences that the images show."""
    first = comparison.groups[0]
    pair = comparison.groups[1].differences if len(comparison.groups) > 1 else None
    rows = [('task', 'metric', 'value', 'std. error', 'unpaired', 'paired')]
    for name, smallest in first.unpaired.items():
        one = first.values.get(name)
        rows.append(
            (
                *_names(name),
                '' if one is None else f'{one.value:.4f}',
                '' if one is None else f'{one.error:.4f}',
                f'{smallest:.4f}',
                '' if not pair or name not in pair else f'{pair[name].half_width:.4f}',
            )
        )
    words = [
        f'Smallest differences that the images of {first.name} can show:',
        columns(rows if pair else [row[:5] for row in rows], '<<>>>>'),
        '',
        f'unpaired: {_UNPAIRED}',
    ]
    if pair:
        words.append(
            f'paired: half of the interval of the difference of {comparison.groups[1].name}, on '
            'the same images'
        )
    return '\n'.join([_head(comparison), '', *words])


_UNPAIRED = (
    '1.96 sqrt(2) standard errors of one run. This is on the safe side:\n'
    '  runs on the same images err together. Differences between seeds come on top.'
)


def _head(comparison: Comparison) -> str:
    parts = [
        f'{task} {count}' + (f' (of {every})' if every > count else '')
        for task, (count, every) in comparison.images.items()
    ]
    return (
        f'Images in all runs: {", ".join(parts)}. {LEVEL} % intervals of '
        f'{comparison.resamplings} resamplings.'
    )


def _names(name: str) -> tuple[str, str]:
    task, slash, metric = name.partition('/')
    if slash:
        return task, metric
    return 'all', 'delta_m %' if name == DELTA else name


def _bounds(one: Interval, sign: str) -> str:
    return f'{one.low:{sign}.4f} to {one.high:{sign}.4f}'


def _values(group: Compared) -> str:
    rows = [('task', 'metric', 'value', f'{LEVEL} % interval', 'sd of seeds')]
    for name, one in group.values.items():
        spread = group.spreads.get(name)
        rows.append(
            (
                *_names(name),
                f'{one.value:.4f}',
                _bounds(one, ''),
                '' if spread is None else f'{spread:.4f}',
            )
        )
    title = group.name + (f' (mean of {group.seeds} seeds)' if group.seeds > 1 else '')
    return f'{title}\n' + columns(rows if group.spreads else [row[:4] for row in rows], '<<>>>')


def _differences(first: Compared, other: Compared, against: str | None) -> str:
    rows = [('task', 'metric', 'difference', f'{LEVEL} % interval', 'smallest shown')]
    for name, one in other.differences.items():
        shown = 'none' if one.holds_zero else f'{one.value:+.4f}'
        rows.append((*_names(name), shown, _bounds(one, '+'), f'{one.half_width:.4f}'))
    lines = [f'{other.name} - {first.name}, paired by image', columns(rows, '<<>>>')]
    if DELTA in other.differences:
        lines.append(f'delta_m is relative to {against}; lower is better.')
    return '\n'.join(lines)


def _notes(comparison: Comparison) -> str:
    notes = []
    if len(comparison.groups) > 1:
        notes.append(
            'none: the interval holds 0. smallest shown: half of the interval, which a difference\n'
            'must exceed to be shown by these images.'
        )
    if comparison.only_images:
        notes.append(
            f'Fewer than {SEEDS_TO_NEST} seeds of {", ".join(comparison.only_images)}: only images '
            'are drawn for the\nintervals, and another training of the same config would differ, '
            'too.'
        )
    return '\n'.join(notes)
