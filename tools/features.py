"""List the feature maps of a backbone: python tools/features.py BACKBONE"""

import sys

from allinone.cli.features import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
