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
    """Convert what the module ``allinone.conversion.sets.NAME`` describes; the exit status.

    Its ``data_set(source)`` is one, or ``data_sets(source)`` are several by their folders in OUT.
    """
    args = parse_args(description, options, argv)
    # After parsing, so that --help answers at once; the checkout need not be installed.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from allinone.conversion import convert
    from allinone.conversion.report import sentence
    from allinone.errors import DataError

    module = import_module(f'allinone.conversion.sets.{name}')
    source = Path(args.source)
    chosen = {option: getattr(args, option) for option in options}
    try:
        if hasattr(module, 'data_sets'):
            sets = module.data_sets(source, **chosen)
        else:
            sets = {'': module.data_set(source, **chosen)}
        for folder, data_set in sets.items():
            out = Path(args.out, folder)
            report = convert(data_set, source, out, args.link, args.partial, not args.quiet)
            print(
                f'{data_set.name} in {out}: {sentence(report)}\nReport: {out / "conversion.json"}'
            )
    except (DataError, OSError) as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{name}: interrupted; the same command goes on from here', file=sys.stderr)
        return 130
    return 0
