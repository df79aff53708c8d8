"""What ``tools/train.py`` and ``tools/test.py`` do once their arguments are parsed."""

import difflib
import json
import os
import os.path as osp
import sys

from mmengine.config import Config, DictAction
from mmengine.device import is_cuda_available

from allinone.engine.checkpoint import trusting_checkpoints
from allinone.engine.config_check import KNOWN_KEYS
from allinone.engine.launchers import VARIABLES, variable_of
from allinone.engine.peers import lost_peer
from allinone.engine.resume import resume_command
from allinone.engine.signals import Stopped
from allinone.errors import AllInOneError, ConfigError
from allinone.registry import RUNNERS

from .outputs import require_writable


def load_config(
    path: str, options: list[str] | None = None, work_dir: str | None = None, launcher: str = 'none'
) -> Config:
    """Read a config, apply ``KEY=VALUE`` options, and set where the run goes.

    Raises:
        ConfigError: If the file is missing or cannot be parsed.
    """
    if not osp.isfile(path):
        raise ConfigError(f'{path}: no such config file')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        words = ' '.join(str(error).split())
        raise ConfigError(f'{path} cannot be read: {type(error).__name__}: {words}') from error
    cfg = complete_config(cfg, path, options)
    cfg.launcher = launcher
    cfg.work_dir = (
        work_dir
        or cfg.get('work_dir')
        or osp.join('work_dirs', osp.splitext(osp.basename(path))[0])
    )
    return cfg


def complete_config(cfg: Config, path: str, options: list[str] | None = None) -> Config:
    """Apply ``KEY=VALUE`` options, and set what a config may leave out.

    Args:
        cfg: Changed in place.
        path: The file that it is from, for messages.
        options: As in :func:`parse_options`.

    Raises:
        ConfigError: If an option changes nothing, or does not fit.
    """
    parsed = parse_options(options)
    _check_options(path, cfg, parsed)
    try:
        cfg.merge_from_dict(parsed)
    except (KeyError, TypeError):
        # Together, for _delete_ and the keys beside it belong together; alone, to name the one.
        for key, value in parsed.items():
            try:
                cfg.merge_from_dict({key: value})
            except (KeyError, TypeError) as error:
                raise ConfigError(
                    f'--cfg-options has {key!r}, which does not fit {path}: {error.args[0]}'
                ) from error
        raise
    cfg.setdefault('runner_type', 'MultiDatasetRunner')
    cfg.setdefault('default_scope', 'allinone')
    return cfg


def parse_options(options: list[str] | None) -> dict:
    """``['a.b=1', ...]`` as mmengine's ``--cfg-options`` reads them."""
    parsed = {}
    for option in options or []:
        key, equals, value = option.partition('=')
        if not equals:
            raise ConfigError(f'--cfg-options has {option!r}; give KEY=VALUE')
        parsed[key] = DictAction._parse_iterable(value)
    return parsed


def _check_options(path: str, cfg: Config, options: dict) -> None:
    """Refuse options that change nothing."""
    for key in options:
        top = key.split('.')[0]
        near = difflib.get_close_matches(top, KNOWN_KEYS, 1)
        if top in KNOWN_KEYS:
            continue
        if top in cfg:
            raise ConfigError(
                f'--cfg-options has {key!r}, but {top} is a variable of {path}, used up when the '
                'file is read; set the keys that are made of it'
            )
        raise ConfigError(
            f'--cfg-options has {key!r}, which nothing reads; '
            + (f'do you mean {near[0]!r}?' if near else 'check its spelling')
        )


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


def train(cfg: Config, args) -> None:
    if args.seed is not None:
        cfg.merge_from_dict({'randomness.seed': args.seed})
    if args.amp:
        if not is_cuda_available():
            raise ConfigError('--amp needs a CUDA device, and there is none; leave it out')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if args.resume:
        cfg.resume = 'auto' if args.resume == 'auto' else True
        if args.resume != 'auto':
            cfg.load_from = args.resume
        cfg.force_resume = getattr(args, 'force_resume', False)
    _runner(cfg).train()


def _is_first_process() -> bool:
    # The process group does not exist yet: the launchers' variables tell.
    return all(os.environ.get(names['RANK'], '0') == '0' for names in VARIABLES.values())


def test(cfg: Config, args) -> dict[str, float]:
    if args.show_dir:
        cfg.setdefault('custom_hooks', [])
        cfg.custom_hooks = [*cfg.custom_hooks, dict(type='DrawHook', out_dir=args.show_dir)]
    return build_test_runner(cfg, args.checkpoint, args.tasks).test()


def build_test_runner(cfg: Config, checkpoint: str, tasks: list[str] | None = None):
    """A runner that can only test.

    Args:
        cfg: A config; changed.
        checkpoint: What to test.
        tasks: Test only these.

    Raises:
        ConfigError: If the config has no such task, or cannot be used.
    """
    cfg.load_from = checkpoint
    cfg.resume = False
    for key in (
        'train_dataloader',
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
        'val_dataloader',
        'val_cfg',
        'val_evaluator',
        'auto_scale_lr',
    ):
        cfg.pop(key, None)
    if tasks:
        _keep_tasks(cfg, tasks)
    return _runner(cfg)


def _runner(cfg: Config):
    if cfg.launcher != 'none':
        # Before a folder is made
        variable_of(cfg.launcher, 'RANK')
    if isinstance(cfg.runner_type, str) and RUNNERS.get(cfg.runner_type) is None:
        raise ConfigError(
            f"runner_type is {cfg.runner_type!r}, which is no runner; use 'MultiDatasetRunner'"
        )
    return RUNNERS.build(cfg)


def _keep_tasks(cfg: Config, tasks: list[str]) -> None:
    unknown = [task for task in tasks if task not in cfg.model.tasks]
    if unknown:
        raise ConfigError(f'--tasks has {unknown}; {cfg.filename} has {list(cfg.model.tasks)}')
    for key in ('test_dataloader', 'test_evaluator'):
        cfg[key] = {task: value for task, value in cfg[key].items() if task in tasks}
    score = cfg.test_cfg.pop('score', None) or {}
    if all(member.split('/')[0] in tasks for member in score):
        cfg.test_cfg.score = score


def write_json(path: str, content, indent: int | None = 2) -> None:
    """Write beside the target and rename, so that no half-written file is ever there.

    NaN is not JSON: a number of a dictionary that is NaN is written as null. To indent takes three
    times as long.
    """
    if isinstance(content, dict):
        content = {key: None if value != value else value for key, value in content.items()}
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    with open(f'{path}.tmp', 'w', encoding='utf-8') as file:
        file.write(f'{json.dumps(content, indent=indent)}\n')
    os.replace(f'{path}.tmp', path)


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
