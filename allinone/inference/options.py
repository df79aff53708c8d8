"""The config key ``inference = dict(scale=..., tasks=..., mode=...)``."""

from collections.abc import Collection, Mapping, Sequence

from mmengine.config import Config

from allinone.errors import ConfigError

ONE_PASS, AS_TESTED_MODE = 'one_pass', 'as_tested'
MODES = (ONE_PASS, AS_TESTED_MODE)
KEYS = ('scale', 'tasks', 'mode')


def inference_options(cfg: Config) -> Mapping:
    """The options that the config sets.

    Raises:
        ConfigError: If it is no dictionary, or has other keys.
    """
    found = cfg.get('inference') or {}
    if not isinstance(found, Mapping):
        raise ConfigError(f'inference is {found!r}; give dict(scale=(width, height))')
    unknown = sorted(set(found) - set(KEYS))
    if unknown:
        raise ConfigError(f'inference has no key {unknown}; its keys are {", ".join(KEYS)}')
    return found


def inference_tasks(cfg: Config, known: Collection[str]) -> list[str]:
    """The tasks that the config selects; default: all.

    Args:
        cfg: The joint config.
        known: The tasks of its model.

    Raises:
        ConfigError: If they are not in the model, or none.
    """
    tasks = inference_options(cfg).get('tasks')
    if tasks is None:
        return list(known)
    names = [tasks] if isinstance(tasks, str) else tasks
    if not isinstance(names, Sequence) or not names or any(name not in known for name in names):
        raise ConfigError(
            f'inference.tasks is {tasks!r}; name tasks of model.tasks, which has {list(known)}, '
            'or leave it out for all of them'
        )
    return list(dict.fromkeys(names))


def inference_mode(cfg: Config, wanted: str | None) -> tuple[str, str]:
    """Where the mode is set (``'mode'`` or ``'inference.mode'``), and the mode.

    Args:
        cfg: The joint config.
        wanted: The requested mode. None: the config's, else one pass.

    Raises:
        ConfigError: If it is not one of ``MODES``.
    """
    key = 'inference.mode' if wanted is None else 'mode'
    mode = inference_options(cfg).get('mode', ONE_PASS) if wanted is None else wanted
    if mode not in MODES:
        raise ConfigError(f'{key} is {mode!r}; give {ONE_PASS!r} or {AS_TESTED_MODE!r}')
    return key, mode
