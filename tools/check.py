"""Check a config and its data without training: python tools/check.py CONFIG"""

import sys

from allinone.cli.check import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
