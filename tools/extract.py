"""Extract tasks from a joint model: tools/extract.py CONFIG CKPT --tasks det --out DIR."""

import sys

from allinone.cli.extract import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
