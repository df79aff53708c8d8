"""What ``tools/submit.py`` does once its arguments are parsed."""

import sys
from itertools import islice

from allinone.checkpoint.loading import trusting_checkpoints
from allinone.config.loading import load_config
from allinone.errors import AllInOneError, ConfigError
from allinone.evaluation.table import format_table
from allinone.evaluation.track1.check import Annotations, faults, misfits, read_submission, score
from allinone.evaluation.track1.submission import Submission
from allinone.io.outputs import require_writable
from allinone.registry.kinds import kind_of_config
from allinone.tasks import TaskKind
from allinone.training.run import build_test_runner

SHOWN = 20


def submit(args) -> int:
    """Predict the test sets and write the submission; the exit status."""
    try:
        require_writable('--out', args.out)
        with trusting_checkpoints(args.trust_checkpoint):
            cfg = load_config(args.config, args.cfg_options, args.work_dir)
            submission = Submission(kinds_of(cfg, args.tasks))
            cfg.test_cfg = dict(type='PredictLoop')
            runner = build_test_runner(cfg, args.checkpoint, list(submission.kinds))
            runner.register_hook(submission)
            runner.test()
        submission.write(args.out)
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    counts = ', '.join(f'{len(part)} in {name!r}' for name, part in submission.content.items())
    print(f'{args.out}: {counts}')
    return 0


def kinds_of(cfg, tasks: list[str] | None = None) -> dict[str, TaskKind]:
    """The tasks of a config that fill a section of the submission, with their kinds.

    Raises:
        ConfigError: If two tasks would fill one, or a task is unknown.
    """
    kinds: dict[str, TaskKind] = {}
    for task in tasks or cfg.model.tasks:
        if task not in cfg.model.tasks:
            raise ConfigError(f'--tasks has {task!r}; {cfg.filename} has {list(cfg.model.tasks)}')
        kind = kind_of_config(f'model.tasks.{task}', cfg.model.tasks[task])
        section = kind.track1_section
        twins = [name for name, other in kinds.items() if other.track1_section == section]
        if section and twins:
            raise ConfigError(
                f'tasks {[*twins, task]} would both fill the section {section!r}; choose with '
                '--tasks'
            )
        if section:
            kinds[task] = kind
    return kinds


def validate(args) -> int:
    """Check a submission and, with annotations, score it; the exit status: 1 for faults."""
    try:
        content = read_submission(args.file)
        annotations = Annotations(args.ann, args.split) if args.ann else None
        found = list(islice(faults(content), SHOWN + 1))
        if annotations and not found:
            found = list(islice(misfits(content, annotations), SHOWN + 1))
    except AllInOneError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    for fault in found[:SHOWN]:
        print(f'{args.file}: {fault}', file=sys.stderr)
    if found:
        more = ', and there are more' if len(found) > SHOWN else ''
        print(f'{args.file}: {min(len(found), SHOWN)} faults{more}; not scored', file=sys.stderr)
        return 1
    if annotations is None:
        print(f'{args.file} is well formed; give --ann to compare it with annotations')
        return 0
    print(format_table(score(content, annotations)))
    return 0
