"""Complexity of configs as text: for a terminal, as JSON, or as a page of Markdown."""

import os.path as osp
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from allinone.errors import ConfigError
from allinone.evaluation.table import columns
from allinone.io.atomic import write_json, write_whole
from allinone.io.outputs import require_writable

from .complexity import Complexity, Part, complexity

MIB = 2**20
COUNTED = ('parameters', 'weights', 'flops', 'activations')  # As in Part
HEAD = ('part', 'parameters', 'GFLOPs', 'GMACs', 'of all', 'weights', 'activations')
UNITS = 'A multiply-add is 2 FLOPs, or 1 MAC; many papers say FLOPs where they count MACs.'
PAGE = """# Complexity of the configs
```bash
python tools/analyze.py complexity configs/[!_]*/*.py --out docs/results/zoo.md
```
What the joint models of `configs/` cost for one image. Nothing here is measured: times and peak
memory depend on the device. [analyze.md](../analyze.md#complexity) says what is counted.

- *image*: height x width in pixels, by the test pipelines.
- *GFLOPs*: of one pass for all tasks. {units}
- *weights*, *activations*: MiB of parameters and buffers, and of what one image saves for the
  backward pass, in 32-bit numbers. Frozen parts save nothing.
- *backbone*: its part of the parameters, and of the operations, with the shared neck if any.
- *one pass saves*: of the operations of a model for each task, with backbones of their own.

"""


def run_complexity(args: Namespace) -> None:
    """``tools/analyze.py complexity``."""
    kind = osp.splitext(args.out)[1].lower() if args.out else None
    if kind not in (None, '.json', '.md'):
        raise ConfigError(f'--out is {args.out!r}; give a name in .json or .md')
    if args.out:
        require_writable('--out', args.out)
    size = None if args.size is None else tuple(args.size)
    found = []
    for config in args.configs:
        found.append(complexity(config, size, args.tasks))
        print(format_complexity(found[-1]), end='\n\n', flush=True)
    print(UNITS)
    if kind == '.json':
        write_json(args.out, [as_json(one) for one in found])
    elif kind == '.md':
        write_whole(args.out, page(found).encode())


def as_json(found: Complexity) -> dict:
    """All numbers of a config in JSON types; operations are FLOPs, memory is in bytes."""
    return dict(
        asdict(found),
        total={name: found.total(name) for name in COUNTED},
        shared_parameters=found.shared_parameters,
        shared_flops=found.shared_flops,
        saved=found.saved,
    )


def format_complexity(found: Complexity) -> str:
    """A table of the parts, and the share of the backbone, as plain text."""
    height, width = found.size
    lines = [
        f'{found.config}: one image of {height} x {width} pixels (height x width)',
        columns([HEAD, *_rows(found)], '<>>>>>>'),
        *_sentences(found),
    ]
    return '\n'.join(lines)


def page(found: Iterable[Complexity]) -> str:
    """A page of Markdown: a line for each config, then the parts of each."""
    found = list(found)
    text = PAGE.format(units=UNITS)
    rows = [_summary(one) for one in found]
    head = ('config', 'image', 'parameters', 'GFLOPs', 'weights', 'activations', 'backbone')
    text += _markdown([*head, 'one pass saves'], rows)
    for folder, group in groupby(found, key=lambda one: osp.dirname(one.config)):
        text += f'\n## {folder}\n'
        for one in group:
            text += f'\n### {osp.basename(one.config)}\n<!-- {one.config} {one.digest} -->\n'
            lines = (f'One image of {_size(one)} pixels.', *_sentences(one))
            text += '\n'.join(lines) + '\n\n'
            text += _markdown(HEAD, _rows(one))
    return text


def _summary(found: Complexity) -> tuple[str, ...]:
    return (
        f'`{found.config}`',
        _size(found),
        _millions(found.total('parameters')),
        _billions(found.total('flops')),
        _mib(found.total('weights')),
        _mib(found.total('activations')),
        f'{_percent(found.shared_parameters)}, {_percent(found.shared_flops)}',
        _percent(found.saved) if len(found.alone) > 1 else '-',
    )


def _rows(found: Complexity) -> list[tuple[str, ...]]:
    whole = Part('all', False, *map(found.total, COUNTED))
    return [
        (
            part.name,
            _millions(part.parameters),
            _billions(part.flops),
            _billions(part.flops / 2),
            _percent(part.flops / whole.flops),
            f'{_mib(part.weights)} MiB',
            f'{_mib(part.activations)} MiB',
        )
        for part in (*found.parts, whole)
    ]


def _sentences(found: Complexity) -> Iterator[str]:
    shared = ' and '.join(part.name for part in found.parts if part.shared).replace('_', ' ')
    yield (
        f'The {shared} {"have" if " and " in shared else "has"} '
        f'{_percent(found.shared_parameters)} of the parameters and '
        f'{_percent(found.shared_flops)} of the operations.'
    )
    if len(found.alone) > 1:
        yield (
            f'One pass takes {_billions(found.total("flops"))} GFLOPs, a model of each task alone '
            f'{_billions(sum(found.alone.values()))} together: one pass saves '
            f'{_percent(found.saved)}.'
        )
    if found.note:
        yield found.note


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ['---', *['---:'] * (len(head) - 1)], *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def _size(found: Complexity) -> str:
    return '{} x {}'.format(*found.size)


def _millions(count: int) -> str:
    return f'{_digits(count / 1e6)} M'


def _billions(count: float) -> str:
    return _digits(count / 1e9)


def _mib(count: int) -> str:
    return _digits(count / MIB)


def _digits(value: float) -> str:
    """With three digits, and no more than two decimals."""
    if 0 < value < 0.01:
        return '< 0.01'
    return f'{value:.2f}' if value < 10 else f'{value:.1f}' if value < 100 else f'{value:,.0f}'


def _percent(fraction: float) -> str:
    return f'{100 * fraction:.1f} %'
