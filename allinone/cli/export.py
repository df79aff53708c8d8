"""Export all tasks as one graph: python tools/export.py CKPT --format onnx --out F.onnx."""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write a trained model as one graph for all tasks, in which the backbone runs '
        'once, for runtimes that have no allinone.',
        epilog='Exit status: 0; 2 after an error in options or checkpoint, with nothing written.',
    )
    parser.add_argument(
        'model',
        metavar='CKPT',
        help='checkpoint; a work dir means its best checkpoint, else its newest; or a config',
    )
    parser.add_argument('weights', nargs='?', help='checkpoint or work dir, after a config')
    parser.add_argument(
        '--format',
        required=True,
        choices=('onnx', 'pt2', 'openvino'),
        help="the format; pt2 is PyTorch's own, which torch alone loads",
    )
    parser.add_argument('--out', required=True, metavar='F', help='F.onnx, F.pt2 or F.xml')
    parser.add_argument('--tasks', nargs='+', help='tasks of the graph (default: all)')
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='height and width of the images (default: of the test pipelines)',
    )
    parser.add_argument(
        '--dynamic',
        default='',
        metavar='batch,size',
        help='leave the number of images, their size or both free',
    )
    parser.add_argument(
        '--precision',
        default='fp32',
        choices=('fp32', 'fp16', 'int8'),
        help='in which backbone and heads are computed (default: %(default)s)',
    )
    parser.add_argument(
        '--calibrate',
        metavar='CONFIG',
        help='config whose train images set the ranges of values in int8',
    )
    parser.add_argument(
        '--calibration-images',
        type=int,
        default=128,
        metavar='N',
        help='number of these images (default: %(default)s)',
    )
    parser.add_argument(
        '--keep-float',
        nargs='+',
        default=(),
        metavar='PATTERN',
        help='layers that int8 leaves in float32, such as "heads.det_.*"; default: searched',
    )
    parser.add_argument(
        '--raw',
        action='store_true',
        help='end after the heads: all boxes before suppression, logits of pixels',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace files that are there')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint with any types, which can run code',
    )
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from .programs.export import run_export

    return run_export(args)
