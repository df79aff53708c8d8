"""List the feature maps of a backbone: python tools/features.py BACKBONE"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='List the feature maps of a backbone, its parameters, and the sizes of images '
        'that it takes. Weights are neither needed nor read.'
    )
    parser.add_argument(
        'backbone',
        nargs='?',
        metavar='BACKBONE',
        help='a config file, a name in configs/_base_/backbones, timm:NAME or torchvision:NAME',
    )
    parser.add_argument(
        '--table',
        action='store_true',
        help='print a table of all in configs/_base_/backbones as Markdown',
    )
    args = parser.parse_args(argv)
    if (args.backbone is None) != args.table:
        parser.error('give a BACKBONE, or --table')
    return args


def main(args: argparse.Namespace) -> int:
    # The libraries take seconds to import; --help does not wait for them.
    from allinone.cli.programs.features import list_features

    return list_features(args)
