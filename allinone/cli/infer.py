"""Run all tasks on images and videos: python tools/infer.py [CONFIG] CKPT INPUT... --out-dir D."""

import argparse

from allinone.io.renames import current_options


def at_least_one(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f'must be 1 or more, not {number}')
    return number


def size(value: str) -> tuple[int, int]:
    """Parse ``WxH``, for argparse."""
    return _sides(value, 'WIDTHxHEIGHT in pixels')


def scale(value: str) -> tuple[int, int] | str | None:
    """Parse ``WxH``, ``none`` or ``tested``, for argparse."""
    if value in ('none', 'tested'):
        return None if value == 'none' else value
    return _sides(value, "WIDTHxHEIGHT in pixels, 'none' or 'tested'")


def _sides(value: str, expected: str) -> tuple[int, int]:
    sides = value.lower().split('x')
    if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f'must be {expected}, not {value!r}')
    return int(sides[0]), int(sides[1])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage='%(prog)s [CONFIG] CKPT INPUT [INPUT ...] --out-dir D [options]',
        description='Run all tasks of a joint model on images and videos, and draw the results.',
        epilog='Exit status: 0; 1 if an input was skipped; 2 after an error in config, checkpoint '
        'or output; 130 if interrupted.',
    )
    parser.add_argument(
        'model',
        metavar='[CONFIG] CKPT',
        help='config file and checkpoint; or only a checkpoint, with its embedded config; '
        'a work dir means its best checkpoint, else its newest; or a graph of tools/export.py',
    )
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help="image, address of an image, folder of images, pattern ('street/*.jpg'), video, or "
        'camera number',
    )
    parser.add_argument(
        '--out-dir',
        required=True,
        help='folder for vis/NAME.jpg and .mp4, predictions/NAME.json, predictions.jsonl',
    )
    parser.add_argument(
        '--resume', action='store_true', help='continue an interrupted run in --out-dir'
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint with any types, which can run code',
    )
    parser.add_argument(
        '--no-urls', action='store_true', help='fetch no addresses, where others choose the inputs'
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        help="only these tasks (default: the config's inference.tasks, or all)",
    )
    parser.add_argument(
        '--classify-boxes', metavar='TASK', help='classification task to run on each detected box'
    )
    parser.add_argument(
        '--embed-boxes',
        metavar='TASK',
        help='retrieval task that gives each detected box an embedding, to search for in a gallery',
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: cuda if available)')
    parser.add_argument(
        '--batch-size',
        type=at_least_one,
        default=8,
        help='maximum number of images of one size per pass (default: %(default)s)',
    )
    parser.add_argument(
        '--scale',
        type=scale,
        default='tested',
        metavar='WxH|none|tested',
        help="resize images to fit WxH, keeping the aspect ratio; 'none': no resizing; 'tested': "
        "the config's inference.scale, else the largest test scale of detection and segmentation "
        'tasks (default: %(default)s)',
    )
    parser.add_argument(
        '--as-tested',
        action='store_const',
        const='as_tested',
        dest='mode',
        help='make the input of each task by the test pipeline of its data set, at the cost of a '
        "pass per task (default: the config's inference.mode, or one pass)",
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='draw no boxes below this score; the JSON has all (default: %(default)s)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='change config keys, e.g. model.tasks.det.test_cfg.score_thr=0.05',
    )
    return parser.parse_args(current_options('infer', argv))


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.cli.programs.infer import infer

    return infer(args)
