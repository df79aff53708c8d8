"""Paint the built-in toy data: four small data sets of street scenes."""

import sys

from allinone.cli.make_toy_data import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
