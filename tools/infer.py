"""All tasks on pictures: python tools/infer.py CONFIG CKPT PICTURE_OR_FOLDER... --out-dir D."""

import argparse
import sys


def at_least_one(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f'must be 1 or more, not {number}')
    return number


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Run all tasks of a joint model on pictures, and draw what they find.',
        epilog='Exit status: 0; 1 if an input was skipped; 2 if config or checkpoint is at fault.',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        'inputs', nargs='+', metavar='PICTURE_OR_FOLDER', help='picture files, or folders of them'
    )
    parser.add_argument(
        '--out-dir', required=True, help='folder for vis/NAME.jpg and predictions/NAME.json'
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint of any content, which can run code',
    )
    parser.add_argument('--tasks', nargs='+', help='only these tasks')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: cuda if there is one)')
    parser.add_argument(
        '--batch-size',
        type=at_least_one,
        default=1,
        help='pictures of one size in a pass (default: %(default)s)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='draw no box below this score; the JSON has all (default: %(default)s)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='change config keys, e.g. "inference.scale=(960, 540)"',
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # The libraries take seconds to import; --help does not wait for them.
    from allinone.apis.inferencer import infer

    return infer(args)


if __name__ == '__main__':
    sys.exit(main(parse_args()))
