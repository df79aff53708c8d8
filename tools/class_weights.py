"""Class weights of a segmentation task from its training label maps."""

import sys

from allinone.cli.class_weights import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
