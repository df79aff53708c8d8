"""Checking of config options, and building of config parts from a registry.

Every message begins with the config key and its value.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from mmengine.registry import Registry, build_from_cfg

from allinone.errors import ConfigError

from .other_names import near_name

LARGEST = sys.float_info.max
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_number(
    key: str, value, low: float, high: float = float('inf'), *, open_low: bool = False
) -> float:
    """Return ``value`` as a float in ``[low, high]``, or ``(low, high]`` with ``open_low``.

    Raises:
        ConfigError: If it is not a finite number or is outside.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if (
        not number
        or not max(low, -LARGEST) <= value <= min(high, LARGEST)
        or (open_low and value == low)
    ):
        bounds = f' above {low:g}' if open_low else f' of at least {low:g}'
        bounds = ', not infinite' if low == float('-inf') else bounds
        bounds += '' if high == float('inf') else f' and at most {high:g}'
        raise ConfigError(f'{key} is {value!r}; give a number{bounds}')
    return float(value)


def check_numbers(
    key: str, values, low: float = float('-inf'), *, open_low: bool = False, some: bool = False
) -> list[float]:
    """Return the list ``values`` as floats of at least ``low``, or above it with ``open_low``.

    Args:
        key: The config key.
        values: Its value.
        low: As in :func:`check_number`.
        open_low: As in :func:`check_number`.
        some: Whether at least one must be positive.

    Raises:
        ConfigError: If it is not a list, an entry is not such a number, or none is positive.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Sequence):
        raise ConfigError(f'{key} is {values!r}; give a list with one number for each task')
    numbers = [
        check_number(f'{key}[{i}]', value, low, open_low=open_low) for i, value in enumerate(values)
    ]
    if some and not any(number > 0 for number in numbers):
        raise ConfigError(f'{key} is {values!r}; make at least one positive')
    return numbers


def check_one_each(key: str, values: Sequence, count: int, tasks: Sequence[str] = ()) -> None:
    """Check that ``values`` has one entry for each of ``count`` tasks.

    Raises:
        ConfigError: If not.
    """
    if len(values) != count:
        names = f' {list(tasks)}' if tasks else ''
        raise ConfigError(
            f'{key} is {list(values)}, {len(values)} numbers for {count} tasks{names}; '
            'give one for each'
        )


def check_count(key: str, value, low: int = 1) -> int:
    """Return ``value`` if it is an integer of at least ``low``.

    Raises:
        ConfigError: If not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ConfigError(f'{key} is {value!r}; give a whole number of at least {low}')
    return value


def check_flag(key: str, value) -> bool:
    """Return ``value`` if it is True or False.

    Raises:
        ConfigError: If not.
    """
    if not isinstance(value, bool):
        raise ConfigError(f'{key} is {value!r}; give True or False')
    return value


def check_choice(key: str, value, choices: Sequence[str], others: str = '') -> str:
    """Return ``value`` if it is one of ``choices``.

    Args:
        key: The config key.
        value: Its value.
        choices: The valid values.
        others: Description of further valid values, which the caller checks.

    Raises:
        ConfigError: If not.
    """
    if value not in choices:
        others = others and f' and {others}'
        raise ConfigError(f'{key} is {value!r}; the choices are {list(choices)}{others}')
    return value


def check_metric_list(key: str, names, tasks: Iterable[str]) -> dict[str, str]:
    """Return ``{task: 'TASK/metric'}`` of the list ``names``, in the order of ``tasks``.

    Raises:
        ConfigError: If it is not a list with one metric for each task.
    """
    tasks = list(tasks)
    listed = isinstance(names, Sequence) and not isinstance(names, str)
    by_task = (
        {name.partition('/')[0]: name for name in names if isinstance(name, str)} if listed else {}
    )
    values = [by_task.get(task, '').partition('/')[2] for task in tasks]
    if not listed or len(names) != len(tasks) or not all(values):
        raise ConfigError(
            f"{key} is {names!r}; give one 'TASK/metric' for each of the tasks {tasks}"
        )
    return {task: by_task[task] for task in tasks}


def check_type(key: str, cfg, registry: Registry) -> None:
    """Check that ``cfg`` is a config whose type is a class or is registered.

    Raises:
        ConfigError: If not; it lists the names in the registry.
    """
    if not isinstance(cfg, Mapping):
        raise ConfigError(f'{key} is {cfg!r}; give a dictionary with its type')
    kind = cfg.get('type')
    if not callable(kind) and (not isinstance(kind, str) or registry.get(kind) is None):
        registry.import_from_location()
        names = sorted(registry.module_dict)
        near = near_name(kind, names)
        raise ConfigError(
            f'{key}.type is {kind!r}; the choices are {names}'
            + (f'; do you mean {near!r}?' if near else '')
        )


def build_part(cfg, registry: Registry, default_args: Mapping | None = None, *, key: str):
    """Build a registered part; the ``build_func`` of registries whose parts users choose by name.

    Args:
        cfg: ``type`` and options.
        registry: Registry that has the type.
        default_args: Internal options, which ``cfg`` need not have.
        key: The config key of such a part.

    Raises:
        ConfigError: If the type or an option is unknown, or a required option is missing; other
            errors are those of the part.
    """
    check_type(key, cfg, registry)
    kind = registry.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
    parameters = inspect.signature(kind).parameters
    default_args = dict(default_args or {})
    if all(parameter.kind not in VARIADIC for parameter in parameters.values()):
        options = [name for name in parameters if name not in default_args]
        for name, value in cfg.items():
            if name not in (*parameters, 'type', '_scope_'):
                raise ConfigError(
                    f'{key}.{name} is {value!r}, but {kind.__name__} has no such option; '
                    f'its options are {options}'
                )
    for name, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind not in VARIADIC
        if required and name not in {**default_args, **cfg}:
            raise ConfigError(f'{key}.{name} is not set, which {kind.__name__} needs; give it')
    return build_from_cfg(dict(cfg), registry, default_args)


def build_kind(key: str, cfg, registry: Registry, base: type, remedy: str, *args):
    """Build a part from ``args`` and its options.

    Raises:
        ConfigError: If its class is not ``base`` or derived from it, or refuses the options.
    """
    kind = registry.get(cfg['type']) if isinstance(cfg, Mapping) and 'type' in cfg else None
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ConfigError(f'{key} is {cfg!r}; {remedy}')
    try:
        return kind(*args, **{name: value for name, value in cfg.items() if name != 'type'})
    except (TypeError, ConfigError) as error:
        raise ConfigError(f'{key} cannot be built: {error}') from error


@contextmanager
def renamed(key: str, to: str) -> Iterator[None]:
    """Replace one config key by another at the beginning of error messages.

    A part names its options by their usual config key and does not know its actual place.
    """
    try:
        yield
    except ConfigError as error:
        rest = str(error).removeprefix(key)
        if rest == str(error) or rest[:1].isidentifier():
            raise
        raise type(error)(to + rest) from error
