"""Draw a training's curves: python tools/analyze.py WORK_DIR [--out curves.png]."""

import argparse
import sys


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Draw the tasks' losses, weights, gradient norms and validation metrics."
    )
    parser.add_argument('work_dir', help='work dir of a training, finished or running')
    parser.add_argument('--out', default='curves.png', help='PNG to write (default: %(default)s)')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # The libraries take seconds to import; --help does not wait for them.
    from allinone.errors import AllInOneError
    from allinone.visualization import plot_curves

    try:
        plot_curves(args.work_dir, args.out)
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'Curves of {args.work_dir} in {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main(parse_args()))
