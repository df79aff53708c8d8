"""Side-by-side timings: python tools/benchmark.py step CONFIG"""

import argparse
import sys


def parse_args():
    parser = argparse.ArgumentParser(description='Measure against the peer in one run.')
    parser.add_argument(
        'what',
        choices=['step'],
        help='step: a joint training step against the '
        'sum of the stock single-task steps on the same batches',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--rounds', type=int, default=20, help='measured rounds')
    parser.add_argument('--out', help='write the figures to this JSON file')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    return parser.parse_args()


def main(args) -> int:
    from allinone.apis.benchmark import run_benchmark

    return run_benchmark(args)


if __name__ == '__main__':
    sys.exit(main(parse_args()))
