"""Train a joint model: python tools/train.py CONFIG [--work-dir D] ..."""

import argparse


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description='Train a joint model on all its data sets.',
        epilog='Exit status: 0; 2 after an error in config, data or checkpoint; 143 after SIGTERM '
        'and 130 after SIGINT, when --resume continues.',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints (default: work_dirs/NAME_OF_CONFIG)'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='resume from CKPT, or from the newest complete checkpoint of the work dir',
    )
    parser.add_argument(
        '--force-resume',
        action='store_true',
        help='with --resume: resume even if config or annotations have changed',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints with any types, which can run code',
    )
    parser.add_argument(
        '--no-dry-run',
        action='store_true',
        help='start without trying a step and a validation of each task before',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision (CUDA)')
    parser.add_argument('--seed', type=int, help='seed of all random generators')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='change config keys, e.g. train_cfg.max_iters=100',
    )
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

    return exit_status(lambda: _train(args), args)


def _train(args) -> None:
    from allinone.config.loading import load_config
    from allinone.training.run import train

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    if getattr(args, 'no_dry_run', False):
        cfg.train_cfg.dry_run = False
    train(cfg, args.seed, args.amp, args.resume, getattr(args, 'force_resume', False))
