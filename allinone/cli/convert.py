"""Convert a downloaded data set: python tools/convert.py NAME SOURCE OUT [--link hard] ..."""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

LINKS = ('hard', 'symbolic', 'copy')  # equals allinone.conversion.files.LINKS, not imported here


class Converter(NamedTuple):
    """Command-line entry of a module of ``allinone.conversion.sets``.

    ``options`` has the choices of its further options, the default first; ``page`` is the page in
    docs/datasets/ if its name differs from the converter's.
    """

    summary: str
    options: dict[str, tuple[str, ...]] = {}
    page: str = ''


CONVERTERS = {
    'ade20k': Converter('ADE20K (150 classes): checks and links'),
    'bdd100k_det': Converter(
        'BDD100K detection to COCO boxes', dict(release=('2020', '2018')), page='bdd100k'
    ),
    'bdd100k_drivable': Converter('BDD100K drivable area to label maps', page='bdd100k'),
    'bdd100k_lane': Converter(
        'BDD100K lane markings to label maps',
        dict(labels=('category', 'direction', 'style')),
        page='bdd100k',
    ),
    'bdd100k_seg': Converter(
        'BDD100K semantic segmentation (19 classes) to label maps', page='bdd100k'
    ),
    'camvid': Converter('CamVid (11 classes of SegNet) to label maps'),
    'cityscapes': Converter('Cityscapes (19 classes): label maps of the training ids'),
    'coco': Converter('COCO 2017 detection: checks and links'),
    'compcars': Converter('CompCars (431 models) to an image list'),
    'gtsrb': Converter('GTSRB to an image list'),
    'kitti': Converter('KITTI 2D object detection (8 classes) to COCO boxes'),
    'stanford_cars': Converter('Stanford Cars to an image list'),
    'traffic_mini': Converter('GTSRB, COAD and CamVid in the forms of Track 1'),
    'tt100k': Converter('TT100K (45 classes) to COCO boxes'),
    'voc': Converter('PASCAL VOC 2007 and 2012: checks and links'),
}
EXIT_STATUS = """\
exit status: 0; 1 if the download or OUT is at fault; 2 if the command line is;
130 if interrupted, when the same command continues"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    listed = '\n'.join(f'  {name:<18}{found.summary}' for name, found in CONVERTERS.items())
    parser = argparse.ArgumentParser(
        description='Convert a downloaded data set to a format that the suite reads.',
        epilog=f'converters:\n{listed}\n\n{EXIT_STATUS}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = parser.add_subparsers(
        dest='name', metavar='NAME', required=True, help='one of the converters below'
    )
    for name, (summary, options, page) in CONVERTERS.items():
        described = f'{summary}; docs/datasets/{page or name}.md.'
        _add_arguments(names.add_parser(name, description=described), options)
    return parser.parse_args(argv)


def _add_arguments(parser: argparse.ArgumentParser, options: dict[str, tuple[str, ...]]) -> None:
    parser.add_argument('source', help='folder with the unpacked archives; not modified')
    parser.add_argument('out', help='output folder, new or of an interrupted conversion')
    for name, choices in options.items():
        parser.add_argument(
            f'--{name}', choices=choices, default=choices[0], help='default: %(default)s'
        )
    parser.add_argument(
        '--link',
        choices=LINKS,
        default=LINKS[0],
        help='how to place images in OUT: hard links (symbolic ones if those are impossible), '
        'symbolic links, or copies (default: %(default)s)',
    )
    parser.add_argument(
        '--partial',
        action='store_true',
        help='convert the available part of an incomplete download, and report the rest',
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress bars')


def main(args: argparse.Namespace) -> int:
    """Convert the data set of module ``allinone.conversion.sets.NAME``; returns the exit status.

    The module has ``data_set(source)``, or ``data_sets(source)`` for several sets by folder in OUT.
    """
    # Imported after parsing, so that --help is fast
    from allinone.conversion import convert
    from allinone.conversion.report import sentence
    from allinone.errors import DataError

    module = import_module(f'allinone.conversion.sets.{args.name}')
    source = Path(args.source)
    options = {option: getattr(args, option) for option in CONVERTERS[args.name].options}
    try:
        if hasattr(module, 'data_sets'):
            sets = module.data_sets(source, **options)
        else:
            sets = {'': module.data_set(source, **options)}
        for folder, data_set in sets.items():
            out = Path(args.out, folder)
            report = convert(data_set, source, out, args.link, args.partial, not args.quiet)
            print(
                f'{data_set.name} in {out}: {sentence(report)}\nReport: {out / "conversion.json"}'
            )
    except (DataError, OSError) as error:
        print(f'{args.name}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{args.name}: interrupted; the same command goes on from here', file=sys.stderr)
        return 130
    return 0
