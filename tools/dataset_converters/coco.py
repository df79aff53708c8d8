"""COCO 2017 detection: checks and links; docs/datasets/coco.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('coco', __doc__))
