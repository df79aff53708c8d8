"""Side-by-side timings: python tools/benchmark.py {step,balancers,guards,peers}"""

import argparse
import sys


def parse_args():
    parser = argparse.ArgumentParser(description='Measure against the peer in one run.')
    kinds = parser.add_subparsers(dest='what', required=True)
    step = kinds.add_parser(
        'step',
        help='a joint training step against the sum of the stock single-task steps on the same '
        'batches',
    )
    balancers = kinds.add_parser(
        'balancers', help="each balancing method's time and memory against fixed weights"
    )
    guards = kinds.add_parser(
        'guards', help='a training step with and without what guards it, and the cost of saves'
    )
    peers = kinds.add_parser(
        'peers', help="results and time of balancing methods against TorchJD's on a small model"
    )
    for parser_of_config in (step, balancers, guards):
        parser_of_config.add_argument('config', help='config file')
        parser_of_config.add_argument(
            '--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys'
        )
    balancers.add_argument('--methods', nargs='+', metavar='NAME', help='only these methods')
    for kind in (step, balancers, guards, peers):
        kind.add_argument('--rounds', type=int, default=20, help='measured rounds')
        kind.add_argument('--out', help='write the figures to this JSON file')
    return parser.parse_args()


def main(args) -> int:
    from allinone.apis.benchmarks.run import run_benchmark

    return run_benchmark(args)


if __name__ == '__main__':
    sys.exit(main(parse_args()))
