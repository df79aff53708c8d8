"""Convert a downloaded data set: python tools/convert.py NAME SOURCE OUT [--link hard] ..."""

import sys

from allinone.cli.convert import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
