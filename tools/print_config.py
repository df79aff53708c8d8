"""Print the config that a run reads: python tools/print_config.py CONFIG"""

import sys

from allinone.cli.print_config import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
