"""The page of the commands, from their parsers."""

import argparse
import re
from collections.abc import Iterator
from importlib import import_module

from allinone.cli.entry import programs, summary
from allinone.cli.programs.completion import parser_of

PAGE = 'reference/commands.md'
HEAD = """\
# Commands
Each program is a command, `allinone NAME`, and in a checkout a file, `python tools/NAME.py` (with
`_` for `-`). Both are the same program. The exit status is 0 if the program did its work, and 2 if
the command line, the config or the data are at fault, unless another is said below.
`allinone --print-completion bash` (or `zsh`) prints a script that completes words.
"""
WIDTH = 80
PROG = '%(prog)s'


def page() -> str:
    """Markdown of all commands with their arguments."""
    parts = [HEAD]
    for name, module in programs().items():
        program = import_module(f'allinone.cli.{module}')
        parts.append(f'## allinone {name}\n{summary(module)}.\n')
        parts += _described(parser_of(program, []), f'allinone {name}', 3)
        for kind in getattr(program, 'PARSERS', ()):
            parts.append(f'### allinone {name} {kind}\n')
            parts += _described(parser_of(program, [kind]), f'allinone {name} {kind}', 4)
    return '\n'.join(parts)


def _described(parser: argparse.ArgumentParser, prog: str, level: int) -> Iterator[str]:
    parser.prog = prog
    # Names that parsers write with their program
    shown = argparse.HelpFormatter(prog, width=WIDTH)
    shown.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    if parser.description:
        yield _text(parser.description.replace(PROG, prog)) + '\n'
    yield f'```text\n{shown.format_help().strip()}\n```\n'
    nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    shown_actions = [a for a in parser._actions if a not in nested and a.dest != 'help']
    rows = [_row(a, prog) for a in shown_actions if a.help != argparse.SUPPRESS]
    if rows:
        yield '\n'.join(['| argument | meaning |', '|---|---|', *rows]) + '\n'
    if parser.epilog and not nested:
        yield _text(parser.epilog.replace(PROG, prog)) + '\n'
    elif parser.epilog:
        yield f'```text\n{parser.epilog.replace(PROG, prog)}\n```\n'
    for action in nested:
        for name, part in action.choices.items():
            yield f'{"#" * level} {prog} {name}\n'
            yield from _described(part, f'{prog} {name}', level + 1)


def _row(action: argparse.Action, prog: str) -> str:
    values = vars(action) | dict(prog=prog)
    if action.choices is not None:
        values['choices'] = ', '.join(map(str, action.choices))
    words = (action.help or '') % values
    word = action.metavar or action.dest
    if action.option_strings:
        takes = '' if action.nargs == 0 else ' ' + (_choices(action) or _word(action))
        name = ', '.join(f'`{option}{takes}`' for option in action.option_strings)
    else:
        name = f'`{word if isinstance(word, str) else " ".join(word)}`'
    return f'| {_cell(name)} | {_cell(_text(words))} |'


def _choices(action: argparse.Action) -> str:
    return '|'.join(map(str, action.choices)) if action.choices is not None else ''


def _word(action: argparse.Action) -> str:
    word = action.metavar or action.dest.upper()
    word = word if isinstance(word, str) else ' '.join(word)
    return {'+': f'{word}...', '*': f'[{word}...]', '?': f'[{word}]'}.get(str(action.nargs), word)


def _cell(text: str) -> str:
    return text.replace('|', '&#124;') if '`' not in text else text.replace('|', '\\|')


def _text(text: str) -> str:
    """Text of a terminal as Markdown: as written, with configs and options as code."""
    text = re.sub(r'([<>*])', r'\\\1', ' '.join(text.split()))
    return re.sub(r'(?<![\w`-])(--[a-z][\w-]*)', r'`\1`', text)


def on_files(files, config):
    """Called by MkDocs with the files that it found."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=page()))
    return files
