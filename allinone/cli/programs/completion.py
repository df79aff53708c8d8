"""Scripts by which a shell completes the words of the command ``allinone``."""

import argparse
import zlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import shtab

from allinone.cli.entry import SHELLS, programs, summary
from allinone.io.program import COMMAND

# Arguments with a config, whose names the command itself lists; a shell completes files, too.
CONFIGS = ('config', 'configs', 'diff')
FOLDERS = ('dir', 'dirs', 'folder')


class _Caught(Exception):
    """A parser that was about to parse."""


def completion(shell: str) -> str:
    """The script for a shell: commands, their options, and names of configs.

    Args:
        shell: bash or zsh.
    """
    root = argparse.ArgumentParser(prog=COMMAND)
    root.add_argument('--version', action='store_true', help='print the version')
    root.add_argument('--print-completion', choices=SHELLS, help='print this script')
    commands = root.add_subparsers()
    for name, module in programs().items():
        program = import_module(f'allinone.cli.{module}')
        _add(commands, name, program, summary(module))
    return shtab.complete(root, shell)


def _add(commands, name: str, program: ModuleType, words: str) -> None:
    caught = parser_of(program, [])
    kinds = getattr(program, 'PARSERS', ())
    parser = commands.add_parser(name, parents=[caught], add_help=False, help=words)
    _say_what_completes(parser)
    if kinds:
        # The words stand where the first argument does.
        first = next(action for action in parser._actions if not action.option_strings)
        first.complete = _command_or_file(f'echo {" ".join(kinds)}')


def parser_of(program: ModuleType, argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser that a program makes. Each makes its own when it parses, so it is caught there."""
    before = argparse.ArgumentParser.parse_args

    def catch(self, *args, **kwargs):
        raise _Caught(self)

    argparse.ArgumentParser.parse_args = catch  # type: ignore[method-assign]
    try:
        program.parse_args(list(argv))
    except _Caught as caught:
        return caught.args[0]
    finally:
        argparse.ArgumentParser.parse_args = before  # type: ignore[method-assign]
    raise AssertionError(f'{program.__name__} has no parser')


def _say_what_completes(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                _say_what_completes(part)
        elif action.nargs != 0 and action.choices is None and _is_text(action):
            action.complete = _complete(action)  # type: ignore[attr-defined]


def _is_text(action: argparse.Action) -> bool:
    return action.type in (None, Path) and '=' not in str(action.metavar)


def _complete(action: argparse.Action) -> dict[str, Any]:
    if action.dest in CONFIGS:
        return _command_or_file(f'{COMMAND} configs --names')
    if action.dest.split('_')[-1] in FOLDERS:
        return shtab.DIRECTORY
    return shtab.FILE


def _command_or_file(command: str) -> dict[str, Any]:
    """What a command prints, and files."""
    number = zlib.crc32(command.encode())
    of_bash, of_zsh = f'_{COMMAND}_words_or_file_{number}', f'_{COMMAND}_words_{number}'
    bash = f'{of_bash}() {{\n  compgen -W "$({command})" -- $1\n  compgen -f -- $1\n}}\n'
    zsh = f'{of_zsh}() {{\n  compadd -- $({command})\n  _files\n}}\n'
    return dict(bash=of_bash, zsh=of_zsh, preamble=dict(bash=bash, zsh=zsh))
