"""Re-estimate batch norm statistics: python tools/precise_bn.py CONFIG CKPT --out NEW_CKPT"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Re-estimate batch norm's running statistics over a mix of the tasks' "
        'training images; weights do not change.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, help='checkpoint to write')
    parser.add_argument('--batches', type=int, default=50, help='number of batches per task')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint with any types, which can run code',
    )
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.cli.programs.precise_bn import run_precise_bn

    return run_precise_bn(args)
