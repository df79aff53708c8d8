"""Write a config for own data, checked: python tools/init.py OUT.py --task NAME=KIND:DATA ..."""

import sys

from allinone.cli.init import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
