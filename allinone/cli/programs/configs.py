"""Names of the ready configs, as text."""

import os
import shutil
import sys

from allinone.config.shipped import base_configs, comment_of, ready_configs


def list_configs(args) -> int:
    """What ``tools/configs.py`` does; the exit status."""
    names = base_configs() if args.bases else ready_configs()
    found = [name for name in names if all(word in name for word in args.words)]
    if not found:
        words = ' and '.join(map(repr, args.words))
        print(f'error: no config has {words} in its name; leave out a word', file=sys.stderr)
        return 2
    width = max(map(len, found)) + 2
    # On a terminal a line each; the end of a comment is of less use than a table.
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = (
        f'{name:<{width}}{"" if args.names else comment_of(name)}'.rstrip()[:room] for name in found
    )
    try:
        print('\n'.join(lines), flush=True)
    except BrokenPipeError:  # `head` has enough. Python would complain again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
