"""PASCAL VOC 2007 and 2012: checks and links; docs/datasets/voc.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('voc', __doc__))
