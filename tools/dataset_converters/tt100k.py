"""TT100K (45 classes) to COCO boxes; docs/datasets/tt100k.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('tt100k', __doc__))
