"""Extract tasks of a joint model: python tools/extract.py CONFIG CKPT --tasks det --out DIR."""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write the sub-network for some tasks, without training: a joint model of '
        'fewer tasks, and for a single task also a config and checkpoint for its library.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint with any types, which can run code',
    )
    parser.add_argument('--tasks', nargs='+', required=True, help='tasks to extract')
    parser.add_argument('--out', required=True, help='folder for the configs and checkpoints')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.reuse.extract import run_extract

    return run_extract(args)
