"""What ``tools/train.py`` and ``tools/test.py`` do once their arguments are parsed."""

import os
import sys

from allinone.checkpoint.loading import trusting_checkpoints
from allinone.config.loading import load_config
from allinone.distributed.consistency import lost_peer
from allinone.distributed.launchers import VARIABLES
from allinone.errors import AllInOneError
from allinone.io.atomic import write_json
from allinone.io.outputs import require_writable
from allinone.training.api import test, train
from allinone.training.resume import resume_command
from allinone.training.signals import Stopped


def run(mode: str, args) -> int:
    """Train or test; the exit status. An error that the user can mend is one sentence."""
    if getattr(args, 'local_rank', 0) and 'LOCAL_RANK' not in os.environ:
        os.environ['LOCAL_RANK'] = str(args.local_rank)
    try:
        with trusting_checkpoints(getattr(args, 'trust_checkpoint', False)):
            cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
            if mode == 'test' and args.out:
                require_writable('--out', args.out)
            if mode == 'test' and args.show_dir:
                require_writable('--show-dir', args.show_dir, folder=True)
            if mode == 'train':
                train(cfg, args)
                return 0
            metrics = test(cfg, args)
            if _is_first_process():
                if args.out:
                    write_json(args.out, metrics)
                print(format_table(metrics))
    except AllInOneError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signum
    except RuntimeError as error:
        lost = lost_peer(error, resume_command())
        if lost is None:
            raise
        print(f'error: {lost}', file=sys.stderr)
        return 2
    return 0


def _is_first_process() -> bool:
    # The process group does not exist yet: the launchers' variables tell.
    return all(os.environ.get(names['RANK'], '0') == '0' for names in VARIABLES.values())


def format_table(metrics: dict[str, float]) -> str:
    """Task, metric, value: a line for each."""
    rows = [('task', 'metric', 'value')]
    for name, value in metrics.items():
        task, slash, metric = name.partition('/')
        if slash:
            rows.append((task, metric, f'{value:.4f}'))
    if 'score' in metrics:
        rows.append(('all', 'score', f'{metrics["score"]:.4f}'))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return '\n'.join(f'{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}' for a, b, c in rows)
