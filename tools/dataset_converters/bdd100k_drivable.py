"""BDD100K drivable area to label maps; docs/datasets/bdd100k.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('bdd100k_drivable', __doc__))
