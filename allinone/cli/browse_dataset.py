"""Draw augmented training samples: python tools/browse_dataset.py CONFIG --out-dir D"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw images and annotations of each source as models receive them.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--out-dir',
        required=True,
        help='folder for SOURCE/NUMBER-NAME.jpg, and SOURCE.jpg with all images',
    )
    parser.add_argument('--tasks', nargs='+', metavar='NAME', help='only these sources or tasks')
    parser.add_argument(
        '--count', type=int, default=16, help='images per source (default: %(default)s)'
    )
    parser.add_argument(
        '--stage', default='train', help='train, val or test (default: %(default)s)'
    )
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.cli.programs.browse import run_browse

    return run_browse(args)
