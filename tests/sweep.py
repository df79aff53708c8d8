"""Try every config of mmdet, mmseg and mmpretrain as a task: build, one step, one prediction.

    python tests/sweep.py mmdet mmseg mmpretrain --results sweep.jsonl --out sweep.md --jobs 2

No test of the suite, for it takes an hour on two cores. Of the configs with the same classes of
model, backbone, neck and heads the smallest is tried, with random weights and two small images.
Each attempt is a process with limits of time and memory. ``--results`` keeps the results: a second
call tries what is not in it, and with ``--retry`` what failed. Where a config fails, the library's
model is tried without the joint model on the same samples, which shows whether the failure is
upstream.
"""

import argparse
import json
import logging
import multiprocessing
import re
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import sweep_configs
import sweep_samples
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

import allinone.models  # noqa: F401
from allinone.registry import MODELS
from allinone.registry.kinds import kind_of_config
from allinone.visualization.palette import ClassTable

LIBRARIES = ('mmdet', 'mmseg', 'mmpretrain')
MARKS = dict(
    ok='works',
    other='another kind of model',
    refused='refused',
    step='fails in the step',
    predict='fails to predict',
)
COUNTED = ('ok', 'refused', 'step', 'predict', 'stopped', 'other')
TABLE = (
    *('library', 'models', 'work', 'refused', 'fail in the step', 'fail to predict', 'stopped'),
    *('of another kind', 'folders that work', 'in part'),
)
STAGES = ('refused', 'step', 'predict')
# Failures that do not depend on the size of the image
FIXED = '(Attribute|Key|Type|Import|FileNotFound)Error|not installed|cannot be built|registered'
OTHER = ('has no `backbone`', 'of no registered kind')


class FailedError(Exception):
    """An attempt failed in ``stage``."""

    def __init__(self, stage: str, error: BaseException):
        super().__init__(f'{type(error).__name__}: {error}')
        self.stage = stage


def attempt(library: str, name: str, build_only: bool = False) -> dict:
    """Try a config at each size of images until one works."""
    torch.manual_seed(0)
    cfg = Config.fromfile(sweep_configs.config_root(library) / name)
    for count in ('iter', 'epoch'):
        MessageHub.get_current_instance().update_info(count, 0)
    if 'backbone' not in cfg.model:
        return dict(status='refused', size=None, error='the model has no `backbone`', alone='')
    failures = []
    for size in sweep_configs.image_sizes(library, cfg):
        try:
            note = joint(library, cfg, size, build_only)
            return dict(status='ok', size=size, error=note, alone='')
        except FailedError as error:
            failures.append((STAGES.index(error.stage), -size, error))
            if re.search(FIXED, str(error)):
                break
    # The smallest image that got furthest
    _, size, error = max(failures, key=lambda failure: failure[:2])
    size = -size
    result = '' if build_only else alone(library, cfg, size)
    return dict(status=error.stage, size=size, error=_short(error), alone=result)


def joint(library: str, cfg, size: int, build_only: bool = False) -> str:
    """Build, step and predict as a task; what is to be noted."""
    scope = sweep_configs.scope_of(library, cfg)
    stage = 'refused'
    try:
        with DefaultScope.overwrite_default_scope('allinone'):
            tiny = sweep_configs.tiny(library, cfg, size)
            model = MODELS.build(sweep_configs.joint_config(scope, tiny))
        if build_only:
            return 'built'
        model.init_weights()
        kind = model.kinds['task']
        stage = 'step'
        params = [param for param in model.parameters() if param.requires_grad]
        optim = OptimWrapper(torch.optim.SGD(params, lr=1e-4))
        classes = kind.num_classes(model.tasks['task'])
        data = sweep_samples.batch(kind, cfg, classes, size)
        log = model.train().train_step(dict(task=data), optim)
        if not torch.isfinite(torch.as_tensor(log['task/loss'])):
            raise ArithmeticError(f'the loss is {float(log["task/loss"])}')
        stage = 'predict'
        samples = model.eval().predict(sweep_samples.images(size))['task']
        if not kind.predicts(samples[0]):
            return f'predicts {", ".join(sorted(samples[0].keys()))}, of which there is no record'
        kind.to_record(samples[0], ClassTable({}))
    except Exception as error:
        raise FailedError(stage, error) from error
    return ''


def alone(library: str, cfg, size: int) -> str:
    """How the library's own model fares on the same samples."""
    stage = 'build'
    try:
        with DefaultScope.overwrite_default_scope(sweep_configs.scope_of(library, cfg)):
            model = MODELS.build(sweep_configs.tiny(library, cfg, size))
            model.init_weights()
            kind = kind_of_config('', dict(type=type(model)))
            classes = kind.num_classes(model)
            stage = 'step'
            data = sweep_samples.batch(kind, cfg, classes, size)
            losses = model.train()._run_forward(model.data_preprocessor(data, True), mode='loss')
            model.parse_losses(losses)[0].backward()
            stage = 'predict'
            with torch.no_grad():
                model.eval().test_step(sweep_samples.batch(kind, cfg, classes, size))
    except Exception as error:
        return f'fails to {stage}: {_short(FailedError(stage, error))}'
    return 'works'


def _short(error: Exception) -> str:
    return ' '.join(str(error).split())[:600]


def import_library(library: str) -> None:
    for name in {library, 'mmpretrain'}:  # whose classifiers and backbones the others have
        import_module(f'{name}.models')
        import_module(f'{name}.structures')


def _work(library: str, name: str, build_only: bool, pipe) -> None:
    logging.disable(logging.CRITICAL)  # Initial weights are logged one by one.
    try:
        result = attempt(library, name, build_only)
    except Exception as error:
        result = dict(
            status='refused', size=None, error=f'{type(error).__name__}: {error}', alone=''
        )
    pipe.send(result)


def _memory(pid: int) -> float:
    """Resident memory of a process in GB."""
    try:
        text = Path(f'/proc/{pid}/status').read_text()
    except OSError:
        return 0
    found = re.search(r'VmRSS:\s+(\d+)', text)
    return int(found.group(1)) / 2**20 if found else 0


def attempts(
    tasks: list, jobs: int, seconds: float, memory: float, build_only: bool
) -> Iterator[tuple[tuple, dict]]:
    """Results of ``(library, config)``, in processes of their own, as they are ready."""
    context, waiting, running = multiprocessing.get_context('fork'), list(tasks), []
    while waiting or running:
        while waiting and len(running) < jobs:
            task = waiting.pop(0)
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(*task, build_only, sender))
            process.start()
            sender.close()
            running.append((task, process, receiver, time.monotonic()))
        for entry in list(running):
            task, process, receiver, start = entry
            took, result = time.monotonic() - start, None
            if receiver.poll():
                try:
                    result = receiver.recv()
                except EOFError:
                    process.join()
                    result = _stopped(f'the process ended with {process.exitcode}')
            elif took > seconds:
                result = _stopped(f'more than {seconds:.0f} s')
            elif _memory(process.pid) > memory:
                result = _stopped(f'more than {memory} GB of memory')
            if result is not None:
                process.kill()
                process.join()
                running.remove(entry)
                yield task, dict(result, seconds=round(took, 1))
        time.sleep(0.1)


def _stopped(reason: str) -> dict:
    return dict(status='stopped', size=None, error=reason, alone='')


def table(results: list[dict], groups: Mapping[tuple[str, str], list[str]]) -> str:
    """Counts per library, and each config that fails with the reason.

    Args:
        results: Of the tried configs.
        groups: ``{(library, tried config): configs of its kind}``.
    """
    lines = ['| ' + ' | '.join(TABLE) + ' |', '|---' * len(TABLE) + '|']
    for library in LIBRARIES:
        own = [result for result in results if result['library'] == library]
        if not own:
            continue
        count = Counter(map(_status, own))
        folders = defaultdict(list)
        for result in own:
            for folder in {name.split('/')[0] for name in groups[library, result['config']]}:
                if _status(result) != 'other':
                    folders[folder].append(result['status'] == 'ok')
        full = sum(all(works) for works in folders.values())
        some = sum(any(works) for works in folders.values()) - full
        counts = [count[status] for status in COUNTED]
        row = [library, len(own) - count['other'], *counts, f'{full} of {len(folders)}', some]
        lines.append('| ' + ' | '.join(map(str, row)) + ' |')
    lines += [
        '',
        '| config (number of its kind) | result | reason | library alone |',
        '|---' * 4 + '|',
    ]
    for result in sorted(results, key=lambda r: (LIBRARIES.index(r['library']), r['config'])):
        if result['status'] == 'ok' and result['error'] in ('', 'built'):
            continue
        row = [
            f'{result["library"]} `{result["config"]}` ({result["count"]})',
            MARKS.get(_status(result), result['status']),
            result['error'][:240].replace('|', '/'),
            result['alone'][:120].replace('|', '/'),
        ]
        lines.append('| ' + ' | '.join(row) + ' |')
    return '\n'.join(lines) + '\n'


def _status(result: Mapping) -> str:
    """The status, or ``'other'`` of a model that is no task: videos, pretraining, wrappers."""
    return 'other' if any(words in result['error'] for words in OTHER) else result['status']


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('libraries', nargs='*', default=LIBRARIES)
    parser.add_argument('--results', type=Path, default=Path('sweep.jsonl'), help='(%(default)s)')
    parser.add_argument('--out', type=Path, help='write the table here, not to stdout')
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--only', default='', help='configs whose path matches this expression')
    parser.add_argument('--folders', action='store_true', help='one config of each folder')
    parser.add_argument(
        '--build', action='store_true', help='build only, without step or prediction'
    )
    parser.add_argument('--retry', action='store_true', help='try again what failed')
    parser.add_argument('--seconds', type=float, default=300, help='limit an attempt')
    parser.add_argument('--gigabytes', type=float, default=6, help='limit an attempt')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    warnings.filterwarnings('ignore')
    torch.set_num_threads(1)  # Children of a process with threads would wait for them.
    known = {}
    if args.results.exists():
        for line in args.results.read_text().splitlines():
            result = json.loads(line)
            known[result['library'], result['config']] = result
    groups = {}
    for library in args.libraries:
        import_library(library)
        for same in groups_of(library, args.results):
            groups[library, same[0]] = same
    todo = [
        task
        for task in groups
        if re.search(args.only, task[1])
        and (task not in known or (args.retry and known[task]['status'] != 'ok'))
    ]
    todo = folders_first(todo, args.folders)
    results = attempts(todo, args.jobs, args.seconds, args.gigabytes, args.build)
    for number, (task, result) in enumerate(results):
        library, config = task
        result = dict(library=library, config=config, count=len(groups[task]), **result)
        known[task] = result
        with args.results.open('a') as file:
            file.write(json.dumps(result) + '\n')
        print(f'[{number + 1}/{len(todo)}]', *map(str, result.values()), file=sys.stderr)
    text = table([known[task] for task in groups if task in known], groups)
    if args.out:
        args.out.write_text(text)
    else:
        print(text)


def groups_of(library: str, results: Path) -> list[list[str]]:
    """Configs of each kind; read once and kept beside the results, for it takes a minute."""
    kept = results.with_suffix(f'.{library}.json')
    if not kept.exists():
        kept.write_text(json.dumps(list(sweep_configs.groups(library).values())))
    return json.loads(kept.read_text())


def folders_first(tasks: list[tuple[str, str]], only: bool) -> list[tuple[str, str]]:
    """The smallest config of each folder before the others, which differ less; or those alone."""
    tasks = sorted(tasks, key=lambda t: (LIBRARIES.index(t[0]), sweep_configs.size_of_name(t[1])))
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for library, config in tasks:
        first.setdefault((library, config.split('/')[0]), (library, config))
    chosen = list(first.values())
    return chosen if only else chosen + [task for task in tasks if task not in chosen]


if __name__ == '__main__':
    main(parse_args())
