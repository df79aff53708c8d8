"""Run all tasks on images and videos: tools/infer.py [CONFIG] CKPT INPUT... --out-dir D."""

import sys

from allinone.cli.infer import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
