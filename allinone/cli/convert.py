"""Convert own data, or a downloaded data set: python tools/convert.py NAME SOURCE OUT ..."""

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
    'cars196': Converter('Cars-196 (Stanford Cars for retrieval) to identity lists'),
    'cityscapes': Converter('Cityscapes (19 classes): label maps of the training ids'),
    'coco': Converter('COCO 2017 detection: checks and links'),
    'compcars': Converter('CompCars (431 models) to an image list'),
    'cub200': Converter('CUB-200-2011 for retrieval to identity lists'),
    'gtsrb': Converter('GTSRB to an image list'),
    'kitti': Converter('KITTI 2D object detection (8 classes) to COCO boxes'),
    'lfw': Converter('LFW to an identity list and pairs'),
    'market1501': Converter('Market-1501 to identity lists'),
    'stanford_cars': Converter('Stanford Cars to an image list'),
    'traffic_mini': Converter('GTSRB, COAD and CamVid in the forms of Track 1'),
    'tt100k': Converter('TT100K (45 classes) to COCO boxes'),
    'veri776': Converter('VeRi-776 to identity lists'),
    'voc': Converter('PASCAL VOC 2007 and 2012: checks and links'),
}
# Modules of ``allinone.conversion.own``. Two have the name of a data set, too: what lies in SOURCE
# decides.
OWN = {
    'yolo': Converter('text files as Ultralytics and others write them'),
    'voc': Converter('XML files of VOC, labelImg and others'),
    'labelme': Converter('JSON files of LabelMe', {'as': ('boxes', 'masks')}),
    'cvat': Converter('XML files "CVAT for images 1.1"'),
    'coco': Converter('COCO files of Roboflow, CVAT, Label Studio and others'),
    'folders': Converter('a folder of images for each class'),
    'masks': Converter('images and label maps (PNG)'),
}
# What a data set's layout is known by
LAYOUTS = {
    'coco': ('annotations/instances_train2017.json', 'annotations/instances_val2017.json'),
    'voc': ('VOC2007', 'VOC2012'),
}
EXIT_STATUS = """\
exit status: 0; 1 if SOURCE or OUT is at fault; 2 if the command line is;
130 if interrupted, when the same command continues"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Convert own data or a downloaded data set to a format that the suite reads.',
        epilog=f'own data:\n{_listed(OWN)}\n\ndata sets:\n{_listed(CONVERTERS)}\n\n{EXIT_STATUS}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = parser.add_subparsers(
        dest='name', metavar='NAME', required=True, help='one of the names below'
    )
    for name in [*OWN, *(name for name in CONVERTERS if name not in OWN)]:
        pages = [f'{OWN[name].summary}; docs/datasets/own_data.md'] if name in OWN else []
        options = OWN[name].options if name in OWN else {}
        if name in CONVERTERS:
            summary, own, page = CONVERTERS[name]
            pages.append(f'{summary}; docs/datasets/{page or name}.md')
            options = options | own
        command = names.add_parser(name, description=f'{" | ".join(pages)}.')
        _add_arguments(command, options)
        if name in OWN:
            _add_own_arguments(command)
    return parser.parse_args(argv)


def _listed(converters: dict[str, Converter]) -> str:
    return '\n'.join(f'  {name:<18}{found.summary}' for name, found in converters.items())


def _add_arguments(parser: argparse.ArgumentParser, options: dict[str, tuple[str, ...]]) -> None:
    parser.add_argument(
        'source', help='folder with the data or the unpacked archives; not modified'
    )
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


def _add_own_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--split',
        type=float,
        metavar='SHARE',
        help='share of the images to train on, such as 0.8, where SOURCE has no validation split; '
        '1 for all',
    )
    parser.add_argument(
        '--group',
        metavar='REGEX',
        help='with --split: images of a group stay together; what the first parenthesis matches in '
        "an image's path, or the word folder for the images of a folder",
    )
    parser.add_argument('--seed', type=int, default=0, help='of the choice (default: 0)')
    parser.add_argument(
        '--classes', metavar='FILE', type=Path, help='names of the classes, where SOURCE has none'
    )
    parser.add_argument(
        '--name',
        dest='variable',
        metavar='WORD',
        help='of the variable for configs (default: that of OUT)',
    )


def main(args: argparse.Namespace) -> int:
    """Convert own data or a data set; returns the exit status.

    Own data are read by a module of ``allinone.conversion.own``. A module of
    ``allinone.conversion.sets`` has ``data_set(source)``, or ``data_sets(source)`` for several sets
    by folder in OUT.
    """
    # Imported after parsing, so that --help is fast
    from allinone.errors import DataError

    try:
        (_convert_own if is_own(args) else _convert_sets)(args)
    except (DataError, OSError) as error:
        print(f'{args.name}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{args.name}: interrupted; the same command continues from here', file=sys.stderr)
        return 130
    return 0


def is_own(args: argparse.Namespace) -> bool:
    """Whether SOURCE is own data; else it is a data set as published.

    Raises:
        DataError: If an option for own data is given with a data set as published.
    """
    if args.name not in OWN:
        return False
    layout = LAYOUTS.get(args.name, ())
    found = next((path for path in layout if Path(args.source, path).exists()), None)
    if found is None:
        return True
    given = [f'--{key}' for key in ('split', 'group', 'classes') if getattr(args, key)]
    if given:
        from allinone.errors import DataError

        raise DataError(
            f'{args.source} has {found}, so it is the published data set, whose splits and classes '
            f'are kept; leave out {" and ".join(given)}, or give a folder without {found}'
        )
    return False


def _convert_sets(args: argparse.Namespace) -> None:
    module = import_module(f'allinone.conversion.sets.{args.name}')
    source = Path(args.source)
    options = {option: getattr(args, option) for option in CONVERTERS[args.name].options}
    if hasattr(module, 'data_sets'):
        sets = module.data_sets(source, **options)
    else:
        sets = {'': module.data_set(source, **options)}
    for folder, data_set in sets.items():
        _convert(args, data_set, Path(args.out, folder))


def _convert_own(args: argparse.Namespace) -> None:
    from allinone.conversion.own import config_lines, image_size, prepare
    from allinone.conversion.own.found import Options
    from allinone.errors import DataError

    options = Options(args.classes, getattr(args, 'as', 'boxes'))
    source, out = Path(args.source).absolute(), Path(args.out).absolute()
    data_set, found = prepare(args.name, source, options, args.split, args.group, args.seed)
    report = _convert(args, data_set, Path(args.out))
    left = [split for split, counts in report['splits'].items() if not counts['images']]
    if left:
        raise DataError(
            f'{source} has no image of {" and ".join(left)} left, as {out / "conversion.json"} '
            'says; repair what it names, and convert again'
        )
    name = config_lines.variable(args.variable or out.name)
    suffix = getattr(found.format, 'suffix', '')
    config_lines.write_data_set(out, name, found.kind, report, suffix)
    image_size.refresh(out)
    print(
        f'\nA config, such as {name}.py, that trains on it:\n\n'
        f'{config_lines.lines(out, name, found.kind, report)}\n'
    )


def _convert(args: argparse.Namespace, data_set, out: Path) -> dict:
    from allinone.conversion import convert
    from allinone.conversion.report import sentence

    report = convert(data_set, args.source, out, args.link, args.partial, not args.quiet)
    print(f'{data_set.name} in {out}: {sentence(report)}\nReport: {out / "conversion.json"}')
    return report
