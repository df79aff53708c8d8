"""Re-estimate batch norm statistics: python tools/precise_bn.py CONFIG CKPT --out NEW_CKPT"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Estimate batch norm's running statistics again, over a mix of the tasks' "
        'training images; no weight is changed.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, help='the new checkpoint')
    parser.add_argument('--batches', type=int, default=50, help='batches of each task')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint of any content, which can run code',
    )
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.cli.programs.precise_bn import run_precise_bn

    return run_precise_bn(args)
