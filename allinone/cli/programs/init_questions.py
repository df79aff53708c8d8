"""Questions on a terminal in place of options that are missing."""

from collections.abc import Callable, Mapping

from allinone.errors import AllInOneError
from allinone.tasks.first_heads import HEADS

from .init_parts import backbones, find_data, find_head, read_task


def ask(args, machines: Mapping[str, str]) -> None:
    """Ask for tasks, machine and backbone, as far as ``args`` lacks them; sets them.

    Args:
        args: Arguments of the command line.
        machines: ``{size: default backbone}``.
    """
    if not args.tasks:
        args.tasks = _tasks()
    if args.machine is None:
        sizes = list(machines)
        args.machine = _answer(
            f'Machine ({" or ".join(sizes)}) [{sizes[0]}]: ', _one_of(sizes), sizes[0]
        )
    if args.backbone is None:
        default = machines[args.machine]
        args.backbone = _answer(
            f'Backbone, of configs/_base_/backbones [{default}]: ', _one_of(backbones()), default
        )


def _tasks() -> list[str]:
    found: list[str] = []
    while True:
        end = ', or nothing if that is all' if found else ''
        name = _answer(f'Name of a task{end}: ', lambda text: None, '' if found else None)
        if not name:
            return found
        kind = _answer(f'Its kind ({", ".join(HEADS)}): ', lambda text: find_head(text, text))
        data = _answer(
            'Its data (a folder that convert wrote, or a name of configs/_base_/datasets): ',
            lambda text: find_data(text, text, None),
        )
        task = f'{name}={kind}:{data}'
        try:
            read_task(task)
        except AllInOneError as error:
            print(error)
        else:
            found.append(task)


def _answer(question: str, check: Callable[[str], object], default: str | None = None) -> str:
    """An answer that passes a check; asks again until it does."""
    while True:
        text = input(question).strip() or (default or '')
        if not text and default is None:
            continue
        try:
            if text:
                check(text)
        except AllInOneError as error:
            print(error)
        else:
            return text


def _one_of(names: list[str]) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in names:
            raise AllInOneError(f'{text!r} is none of {", ".join(names)}')

    return check
