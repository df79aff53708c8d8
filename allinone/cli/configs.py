"""List the ready configs: python tools/configs.py [WORD ...]"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='List the configs that come with allinone. Programs take such a name in place '
        'of a path; a file that exists wins.',
        epilog="A config of your own inherits from one by _base_ = 'allinone::NAME.py'.",
    )
    parser.add_argument('words', nargs='*', metavar='WORD', help='only names with all of these')
    parser.add_argument('--names', action='store_true', help='only the names')
    parser.add_argument(
        '--bases',
        action='store_true',
        help='the parts that configs are made of: backbones, tasks, data sets, schedules',
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    from allinone.cli.programs.configs import list_configs

    return list_configs(args)
