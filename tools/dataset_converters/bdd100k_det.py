"""BDD100K detection to COCO boxes; docs/datasets/bdd100k.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('bdd100k_det', __doc__, release=('2020', '2018')))
