"""The config that a run reads, as text."""

import os.path as osp
import sys
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from allinone.config.check import KNOWN_KEYS, STAGES
from allinone.config.loading import load_config
from allinone.config.text import difference, lines_of
from allinone.data.fewer_tasks import without_other_tasks
from allinone.errors import AllInOneError, ConfigError

COLOURS = {'+': 'green', '-': 'red', '@': 'cyan'}


def print_config(args) -> int:
    """What ``tools/print_config.py`` does; the exit status."""
    try:
        found = final_config(args.config, args.cfg_options)
        if args.task:
            _require_task(args.config, found, args.task)
        other = final_config(args.diff) if args.diff else None
    except AllInOneError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    if args.task:
        found = part_of_task(found, args.task)
        other = other and part_of_task(other, args.task)
    if other is None:
        _print_python(line.text for line in lines_of(found))
    else:
        _print_diff(difference(lines_of(found), lines_of(other), (args.config, args.diff)))
    return 0


def final_config(path: str, options: list[str] | None = None) -> dict:
    """What a run reads of a config file: without variables and defaults of the command line.

    Raises:
        ConfigError: As :func:`allinone.load_config`.
    """
    cfg = load_config(path, options)
    stem = osp.splitext(osp.basename(path))[0]
    defaults = dict(launcher='none', work_dir=osp.join('work_dirs', stem))
    return {
        key: value
        for key, value in cfg.to_dict().items()
        if key in KNOWN_KEYS and (key not in defaults or value != defaults[key])
    }


def _require_task(path: str, cfg: Mapping, task: str) -> None:
    tasks = list((cfg.get('model') or {}).get('tasks') or ())
    if task not in tasks:
        raise ConfigError(f'--task is {task!r}, which {path} does not have; name one of {tasks}')


def part_of_task(cfg: Mapping, task: str) -> dict:
    """The parts of a config that belong to one task, at their places."""
    found: dict = {}
    tasks = (cfg.get('model') or {}).get('tasks') or {}
    if task in tasks:
        found['model'] = dict(tasks={task: tasks[task]})
    for stage in STAGES:
        loaders = without_other_tasks(cfg.get(f'{stage}_dataloader') or {}, [task])
        if loaders:
            found[f'{stage}_dataloader'] = loaders
        key = f'{stage}_evaluator'
        if task in (cfg.get(key) or {}):
            found[key] = {task: cfg[key][task]}
        score = (cfg.get(f'{stage}_cfg') or {}).get('score') or {}
        score = {name: factor for name, factor in score.items() if name.split('/')[0] == task}
        if score:
            found[f'{stage}_cfg'] = dict(score=score)
    return found


def _print_python(lines: Iterable[str]) -> None:
    _print('\n'.join(lines), lambda text: Syntax('', 'python').highlight(text))


def _print_diff(lines: Iterable[str]) -> None:
    for line in lines:
        _print(line, lambda text: Text(text, COLOURS.get(text[:1], '')))


def _print(text: str, coloured) -> None:
    """Coloured on a terminal, else the bare text. Long lines are the terminal's to wrap."""
    console = Console()
    if console.is_terminal:
        found = coloured(text)
        found.rstrip()
        console.print(found, soft_wrap=True)
    else:
        print(text)
