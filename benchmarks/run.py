"""Entry point of ``tools/benchmark.py`` after argument parsing."""

import sys

from allinone.checkpoint.loading import trusting_checkpoints
from allinone.config.loading import load_config
from allinone.errors import AllInOneError, ConfigError
from allinone.io.atomic import write_json
from allinone.io.host_memory import keep_freed_memory
from allinone.io.outputs import require_writable
from allinone.training.signals import Stopped

from .balancers import balancers_table, measure_balancers
from .batch_norm import batch_norm_table, measure_batch_norm
from .coco import coco_table, measure_coco
from .data import data_table, measure_data
from .dist import dist_table, measure_dist
from .infer import infer_table, measure_infer
from .infer_metrics import infer_metrics_table, measure_infer_metrics
from .measure import device, quiet
from .overhead import measure_overhead, overhead_table
from .precision import measure_precision, precision_table
from .resume import measure_resume, resume_table
from .shared import measure_shared, shared_table
from .step import measure_step, step_table
from .torchjd import measure_torchjd, torchjd_table


def run_benchmark(args) -> int:
    """Print the values, write them to ``--out``, and return the exit status."""
    try:
        if args.out:
            require_writable('--out', args.out)
        if device().type == 'cpu':
            keep_freed_memory()  # As training and tools/infer.py do; applies to both sides.
        with quiet(), trusting_checkpoints(getattr(args, 'trust_checkpoint', False)):
            found, table = _measure(args)
    except AllInOneError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except Stopped as stop:
        print('stopped; nothing was written', file=sys.stderr)
        return 128 + stop.signum
    print(table(found))
    if args.out:
        write_json(args.out, found)
    return 0


def _measure(args):
    """The values, and the function that formats them as a table."""
    if args.rounds < 1:
        raise ConfigError(f'--rounds is {args.rounds}; give a whole number of at least 1')
    if args.what == 'infer':
        found = measure_infer(
            args.config, args.checkpoint, args.images, args.rounds, args.cfg_options
        )
        return found, infer_table
    if args.what == 'infer-metrics':
        options = args.cfg_options
        found = measure_infer_metrics(args.config, args.checkpoint, options, args.fit)
        return found, infer_metrics_table
    if args.what == 'coco':
        return measure_coco(args.images, args.classes, args.rounds), coco_table
    if args.what == 'torchjd':
        return measure_torchjd(args.rounds), torchjd_table
    cfg = load_config(args.config, args.cfg_options)
    if args.what == 'step':
        return measure_step(cfg, args.rounds), step_table
    if args.what == 'shared':
        return measure_shared(cfg, args.rounds), shared_table
    if args.what == 'precision':
        return measure_precision(cfg, args.rounds, args.kinds), precision_table
    if args.what == 'overhead':
        return measure_overhead(cfg, args.rounds), overhead_table
    if args.what == 'resume':
        return measure_resume(cfg, args.rounds), resume_table
    if args.what == 'data':
        return measure_data(cfg, args.task, args.rounds), data_table
    if args.what == 'dist':
        if args.processes < 2:
            raise ConfigError(f'--processes is {args.processes}; give at least 2')
        return measure_dist(cfg, args.processes, args.rounds), dist_table
    if args.what == 'batch-norm':
        return measure_batch_norm(cfg, args.rounds), batch_norm_table
    return measure_balancers(cfg, args.rounds, args.methods), balancers_table
