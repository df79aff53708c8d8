"""Label images by trained models: tools/pseudo_label.py CKPT... --images FOLDER --out DIR ..."""

import sys

from allinone.cli.pseudo_label import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
