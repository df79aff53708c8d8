"""CompCars (431 models) to a picture list; docs/datasets/compcars.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('compcars', __doc__))
