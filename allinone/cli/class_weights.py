"""Class weights of a segmentation task from its training label maps.

w_c = 1 / log(1.02 + p_c), with p_c the fraction of class c's pixels (ENet, arXiv:1606.02147,
section 5.2), divided by the mean weight of a pixel, so that the loss keeps its magnitude.
"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Print class weights for CrossEntropyLoss.')
    parser.add_argument('config', help='config file')
    parser.add_argument('task', help='a segmentation task of the config')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    from allinone.cli.programs.class_weights import print_class_weights

    return print_class_weights(args.config, args.task)
