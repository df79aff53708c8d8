"""Demo of `make demo`: toy scenes, joint training, test and images in one process."""

import sys

from allinone.cli.demo import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
