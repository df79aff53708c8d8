"""CamVid (11 classes of SegNet) to label maps; docs/datasets/camvid.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('camvid', __doc__))
