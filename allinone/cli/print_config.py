"""Print the config that a run reads: python tools/print_config.py CONFIG"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Print a config as a run reads it: with all that it inherits, short forms '
        'written out, and without its variables.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--diff', metavar='OTHER', help='print only how OTHER differs (+) from it')
    parser.add_argument(
        '--task',
        metavar='NAME',
        help="print only a task's model, dataloaders, evaluators and members of the score",
    )
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys (not of OTHER)'
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # The libraries take seconds to import; --help does not wait for them.
    from allinone.cli.programs.print_config import print_config

    return print_config(args)
