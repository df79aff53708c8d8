"""Stanford Cars to a picture list; docs/datasets/stanford_cars.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('stanford_cars', __doc__))
