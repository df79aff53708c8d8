"""The config lines by which a student trains on pseudo labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from allinone.config.sources import LABELS

WEIGHT = 0.5
WIDTH = 100


def source_config(datasets: Mapping[str, Mapping]) -> str:
    """Python text of an entry of ``train_dataloader`` whose images have the labels of all tasks.

    Args:
        datasets: ``{task: config of its data set}``.
    """
    entry = dict(
        tasks=tuple(datasets),
        label_weights=dict.fromkeys(datasets, WEIGHT),
        batch_size=8,
        num_workers=4,
        dataset={
            'type': 'SharedDataset',
            LABELS: dict(datasets),
            'pipeline': [
                dict(type='LoadImageFromFile'),
                dict(type='LoadSharedAnnotations'),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackSharedInputs'),
            ],
        },
    )
    return f'train_dataloader = {_text(dict(pseudo=entry))}\n'


def _text(value: Any, depth: int = 0, before: int = 0) -> str:
    """A literal as in a config, broken into lines where it is long behind what stands before it."""
    short = _literal(value)
    if 4 * depth + before + len(short) < WIDTH or not isinstance(value, (Mapping, list, tuple)):
        return short
    pad, end = ' ' * 4 * (depth + 1), ' ' * 4 * depth
    if isinstance(value, Mapping):
        # Names of tasks may be no names of Python.
        plain = all(str(key).isidentifier() for key in value)
        names = [f'{key}=' if plain else f'{key!r}: ' for key in value]
        opening, closing = ('dict(', ')') if plain else '{}'
        parts = [
            f'{pad}{name}{_text(part, depth + 1, len(name))},\n'
            for name, part in zip(names, value.values())
        ]
        return f'{opening}\n{"".join(parts)}{end}{closing}'
    parts = [f'{pad}{_text(part, depth + 1)},\n' for part in value]
    opening, closing = '[]' if isinstance(value, list) else '()'
    return f'{opening}\n{"".join(parts)}{end}{closing}'


def _literal(value: Any) -> str:
    if isinstance(value, Mapping) and all(str(key).isidentifier() for key in value):
        return f'dict({", ".join(f"{key}={_literal(part)}" for key, part in value.items())})'
    if isinstance(value, Mapping):
        return f'{{{", ".join(f"{key!r}: {_literal(part)}" for key, part in value.items())}}}'
    if isinstance(value, (list, tuple)):
        opening, closing = '[]' if isinstance(value, list) else '()'
        comma = ',' if len(value) == 1 and opening == '(' else ''
        return f'{opening}{_joined(value)}{comma}{closing}'
    return repr(value)


def _joined(parts: Sequence) -> str:
    return ', '.join(map(_literal, parts))
