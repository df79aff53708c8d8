"""Galleries of embeddings: python tools/gallery.py build|add|remove|search|calibrate ..."""

import argparse

from .infer import at_least_one

FOLDERS = (
    'images: a list of lines PATH IDENTITY [CAMERA], a folder with a folder for each identity, a '
    "folder of images, a pattern ('street/*.jpg') or an image"
)
BOXES = 'boxes: predictions.jsonl of tools/infer.py with --embed-boxes'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Keep embeddings of images or of detected boxes in a folder, the index, and '
        'search it for what looks like other images.',
        epilog='Exit status: 0; 1 if an image was skipped; 2 after an error in options, data or '
        'checkpoint; 130 if interrupted, which leaves the index as it was.',
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    _build(commands)
    _add(commands)
    _remove(commands)
    _search(commands)
    _calibrate(commands)
    return parser.parse_args(argv)


def _build(commands) -> None:
    parser = commands.add_parser(
        'build',
        help='make an index of images or boxes',
        description='Embed images, or take the embeddings of detected boxes, and make an index.',
    )
    parser.add_argument(
        'model',
        metavar='CKPT',
        help='checkpoint; a work dir means its best checkpoint, else its newest',
    )
    parser.add_argument('index', metavar='INDEX', help='a new folder')
    parser.add_argument('--task', help='retrieval task (default: the only one)')
    _add_rows(parser)
    _add_model(parser, with_checkpoint=False)


def _add(commands) -> None:
    parser = commands.add_parser(
        'add',
        help='add images or boxes to an index',
        description='Add images or boxes to an index, by the checkpoint that made it.',
    )
    parser.add_argument('index', metavar='INDEX', help='the index')
    _add_rows(parser)
    _add_model(parser)


def _remove(commands) -> None:
    parser = commands.add_parser(
        'remove',
        help='remove rows from an index',
        description='Remove the rows of identities or of images from an index.',
    )
    parser.add_argument('index', metavar='INDEX', help='the index')
    parser.add_argument(
        '--identity', nargs='+', action='extend', default=[], help='rows of these identities'
    )
    parser.add_argument(
        '--image',
        nargs='+',
        action='extend',
        default=[],
        metavar='PATTERN',
        help="rows whose path fits, or whose path ends so: 'a.jpg', '2023/*'",
    )


def _search(commands) -> None:
    parser = commands.add_parser(
        'search',
        help='search an index for images or boxes',
        description='Search an index for images or boxes, and write the matches and a contact '
        'sheet.',
    )
    parser.add_argument('index', metavar='INDEX', help='the index')
    parser.add_argument(
        'queries', nargs='+', metavar='QUERY', help=f'{FOLDERS}; or {BOXES}, known by .jsonl'
    )
    parser.add_argument(
        '--out', required=True, help='folder for matches.jsonl, sheet.png and index.html'
    )
    parser.add_argument(
        '--top',
        type=at_least_one,
        default=10,
        help='maximum number of matches of a query (default: %(default)s)',
    )
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument(
        '--threshold',
        type=float,
        metavar='T',
        help='lowest score of a match, from -1 to 1 (default: none)',
    )
    limit.add_argument(
        '--false-match-rate',
        type=float,
        metavar='R',
        help='the threshold that calibrate has found for this rate',
    )
    parser.add_argument(
        '--leave-out-own',
        action='store_true',
        help='leave out rows of the image that is the query, or has the box that is it',
    )
    _add_reading(parser)
    _add_model(parser)


def _calibrate(commands) -> None:
    parser = commands.add_parser(
        'calibrate',
        help='find the threshold of a false-match rate',
        description='Find the score that few pairs of different identities reach, and keep it in '
        'the index.',
    )
    parser.add_argument('index', metavar='INDEX', help='the index')
    parser.add_argument(
        'pairs',
        metavar='PAIRS',
        help='list of lines PATH PATH 1 for one identity, PATH PATH 0 for different ones',
    )
    parser.add_argument(
        '--false-match-rate',
        type=float,
        default=0.001,
        metavar='R',
        help='share of the pairs of different identities that may match (default: %(default)s)',
    )
    parser.add_argument(
        '--data-root', metavar='FOLDER', help='folder of the paths in PAIRS (default: its folder)'
    )
    _add_model(parser)


def _add_rows(parser: argparse.ArgumentParser) -> None:
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument(
        '--data',
        nargs='+',
        metavar='DATA',
        help=f'{FOLDERS}; or the config key of a dataloader, such as val_cfg.references.reid',
    )
    given.add_argument('--boxes', nargs='+', metavar='FILE', help=BOXES)
    parser.add_argument(
        '--metadata',
        metavar='FILE',
        help='JSON Lines with an object for each image, whose path it has as "image"; what else it '
        'has is kept with the row',
    )
    _add_reading(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--data-root', metavar='FOLDER', help='folder of the paths in lists (default: their own)'
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='leave out boxes below this score (default: %(default)s)',
    )


def _add_model(parser: argparse.ArgumentParser, with_checkpoint: bool = True) -> None:
    if with_checkpoint:
        parser.add_argument(
            '--checkpoint',
            metavar='CKPT',
            help='where the checkpoint is that made the index (default: where it was then)',
        )
    parser.add_argument('--config', help='config of the model (default: that in the checkpoint)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: cuda if available)')
    parser.add_argument(
        '--batch-size',
        type=at_least_one,
        default=64,
        help='maximum number of images of one size per pass (default: %(default)s)',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint with any types, which can run code',
    )


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.cli.programs.gallery import gallery

    return gallery(args)
