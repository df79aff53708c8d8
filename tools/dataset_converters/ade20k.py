"""ADE20K (150 classes): checks and links; docs/datasets/ade20k.md."""

import sys

from command_line import run

if __name__ == '__main__':
    sys.exit(run('ade20k', __doc__))
