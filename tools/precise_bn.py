"""Re-estimate batch norm statistics: python tools/precise_bn.py CONFIG CKPT --out NEW_CKPT"""

import sys

from allinone.cli.precise_bn import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
