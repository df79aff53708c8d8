"""BDD100K lane markings to label maps; docs/datasets/bdd100k.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('bdd100k_lane', __doc__, labels=('category', 'direction', 'style')))
