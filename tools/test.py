"""Test a joint model: python tools/test.py CONFIG CKPT [--tasks cls det] ..."""

import sys

from allinone.cli.test import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
