"""The command ``allinone``: ``allinone NAME ...`` runs the program ``allinone.cli.NAME``."""

import argparse
import ast
import difflib
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import allinone
from allinone.io.program import COMMAND

SHELLS = ('bash', 'zsh')
# A program is a module with both; what is imported by none of them starts quickly.
PARTS = tuple(re.compile(rf'^def {name}\(', re.MULTILINE) for name in ('parse_args', 'main'))


def programs() -> dict[str, str]:
    """``{name of the command: module}``, such as ``{'print-config': 'print_config'}``."""
    return {
        path.stem.replace('_', '-'): path.stem
        for path in sorted(Path(__file__).parent.glob('*.py'))
        if all(part.search(path.read_text(encoding='utf-8')) for part in PARTS)
        and path.stem != Path(__file__).stem
    }


def summary(module: str) -> str:
    """First line of a program's docstring, without the call that may follow a colon."""
    text = Path(__file__).with_name(f'{module}.py').read_text(encoding='utf-8')
    line = (ast.get_docstring(ast.parse(text)) or '').partition('\n')[0]
    return line.partition(': python')[0].rstrip('.')


def main(argv: Sequence[str] | None = None) -> int:
    """Run a program; its exit status, or 2 where there is no such program.

    Args:
        argv: Name and arguments. Default: those of this process.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0].startswith('-'):
        return _without_program(argv)
    found = programs()
    name = argv[0].replace('_', '-')
    if name not in found:
        near = difflib.get_close_matches(name, found, 2)
        print(
            f'error: {COMMAND} has no command {argv[0]!r}; '
            + (f'do you mean {" or ".join(near)}?' if near else f'{COMMAND} --help lists them'),
            file=sys.stderr,
        )
        return 2
    module = import_module(f'allinone.cli.{found[name]}')
    # argparse takes the name of a program from there. Commands to resume are made of it later.
    sys.argv = [f'{COMMAND} {name}', *argv[1:]]
    args = module.parse_args()
    sys.argv = [COMMAND, name, *argv[1:]]
    return module.main(args)


def _without_program(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        usage='%(prog)s COMMAND ...',
        description='Train, test and use joint models of classification, detection and '
        'segmentation.',
        epilog=_listed(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'%(prog)s {allinone.__version__}')
    parser.add_argument(
        '--print-completion',
        choices=SHELLS,
        metavar='SHELL',
        help=f'print the script that completes words in a shell ({", ".join(SHELLS)})',
    )
    args = parser.parse_args(argv)
    if args.print_completion is None:
        parser.print_help(sys.stderr)
        return 2
    from allinone.cli.programs.completion import completion

    print(completion(args.print_completion))
    return 0


def _listed() -> str:
    lines = [f'  {name:<16}{summary(module)}' for name, module in programs().items()]
    return '\n'.join(['commands:', *lines, '', f'{COMMAND} COMMAND --help says more of one.'])
