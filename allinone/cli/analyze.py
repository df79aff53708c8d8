"""Analyse trainings and models: python tools/analyze.py WORK_DIR..., evaluate, affinity, ..."""

import argparse
import os
import sys

from allinone.io.program import prog_of, program


def task_and_dir(value: str) -> tuple[str, str]:
    task, equals, work_dir = value.partition('=')
    if not (task and equals and work_dir):
        raise argparse.ArgumentTypeError(f'{value!r} is not TASK=WORK_DIR')
    return task, work_dir


def at_least_one(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f'must be 1 or more, not {number}')
    return number


def report_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Write one HTML page with the curves and gradient conflicts of one or more '
        'runs and a table that compares them.',
        epilog='For the affinity between the tasks of a trained model: '
        '%(prog)s affinity CONFIG CKPT. For intervals of differences between tested models: '
        '%(prog)s compare FILE FILE, and for how small a difference images can show: '
        '%(prog)s power FILE. For tables, curves and images of the predictions of a checkpoint: '
        '%(prog)s evaluate CONFIG CKPT. For parameters, operations and memory: '
        '%(prog)s complexity CONFIG (each with --help). A work dir of such a name is ./affinity.',
    )
    parser.add_argument(
        'work_dirs', nargs='+', metavar='WORK_DIR', help='work dir of a run, finished or running'
    )
    parser.add_argument(
        '--out',
        help='.html: the page, with images in a folder beside it; .png: only the curves of one '
        'run (default: report.html in the first work dir)',
    )
    parser.add_argument(
        '--single',
        nargs='+',
        action='extend',
        type=task_and_dir,
        default=[],
        metavar='TASK=WORK_DIR',
        help='single-task runs; the table then has the change relative to them',
    )
    parser.add_argument(
        '--best',
        action='store_true',
        help='compare the validations with the best score instead of the last ones',
    )
    parser.add_argument(
        '--lower-is-better',
        nargs='+',
        default=[],
        metavar='TASK/METRIC',
        help='metrics for which lower is better (default: none)',
    )
    parser.set_defaults(command=report)
    return parser


def affinity_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog_of('affinity'),
        description="Measure how much a backbone step along one task's gradient lowers the other "
        "tasks' losses (TAG, arXiv 2109.04617), and suggest which tasks to train together.",
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint with any types, which can run code',
    )
    parser.add_argument(
        '--steps',
        type=at_least_one,
        default=20,
        help='number of batches per task to average over (default: %(default)s)',
    )
    parser.add_argument(
        '--lr',
        type=float,
        help="step length of the plain SGD step (default: the config's learning rate of each "
        'backbone parameter)',
    )
    parser.add_argument(
        '--out',
        help='.json or .png file; both are written (default: affinity.json beside the checkpoint)',
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: cuda if available)')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    parser.set_defaults(command=affinity)
    return parser


def none_or_more(value: str) -> int:
    number = int(value)
    if number < 0:
        raise argparse.ArgumentTypeError(f'must be 0 or more, not {number}')
    return number


def compare_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog_of('compare'),
        description=f'Compare tests by the statistics that {program("test")} --intervals writes: '
        '95 % intervals of the metrics and of their differences to the first group, on the same '
        'images.',
    )
    _add_groups(parser, 'the first group is what the others are compared with')
    parser.add_argument(
        '--single',
        nargs='+',
        action='extend',
        type=task_and_dir,
        default=[],
        metavar='TASK=FILE[,FILE...]',
        help='tests of single-task runs, which delta_m is relative to (default: the first group)',
    )
    parser.set_defaults(command=compare)
    return parser


def power_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog_of('power'),
        description='Print the smallest difference of each metric and of delta_m that the images '
        'of a test can show: before a study of one test, or of two that are paired by image.',
    )
    _add_groups(parser, 'one, or two that are paired')
    parser.set_defaults(command=power)
    return parser


def complexity_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog_of('complexity'),
        description='Count parameters, operations and memory of joint models for one image, by '
        'part: what the backbone has of them, and what one pass for all tasks saves. Weights are '
        'neither needed nor read.',
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config file')
    parser.add_argument(
        '--size',
        nargs=2,
        type=at_least_one,
        metavar=('H', 'W'),
        help='height and width of the image in pixels (default: of the largest test images of the '
        'tasks that see whole images, or 640 640)',
    )
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='only these (default: all)')
    parser.add_argument(
        '--out', help='write the numbers to this .json file, or the tables to this .md file, too'
    )
    parser.set_defaults(command=complexity)
    return parser


def evaluate_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog_of('evaluate'),
        description='Test a checkpoint and write a page on its predictions: a table of the '
        'classes, confusion matrix, precision-recall and F1 curves, calibration, best and worst '
        'images, statistics of the labels. The report of a run shows what lies in its work dir.',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'checkpoint',
        help='checkpoint file; a work dir means its best checkpoint, else its newest',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint with any types, which can run code',
    )
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='only these (default: all)')
    parser.add_argument(
        '--out',
        metavar='FOLDER',
        help='for report.html, evaluation.json and images (default: evaluation beside the '
        'checkpoint)',
    )
    parser.add_argument(
        '--score-thr',
        type=fraction,
        default=0.3,
        help='score from which boxes count in tables and on images; the curves have all '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--examples',
        type=none_or_more,
        default=4,
        metavar='N',
        help='number of best and of worst images of each task (default: %(default)s)',
    )
    parser.add_argument('--work-dir', help='folder for the log (default: work_dirs/NAME_OF_CONFIG)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: cuda if available)')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    parser.set_defaults(command=evaluate)
    return parser


def fraction(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f'must be from 0 to 1, not {value}')
    return number


def _add_groups(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        'groups',
        nargs='+',
        metavar='[NAME=]FILE[,FILE...]',
        help='statistics of tests, with commas between those of several seeds of one config; '
        f'{what}',
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        metavar='TASK/METRIC',
        help='only these (default: the main metrics of each task); delta_m is of the same',
    )
    parser.add_argument(
        '--lower-is-better',
        nargs='+',
        default=[],
        metavar='TASK/METRIC',
        help='metrics for which lower is better (default: none)',
    )
    parser.add_argument(
        '--resamplings',
        type=at_least_one,
        default=1000,
        help='number of sets of images that are drawn (default: %(default)s)',
    )
    parser.add_argument(
        '--seed', type=none_or_more, default=0, help='of the draws (default: %(default)s)'
    )
    parser.add_argument('--out', help='write the numbers to this JSON file, too')
    parser.add_argument(
        '--import',
        dest='imports',
        nargs='+',
        default=[],
        metavar='MODULE',
        help='import these first, such as the module of a kind of task',
    )


# By the first argument; without one of these, the report
PARSERS = dict(
    affinity=affinity_parser,
    compare=compare_parser,
    power=power_parser,
    complexity=complexity_parser,
    evaluate=evaluate_parser,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in PARSERS:
        return PARSERS[argv[0]]().parse_args(argv[1:])
    return report_parser().parse_args(argv)


# Imported late: the libraries take seconds to import, and --help does not need them.
def report(args: argparse.Namespace) -> None:
    from allinone.analysis.curves import plot_curves
    from allinone.analysis.report import write_report
    from allinone.errors import ConfigError

    out = args.out or os.path.join(args.work_dirs[0], 'report.html')
    suffix = os.path.splitext(out)[1].lower()
    singles = dict(args.single)
    if len(singles) < len(args.single):
        raise ConfigError(f'--single is {args.single}; name each task once')
    if suffix == '.html':
        images = write_report(args.work_dirs, out, singles, args.best, args.lower_is_better)
        print('\n'.join([*images, out]))
    elif suffix == '.png' and len(args.work_dirs) == 1 and not singles:
        plot_curves(args.work_dirs[0], out)
        print(out)
    else:
        raise ConfigError(
            f'--out is {out!r}; give a name in .html, or in .png for the curves of one run alone'
        )


def affinity(args: argparse.Namespace) -> None:
    from allinone.analysis.affinity import run_affinity

    run_affinity(args)


def compare(args: argparse.Namespace) -> None:
    from allinone.analysis.interval_tables import run_compare

    run_compare(args)


def power(args: argparse.Namespace) -> None:
    from allinone.analysis.interval_tables import run_power

    run_power(args)


def complexity(args: argparse.Namespace) -> None:
    from allinone.analysis.complexity_tables import run_complexity

    run_complexity(args)


def evaluate(args: argparse.Namespace) -> None:
    from allinone.analysis.evaluation.evaluate import run_evaluate

    run_evaluate(args)


def main(args: argparse.Namespace) -> int:
    from allinone.errors import AllInOneError

    try:
        args.command(args)
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0
