"""GTSRB to a picture list; docs/datasets/gtsrb.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('gtsrb', __doc__))
