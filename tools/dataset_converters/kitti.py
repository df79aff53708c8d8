"""KITTI 2D object detection (8 classes) to COCO boxes; docs/datasets/kitti.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('kitti', __doc__))
