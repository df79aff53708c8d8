"""Cityscapes (19 classes): label maps of the training ids; docs/datasets/cityscapes.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('cityscapes', __doc__))
