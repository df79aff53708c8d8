"""How this process was begun: by the installed command or by a file of tools/."""

import sys
from pathlib import Path

COMMAND = 'allinone'
TOOLS = Path(__file__).parents[2] / 'tools'


def by_command() -> bool:
    """Whether the command ``allinone`` runs, also as ``python -m allinone``."""
    # While it parses, the first word has the program, too.
    return Path(sys.argv[0]).stem.split(' ')[0] == COMMAND


def program(name: str) -> str:
    """A program as the user calls it: ``tools/pack.py``, or ``allinone pack`` without a checkout.

    Args:
        name: Its module in ``allinone.cli``.
    """
    if by_command() or not TOOLS.joinpath(f'{name}.py').is_file():
        return f'{COMMAND} {name.replace("_", "-")}'
    return f'tools/{name}.py'


def called(name: str) -> str:
    """As :func:`program`, with the Python that runs a file: ``python tools/pack.py``."""
    found = program(name)
    return found if found.startswith(COMMAND) else f'python {found}'


def prog_of(kind: str) -> str:
    """Name for argparse of a kind of a program's calls: ``analyze.py compare``."""
    return f'{Path(sys.argv[0]).name} {kind}'
