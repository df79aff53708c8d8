"""Build and search galleries of embeddings: tools/gallery.py build|add|remove|search|calibrate."""

import sys

from allinone.cli.gallery import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
