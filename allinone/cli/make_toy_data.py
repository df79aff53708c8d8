"""Paint the built-in toy data: four small data sets of street scenes."""

import argparse
import sys

from allinone.io.renames import current_options


def positive(value: str) -> int:
    """Integer of at least 1, for argparse."""
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f'must be 1 or more, not {number}')
    return number


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/toy', help='folder to create (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of all images, 0 or more')
    parser.add_argument(
        '--images',
        type=positive,
        metavar='N',
        help='images in each train split, and N/4 (at least 8) in val; '
        'default: 640 for cls, 240 for det, 160 for seg and signs',
    )
    return parser.parse_args(current_options('make_toy_data', argv))


def main(args: argparse.Namespace) -> int:
    """Make the data; returns the exit status."""
    # Imported after parsing, so that --help is fast
    from allinone.data.toy.make import make_toy_data

    try:
        out = make_toy_data(args.out, args.seed, args.images, progress=True)
    except (OSError, ValueError) as error:
        print(f'make_toy_data: {error}', file=sys.stderr)
        return 1
    print(f'Toy data in {out}; {out / "README.md"} describes it.')
    return 0
