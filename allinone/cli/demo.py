"""The demo of `make demo`: toy scenes, joint training, test and inference in one process."""

import argparse


def parse_args():
    parser = argparse.ArgumentParser(description='Train, test and draw the toy model.')
    parser.add_argument('--config', default='configs/toy/mobilenetv2_toy.py', help='config file')
    parser.add_argument('--data', default='data/toy', help='folder of the toy scenes')
    parser.add_argument('--work-dir', default='work_dirs/demo', help='folder for the results')
    return parser.parse_args()


def main(args) -> int:
    from allinone.cli.programs.demo import run_demo

    return run_demo(args)
