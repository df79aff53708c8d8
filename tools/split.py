"""Cut a training list by groups of images: tools/split.py TRAIN_LIST --group REGEX --out-dir DIR"""

import sys

from allinone.cli.split import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
