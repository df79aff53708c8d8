"""GTSRB, COAD and CamVid to traffic_mini, as Track 1 does; docs/datasets/traffic_mini.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('traffic_mini', __doc__))
