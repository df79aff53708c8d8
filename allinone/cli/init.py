"""Write a config for own data, checked: python tools/init.py OUT.py --task NAME=KIND:DATA ..."""

import argparse

# As in allinone.cli.programs.init, which is not imported here
MACHINES = ('small', 'large')


def at_least_32(value: str) -> int:
    number = int(value)
    if number < 32:
        raise argparse.ArgumentTypeError(f'must be 32 or more, not {number}')
    return number


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write a config that trains tasks on own data, and check it as check does. On '
        'a terminal, questions replace the options that are missing.',
        epilog='Exit status: 0; 2 if an option, the data or the config is at fault: then nothing '
        'is written; 130 if interrupted.',
    )
    parser.add_argument('out', metavar='OUT.py', help='config to write; must not exist')
    parser.add_argument(
        '--task',
        dest='tasks',
        nargs='+',
        action='extend',
        default=[],
        metavar='NAME=KIND:DATA',
        help='a free name; classification, multi-label, detection, segmentation or a head of '
        'configs/_base_/tasks; and a folder that convert wrote, a file like its data_set.py, or a '
        'name in configs/_base_/datasets',
    )
    parser.add_argument(
        '--backbone',
        metavar='NAME',
        help='of configs/_base_/backbones (default: mobilenetv3_l, on a large machine convnext_t)',
    )
    parser.add_argument(
        '--machine',
        choices=MACHINES,
        help='small: halved batches, images of at most 640 pixels; large, such as a GPU with 24 '
        'GB: doubled batches, images as they were converted (default: small)',
    )
    parser.add_argument(
        '--image-size',
        type=at_least_32,
        metavar='N',
        help='longest side of the images of converted folders, in place of that of the machine',
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # The libraries take seconds to import; --help does not wait for them.
    from allinone.cli.programs.init import run_init

    return run_init(args)
