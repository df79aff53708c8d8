"""List the ready configs: python tools/configs.py [WORD ...]"""

import sys

from allinone.cli.configs import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
