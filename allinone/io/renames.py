"""Old names of public classes, keys and options, accepted with one note each until release 0.3."""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import import_module

REMOVED_IN = '0.3'
# Classes in registries, configs and packages
TYPES = {
    'Annealed': 'AnnealedSampling',
    'BadStepHook': 'NonFiniteHook',
    'Branches': 'RandomPipelineDataset',
    'CocoFile': 'CocoFileDataset',
    'DrawHook': 'PredictionVisualizationHook',
    'DrawSampler': 'SeededInfiniteSampler',
    'Every': 'UpdateEvery',
    'EveryTask': 'AllTasks',
    'PictureList': 'ImageListDataset',
    'SharedTrunk': 'SharedBackbone',
    'Smoothed': 'SmoothedTaskWeights',
    'Temperature': 'TemperatureSampling',
    'TrunkAdapter': 'BackboneAdapter',
    'Weighted': 'FixedProportions',
}
# Config keys by a pattern of their path: '*' is one part of it, '**' any number of parts
KEYS = {
    'model.tasks.*.features': 'feature_indices',
    'model.compile_trunk': 'compile_backbone',
    'model.conflict_interval': 'grad_similarity_interval',
    'model.drop_bad': 'skip_non_finite',
    'model.max_task_norm': 'clip_grad_per_task',
    'train_cfg.accumulate': 'micro_batches',
    '*_dataloader.**.classes_from': 'classes_from_file',
    'default_hooks.*.max_bad_steps': 'max_consecutive',
    'custom_hooks.*.max_bad_steps': 'max_consecutive',
}
# Prefixes of keys in logs
LOG_KEYS = {'conflict/': 'grad_conflict/'}
# Options of command lines, by program
OPTIONS = {
    'compose': {
        '--ancestor': '--base-checkpoint',
        '--from': '--checkpoints',
        '--trunk': '--backbone',
    },
    'infer': {'--on-boxes': '--classify-boxes'},
    'make_toy_data': {'--pictures': '--images'},
    'benchmark': {'peers': 'torchjd', 'guards': 'overhead', 'bn': 'batch-norm'},
}

_noted: set[str] = set()


def note(old: str, new: str) -> None:
    """Print once per run that a name is old."""
    if old not in _noted:
        _noted.add(old)
        if os.environ.get('RANK', '0') == '0':
            print(
                f'note: {old} is now {new}; the old name works until release {REMOVED_IN}',
                file=sys.stderr,
            )


def current_type(name: str, scope: str = 'allinone') -> str:
    """The current name of a class in a config, with its prefix."""
    prefix, dot, short = name.rpartition('.')
    if prefix in ('', scope) and short in TYPES:
        return prefix + dot + TYPES[short]
    return name


def rename_keys(cfg: dict, path: str = '') -> None:
    """Replace old keys and types of a config by their current names, in place.

    If a key exists under both names, the old one takes precedence: configs of this project have
    the new name, so the old one comes from the file that inherits from them.

    Args:
        cfg: A config, or a part of one.
        path: Dotted path of the part; empty for the full config.
    """
    for key in list(cfg):
        value, place = cfg[key], f'{path}.{key}' if path else str(key)
        new = _new_key(place.split('.'))
        if new is not None:
            note(place, new)
            # Keep the position, because the order of keys is part of a dumped config.
            renamed = {new if name == key else name: cfg[name] for name in list(cfg) if name != new}
            cfg.clear()
            cfg.update(renamed)
            key = new
        if key == 'type' and isinstance(value, str) and current_type(value) != value:
            note(value, current_type(value))
            cfg['type'] = current_type(value)
        for number, part in _parts(value):
            rename_keys(part, f'{place}.{number}' if number is not None else place)


def _parts(value) -> Iterator[tuple[int | None, dict]]:
    if isinstance(value, dict):
        yield None, value
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            if isinstance(part, dict):
                yield number, part


def renamed_record(config: Mapping[str, str]) -> dict[str, str]:
    """The config of an earlier run, ``{dotted key: repr of the value}``, with current names."""
    found = {}
    for key, value in config.items():
        parts = key.split('.')
        for end in range(1, len(parts) + 1):
            parts[end - 1] = _new_key(parts[:end]) or parts[end - 1]
        if parts[-1] == 'type' and value[:1] in '\'"':
            value = repr(current_type(value.strip('\'"')))
        found['.'.join(parts)] = value
    return found


def _new_key(parts: Sequence[str]) -> str | None:
    """The current name of the last part of a config key's path; None if it is not an old name."""
    return next((new for old, new in KEYS.items() if _matches(parts, old.split('.'))), None)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == '**':
        return any(_matches(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def current_log_key(key: str) -> str:
    """The current name of a log key, with or without its stage prefix (``train/``)."""
    for old, new in LOG_KEYS.items():
        start, found, rest = key.partition(old)
        if found and start in ('', 'train/'):
            return start + new + rest
    return key


def renamed_arguments(**names: str) -> Callable:
    """Let a function also accept arguments by their old names: ``old='new'``."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args, **kwargs):
            for old in names.keys() & kwargs.keys():
                note(f'{old}=', f'{names[old]}=')
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def renamed_names(module: str, places: Mapping[str, str] | Sequence[str] = ()) -> Callable:
    """A module's ``__getattr__`` that finds classes of ``TYPES`` by their old names.

    Args:
        module: The module's name.
        places: ``{old name: module of the new name}``, or old names if ``module`` has the new ones.
    """

    def find(name: str):
        if name in places and name in TYPES:
            note(f'{module}.{name}', TYPES[name])
            place = places[name] if isinstance(places, Mapping) else module
            return getattr(import_module(place), TYPES[name])
        raise AttributeError(f'module {module!r} has no attribute {name!r}')

    return find


def current_options(program: str, argv: Sequence[str] | None = None) -> list[str]:
    """A command line (default: of this process) with the current names of its options."""
    argv = sys.argv[1:] if argv is None else argv
    names = OPTIONS.get(program, {})
    found: list[str] = []
    for word in argv:
        option, equals, value = word.partition('=')
        if option in names and (option.startswith('--') or not found):
            note(option, names[option])
            option = names[option]
        found.append(option + equals + value)
    return found
