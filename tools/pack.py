"""Pack a folder into a few large files: tools/pack.py FOLDER --out NAME.{pack,lmdb}"""

import sys

from allinone.cli.pack import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
