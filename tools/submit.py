"""Write or check a submission to Track 1."""

import sys

from allinone.cli.submit import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
