"""Cut a training list in two by groups of images: python tools/split.py TRAIN_LIST --out-dir DIR"""

import argparse
import sys


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Hold out a part of a training list, such as for early stopping or thresholds. '
        'Writes NAME_train and NAME_held_out; images of a group stay together.',
    )
    parser.add_argument(
        'list',
        metavar='TRAIN_LIST',
        help='a COCO file (.json), or a text file with a stem or NAME LABEL a line',
    )
    parser.add_argument(
        '--share',
        type=float,
        default=0.15,
        help='fraction of the images to hold out (default: %(default)s)',
    )
    parser.add_argument(
        '--group',
        metavar='REGEX',
        help='the group of an image is what the first parenthesis of this expression matches in '
        'its file name, else the whole match; default: each image is a group',
    )
    parser.add_argument(
        '--by-identity',
        action='store_true',
        help='the list has PATH IDENTITY [CAMERA] a line, and all images of an identity stay '
        'together',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='another one holds out other groups (default: 0)'
    )
    parser.add_argument('--out-dir', required=True, metavar='DIR', help='folder of both files')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    """Cut the list; returns 0, or 2 if it cannot be cut."""
    from allinone.conversion.split import split_list
    from allinone.errors import AllInOneError

    try:
        found = split_list(
            args.list, args.out_dir, args.share, args.group, args.seed, args.by_identity
        )
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    grouped = args.group is not None or args.by_identity
    total = found.train.images + found.held_out.images
    for part in (found.train, found.held_out):
        images = f'{part.images:,} images ({part.images / total:.1%})'
        print(f'{part.path}: {images}' + (f' in {part.groups:,} groups' if grouped else ''))
    if found.left_out:
        print(f'{found.left_out:,} annotations that belong to no image are in neither part.')
    if not grouped:
        print(
            'Each image is a group of its own: near-copies, such as frames of one track or crops '
            'of one scene, are not kept together; --group REGEX does so.'
        )
    return 0
