"""Draw training samples after augmentation: python tools/browse_dataset.py CONFIG --out-dir D"""

import sys

from allinone.cli.browse_dataset import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
