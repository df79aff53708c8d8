"""Export all tasks as one graph: tools/export.py CKPT --format onnx --out F.onnx."""

import sys

from allinone.cli.export import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main(parse_args()))
