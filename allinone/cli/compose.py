"""Compose a joint model: python tools/compose.py CONFIG --checkpoints cls=A det=B --out C."""

import argparse

from allinone.io.renames import current_options


def pair(value: str) -> tuple[str, str]:
    name, equals, given = value.partition('=')
    if not (name and equals and given):
        raise argparse.ArgumentTypeError(f'{value!r} is not TASK=VALUE')
    return name, given


def number(value: str) -> tuple[str, str]:
    name, given = pair(value)
    try:
        float(given)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{value!r} is not TASK=NUMBER') from error
    return name, given


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Make a checkpoint of a joint config from one checkpoint per task, upstream or '
        'allinone, with the same backbone architecture. Heads do not change.'
    )
    parser.add_argument('config', help='config of the joint model')
    parser.add_argument(
        '--checkpoints',
        dest='sources',
        nargs='+',
        type=pair,
        required=True,
        metavar='TASK=CKPT',
        help='a checkpoint for each task: a path, a URL, or a model of a library such as '
        'det=mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco; tasks without one are left to train',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints with any types, which can run code',
    )
    parser.add_argument('--out', required=True, help='checkpoint to write')
    parser.add_argument(
        '--backbone',
        default='average',
        help='average, arithmetic (base checkpoint plus scaled differences to it), or the task '
        'whose backbone is used (default: %(default)s)',
    )
    parser.add_argument(
        '--weights',
        nargs='+',
        type=number,
        default=[],
        metavar='TASK=W',
        help='weights of the average (default: 1), or scales of arithmetic (default: 1 / tasks)',
    )
    parser.add_argument(
        '--base-checkpoint',
        help='for arithmetic: the checkpoint that all models were fine-tuned from',
    )
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    return parser.parse_args(current_options('compose', argv))


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.reuse.compose import run_compose

    return run_compose(args)
