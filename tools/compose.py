"""Compose single-task models: tools/compose.py CONFIG --checkpoints cls=A det=B --out C."""

import sys

from allinone.cli.compose import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
