"""Check a config and its data without training: python tools/check.py CONFIG"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Make all checks that a training and a test make before their first step.',
        epilog='Exit status: 0; 1 if there are warnings, each of which is printed; 2 for an error '
        'that would stop the run.',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint of any content, which can run code',
    )
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # The libraries take seconds to import; --help does not wait for them.
    from allinone.cli.programs.check import run_check

    return run_check(args)
