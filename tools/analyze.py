"""Analyse trainings: python tools/analyze.py WORK_DIR..., affinity CONFIG CKPT, ..."""

import sys

from allinone.cli.analyze import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
