"""Pack a folder of many files into few: python tools/pack.py FOLDER --out NAME.{pack,lmdb}"""

import sys

from allinone.cli.pack import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
