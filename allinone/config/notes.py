"""Notes for the user about what a config was read as."""

import os
import sys

_said: set[str] = set()


def say(sentence: str) -> None:
    """Print a note on stderr once per run, in the first process."""
    if sentence not in _said:
        _said.add(sentence)
        if os.environ.get('RANK', '0') == '0':
            print(f'note: {sentence}', file=sys.stderr)
