"""What the forks print while they are imported.

They try an optional package, and print at each import that it is not installed. Nothing follows
from it. MMEngine prints what is logged without a logger, so ``print`` is replaced in that module
alone.
"""

import builtins
import os

MESSAGES = frozenset({'Could not import OneDL', 'Could not import OneDL. Skipping OneDL datasets.'})
VARIABLE = 'ALLINONE_VERBOSE'
"""Environment variable that shows everything, if it is not empty."""


def install() -> None:
    """Keeps those messages off the console. Repeated calls change nothing."""
    # Imported late: programs import this module before MMEngine, whose import installs it.
    from mmengine.logging import logger

    logger.print = _print


def show() -> None:
    """Shows those messages, too, in this process and in those that it starts."""
    os.environ[VARIABLE] = '1'


def _print(*values, **options) -> None:
    if values in ((message,) for message in MESSAGES) and not os.environ.get(VARIABLE):
        return
    builtins.print(*values, **options)
