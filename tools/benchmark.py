"""Side-by-side timings: python tools/benchmark.py --help lists the kinds."""

import argparse
import sys
from pathlib import Path

from allinone.cli.infer import size
from allinone.io.renames import current_options


def parse_args():
    parser = argparse.ArgumentParser(description='Measure against a baseline in one run.')
    kinds = parser.add_subparsers(dest='what', required=True)
    step = kinds.add_parser(
        'step',
        help='a joint training step against the sum of the upstream single-task steps on the same '
        'batches',
    )
    shared = kinds.add_parser(
        'shared',
        help='a step on images with labels of several tasks against its parts, a plain PyTorch '
        'loop and a step of each task',
    )
    balancers = kinds.add_parser(
        'balancers', help='time and memory of each balancing method against fixed weights'
    )
    overhead = kinds.add_parser(
        'overhead',
        help='a training step with and without the checks of training, and the cost of saves',
    )
    resume = kinds.add_parser(
        'resume', help='time to the first step of a fresh training and of one at step 1,000,000'
    )
    torchjd = kinds.add_parser(
        'torchjd', help="results and time of balancing methods against TorchJD's on a small model"
    )
    coco = kinds.add_parser(
        'coco', help='COCO evaluation by faster-coco-eval and by pycocotools on made-up images'
    )
    coco.add_argument('--images', type=int, default=5000)
    coco.add_argument('--classes', type=int, default=80)
    dist = kinds.add_parser(
        'dist', help='time of a step of several processes, with and without overlap, and messages'
    )
    batch_norm = kinds.add_parser(
        'batch-norm', help='losses in training and evaluation mode after alternating the tasks'
    )
    precision = kinds.add_parser(
        'precision', help='a step in float32 and bfloat16, in either memory layout, and compiled'
    )
    data = kinds.add_parser('data', help='training images per second from files, tars and LMDB')
    infer = kinds.add_parser(
        'infer',
        help='prediction in one pass against upstream models of the tasks, and against the '
        'backbone once plus heads; tools/infer.py against the bare model',
    )
    metrics = kinds.add_parser(
        'infer-metrics',
        help='metrics of the predictions of both modes of inference, beside those of a test',
    )
    for parser_of_config in (
        *(step, shared, balancers, overhead, resume, infer, metrics),
        *(dist, batch_norm, precision, data),
    ):
        parser_of_config.add_argument('config', help='config file')
        parser_of_config.add_argument(
            '--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys'
        )
    infer.add_argument('checkpoint', help='checkpoint file')
    metrics.add_argument('checkpoint', help='checkpoint file')
    metrics.add_argument(
        '--fit',
        type=size,
        metavar='WxH',
        help='enlarge images, boxes and label maps to fit this first, with their ratio kept',
    )
    infer.add_argument(
        'images', nargs='*', help='files or folders (default: test images of the config)'
    )
    infer.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint of any content, which can run code',
    )
    balancers.add_argument(
        '--methods', nargs='+', metavar='NAME', help='methods (default: all except wrappers)'
    )
    precision.add_argument('--kinds', nargs='+', metavar='NAME', help='kinds (default: all)')
    dist.add_argument('--processes', type=int, default=2, help='processes on this machine')
    data.add_argument('--task', metavar='TASK', help='task (default: all)')
    for kind in (
        *(step, shared, balancers, overhead, resume, torchjd, coco),
        *(infer, dist, batch_norm, precision, data),
    ):
        what = 'training steps of each kind' if kind is batch_norm else 'measured rounds'
        kind.add_argument('--rounds', type=int, default=20, help=what)
    metrics.set_defaults(rounds=1)
    for kind in kinds.choices.values():
        kind.add_argument('--out', help='write the values to this JSON file')
    return parser.parse_args(current_options('benchmark'))


def main(args) -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from benchmarks.run import run_benchmark

    return run_benchmark(args)


if __name__ == '__main__':
    sys.exit(main(parse_args()))
