"""Draw toy scenes, train three tasks on them, and show the result: python tools/demo.py"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw toy scenes, train three tasks on them, test the model, predict an image '
        'and write a report. Nothing but allinone is needed.'
    )
    parser.add_argument(
        '--config', default='toy/mobilenetv2_toy', help='config file (default: %(default)s)'
    )
    parser.add_argument(
        '--data', default='data/toy', help='folder of the toy scenes (default: %(default)s)'
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/demo',
        help='folder for the results (default: %(default)s)',
    )
    parser.add_argument(
        '--images', type=int, metavar='N', help='as of make_toy_data: fewer for a quick look'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='change config keys, e.g. train_cfg.max_iters=20',
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    from allinone.cli.programs.demo import run_demo

    return run_demo(args)
