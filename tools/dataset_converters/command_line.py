"""The command line that the converters of this folder share."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

LINKS = ('hard', 'symbolic', 'copy')  # Those of allinone.conversion, which --help does not wait for


def parse_args(
    description: str, options: dict[str, tuple[str, ...]], argv: list[str] | None = None
) -> argparse.Namespace:
    """Parse the command line; ``options`` has the choices of further options, the default first."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='folder that the archives were unpacked in; not changed')
    parser.add_argument('out', help='folder to make or to go on with')
    for name, choices in options.items():
        parser.add_argument(
            f'--{name}', choices=choices, default=choices[0], help='default: %(default)s'
        )
    parser.add_argument(
        '--link',
        choices=LINKS,
        default=LINKS[0],
        help='how pictures come to OUT: as hard links (symbolic ones where those cannot be), '
        'symbolic links, or copies (default: %(default)s)',
    )
    parser.add_argument(
        '--partial',
        action='store_true',
        help='convert what is there of an incomplete download, and report the rest',
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress bars')
    return parser.parse_args(argv)


def run(
    name: str,
    description: str,
    argv: list[str] | None = None,
    **options: tuple[str, ...],
) -> int:
    """Convert the data set of the module ``allinone.conversion.sets.NAME``; the exit status."""
    args = parse_args(description, options, argv)
    # After parsing, so that --help answers at once; the checkout need not be installed.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from allinone.conversion import convert
    from allinone.conversion.report import sentence
    from allinone.errors import DataError

    describe = import_module(f'allinone.conversion.sets.{name}').data_set
    source = Path(args.source)
    chosen = {option: getattr(args, option) for option in options}
    try:
        report = convert(
            describe(source, **chosen), source, args.out, args.link, args.partial, not args.quiet
        )
    except (DataError, OSError) as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{name}: interrupted; the same command goes on from here', file=sys.stderr)
        return 130
    print(f'{name} in {args.out}: {sentence(report)}\nReport: {Path(args.out) / "conversion.json"}')
    return 0
