"""Label images by trained models: python tools/pseudo_label.py CKPT... --images I --out DIR ..."""

import argparse

from .infer import at_least_one


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage='%(prog)s [CONFIG] CKPT [[CONFIG] CKPT ...] --images IMAGES '
        '--held-out TASK=FILE [TASK=FILE ...] --out DIR [options]',
        description='Label images by trained models (teachers). On held-out labelled images each '
        'class gets the lowest score from which on its predictions have the wanted precision.',
        epilog='Exit status: 0; 1 if an image was left out; 2 after an error in options, data or '
        'checkpoints; 130 if interrupted (continue with --resume).',
    )
    parser.add_argument(
        'teachers',
        nargs='+',
        metavar='[CONFIG] CKPT',
        help='checkpoints, each one with its config before it if it is not in the checkpoint; a '
        'work dir means its best checkpoint, else its newest',
    )
    parser.add_argument(
        '--images',
        required=True,
        help='what to label: a folder with its subfolders, a text file with a path a line, or a '
        "source of the teacher's train_dataloader",
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        metavar='TASK[=CKPT]',
        help='only these tasks (default: all of the teachers); with =CKPT the teacher that labels '
        'it, where several have it',
    )
    parser.add_argument(
        '--held-out',
        nargs='+',
        required=True,
        metavar='TASK=FILE',
        help='labelled images that the teacher has not learnt from, as an annotation file in the '
        'format of the training data of the task',
    )
    parser.add_argument(
        '--config', help="config whose training data have this format (default: the teacher's)"
    )
    parser.add_argument('--out', required=True, help='folder for the labels; new or empty')
    parser.add_argument(
        '--precision',
        nargs='+',
        default=['.7'],
        metavar='P|TASK=P',
        help='share of the labels of a class that are right (default: .7)',
    )
    parser.add_argument(
        '--ignore-precision',
        default='.3',
        metavar='P',
        help='the same, lower, for boxes that training ignores; 1: none (default: %(default)s)',
    )
    parser.add_argument(
        '--min-predictions',
        type=at_least_one,
        default=5,
        metavar='N',
        help='held-out predictions behind a threshold, for pixels images with such a pixel, at '
        'least (default: %(default)s)',
    )
    parser.add_argument(
        '--batch-size',
        type=at_least_one,
        default=8,
        help='maximum number of images of one size per pass (default: %(default)s)',
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: cuda if available)')
    parser.add_argument(
        '--resume', action='store_true', help='continue an interrupted run in --out'
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints with any types, which can run code',
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.cli.programs.pseudo_label import pseudo_label

    return pseudo_label(args)
