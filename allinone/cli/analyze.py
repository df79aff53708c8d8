"""Analyse trainings: python tools/analyze.py WORK_DIR..., or affinity CONFIG CKPT."""

import argparse
import os
import sys


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
        '%(prog)s affinity CONFIG CKPT (see %(prog)s affinity --help). '
        'A work dir of that name is ./affinity.',
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
        prog='analyze.py affinity',
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


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ['affinity']:
        return affinity_parser().parse_args(argv[1:])
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


def main(args: argparse.Namespace) -> int:
    from allinone.errors import AllInOneError

    try:
        args.command(args)
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0
