"""Train a joint model: python tools/train.py CONFIG [--work-dir D] ..."""

import sys

from allinone.cli.train import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
