"""Test a joint model: python tools/test.py CONFIG CKPT [--tasks cls det] ..."""

import argparse
import os
from pathlib import Path

from allinone.io.program import program


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Compute the metrics of a checkpoint or an exported graph.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, or a graph of tools/export.py')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint with any types, which can run code',
    )
    parser.add_argument('--tasks', nargs='+', help='only these tasks')
    parser.add_argument('--out', help='write the metrics to this JSON file')
    parser.add_argument('--show-dir', help='draw every tested image into this folder')
    parser.add_argument(
        '--intervals',
        action='store_true',
        help='print the 95 %% interval of each metric, and write the statistics of each image that '
        f'it is computed from, for {program("analyze")} compare',
    )
    parser.add_argument(
        '--save-statistics',
        metavar='FILE.npz',
        help='write these statistics to this file (default with --intervals: '
        'NAME_OF_CKPT.statistics.npz in the work dir, or beside the file of --out, by its name)',
    )
    parser.add_argument('--work-dir', help='folder for the log (default: work_dirs/NAME_OF_CONFIG)')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    parser.add_argument(
        '--verbose', action='store_true', help='show on the console all that goes to the log file'
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: cuda if available)')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='launcher of the processes of a distributed run',
    )
    parser.add_argument('--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(args) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.cli.begin import begin

    if status := begin(args):
        return status
    from allinone.cli.status import exit_status

    return exit_status(lambda: _test(args), args)


def _test(args) -> None:
    from allinone.config.loading import load_config
    from allinone.distributed.launchers import is_first_process
    from allinone.evaluation.table import format_table
    from allinone.io.atomic import write_json
    from allinone.io.outputs import require_writable
    from allinone.training.run import test

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    if args.out:
        require_writable('--out', args.out)
    if args.show_dir:
        require_writable('--show-dir', args.show_dir, folder=True)
    if given := getattr(args, 'save_statistics', None):
        require_writable('--save-statistics', given)
    statistics = given or _default_statistics(args, cfg.work_dir)
    metrics = test(cfg, args.checkpoint, args.tasks, args.show_dir, statistics=statistics)
    if is_first_process():
        if args.out:
            write_json(args.out, metrics)
        print(format_table(metrics, _intervals(args, statistics)))
        if statistics:
            print(f'statistics of each image: {statistics}')


def _default_statistics(args, work_dir: str) -> str | None:
    """The file of the statistics that ``--intervals`` needs."""
    from allinone.evaluation.run_statistics import SUFFIX

    if not getattr(args, 'intervals', False):
        return None
    if args.out:
        return os.path.splitext(args.out)[0] + SUFFIX
    return os.path.join(work_dir, Path(args.checkpoint).stem + SUFFIX)


def _intervals(args, statistics: str | None) -> dict | None:
    from allinone.evaluation.intervals import intervals
    from allinone.evaluation.run_statistics import read_statistics

    if statistics is None or not getattr(args, 'intervals', False):
        return None
    return intervals(read_statistics(statistics))
