"""A joint model of single-task ones: python tools/compose.py CONFIG --from cls=A det=B --out C."""

import argparse


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
        description='Make a checkpoint of a joint config from one checkpoint a task, stock or '
        'allinone, whose trunks are of one architecture. Heads are kept.'
    )
    parser.add_argument('config', help='config of the joint model')
    parser.add_argument(
        '--from',
        dest='sources',
        nargs='+',
        type=pair,
        required=True,
        metavar='TASK=CKPT',
        help='a checkpoint for each task',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints of any content, which can run code',
    )
    parser.add_argument('--out', required=True, help='checkpoint to write')
    parser.add_argument(
        '--trunk',
        default='average',
        help='average, arithmetic (ancestor plus scaled differences to it), or the task whose '
        'trunk is taken (default: %(default)s)',
    )
    parser.add_argument(
        '--weights',
        nargs='+',
        type=number,
        default=[],
        metavar='TASK=W',
        help='of the average (default 1 each), or scales of the arithmetic (default 1 / tasks)',
    )
    parser.add_argument('--ancestor', help='for arithmetic: checkpoint of the common ancestor')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # The libraries take seconds to import; --help does not wait for them.
    from allinone.reuse.compose import run_compose

    return run_compose(args)
