"""What a run is: config, data, seed, environment; and whether a resumed run can be the same."""

import json
import os.path as osp
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version

import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import get_world_size

from allinone.config.check import KNOWN_KEYS
from allinone.errors import ConfigError
from allinone.io.digests import file_hash
from allinone.io.image_files import is_local
from allinone.io.renames import renamed_record
from allinone.io.text import cut_short, shortened
from allinone.tasks import TaskKind

from .schedule_ends import LENGTH, ends_of_schedules

SHOWN = 6
FORKS = (
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmdetection',
    'onedl-mmsegmentation',
    'onedl-mmpretrain',
)
# Keys that change nothing of what is learned.
HARMLESS = (
    'work_dir',
    'resume',
    'load_from*',
    'load_classes',
    'launcher',
    'model_wrapper_cfg*',
    'log_level',
    'log_processor*',
    'visualizer*',
    'vis_backends*',
    'experiment_name',
    'inference*',
    'env_cfg*',
    # Of parameters that are grouped twice, without which the optimizer is not built
    'optim_wrapper.paramwise_cfg.bypass_duplicate',
    'default_hooks.runtime_info*',
    'default_hooks.logger*',
    'default_hooks.timer*',
    'default_hooks.bad_steps*',
    'default_hooks.batch_sizes*',
    'default_hooks.follow_validation*',
    'default_hooks.checkpoint*',
    'default_hooks.visualization*',
    'test_*',
    'train_cfg.check_data',
    'train_cfg.dry_run',
    *(
        f'train_dataloader.*.{key}'
        for key in (
            'num_workers',
            'prefetch_factor',
            'persistent_workers',
            'pin_memory',
            'timeout',
            'multiprocessing_context',
            'disable_subprocess_warning',
        )
    ),
    # The files are compared by their content instead.
    *(f'train_dataloader.*.{key}' for key in ('data_root', 'ann_file', 'data_prefix*')),
)
# They are seen by methods that follow validation, and change nothing else.
VALIDATION = ('val_*', 'train_cfg.val_*', 'train_cfg.dynamic_intervals*')
BATCH_SIZE = 'train_dataloader.{source}.batch_size'


def run_record(runner, cfg: Mapping) -> dict:
    """What makes a run the run it is, in plain containers that JSON and a checkpoint hold.

    Args:
        runner: The runner of a training.
        cfg: Its config, in iterations of this training
            (:func:`~allinone.training.follow_length.run_config`).

    Returns:
        ``config`` ``{dotted key: repr}`` of the keys that the runner reads; ``seed``;
        ``processes``; ``datasets`` ``{'train_dataloader.TASK': {'size', 'annotations'}}`` with
        the number of images with labels of the task and the SHA-256 of each annotation file (of a
        shared source the key is ``'train_dataloader.SOURCE.dataset.labels.TASK'``); ``teachers``
        ``{checkpoint: SHA-256}``; ``environment``; ``git``; ``command``; ``time``.
    """
    config = flat_config(cfg)
    config.pop('randomness.seed', None)  # None there is a seed of the runner's own choice.
    kinds = getattr(runner.model, 'module', runner.model).kinds
    loaders = {'train_dataloader': runner.train_dataloader}
    if runner.val_loop is not None:
        loaders['val_dataloader'] = runner.val_dataloader
    return dict(
        config=config,
        seed=runner.seed,
        processes=get_world_size(),
        datasets={
            f'{key}.{part.key}': dict(
                size=part.images,
                annotations=dict(annotation_hashes(part.dataset, kinds[part.task])),
            )
            for key, sources in loaders.items()
            for part in sources.parts
        },
        teachers=_teachers(runner.model),
        environment=environment(),
        git=git_commit(),
        command=list(sys.argv),
        time=time.strftime('%Y-%m-%dT%H:%M:%S%z'),
    )


def _teachers(model) -> dict[str, str]:
    distillation = getattr(getattr(model, 'module', model), 'distillation', None)
    return {path: file_hash(path) for path in distillation.files()} if distillation else {}


def flat_config(cfg) -> dict[str, str]:
    """``{dotted key: repr of the value}`` of the keys that the runner reads."""
    flat = {}

    def visit(key: str, value) -> None:
        if isinstance(value, Mapping) and value:
            for name, part in value.items():
                visit(f'{key}.{name}', part)
        elif isinstance(value, (list, tuple)) and any(isinstance(part, Mapping) for part in value):
            for number, part in enumerate(value):
                visit(f'{key}.{number}', part)
        else:
            # A config read from a file that it was dumped to has lists for tuples.
            flat[key] = repr(list(value) if isinstance(value, tuple) else value)

    for key, value in cfg.items():
        if key in KNOWN_KEYS:
            visit(key, value.to_dict() if hasattr(value, 'to_dict') else value)
    return flat


def annotation_hashes(dataset: BaseDataset, kind: TaskKind) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each annotation file, and of labels that are elsewhere.

    Wrappers and concatenations are followed as in ``check_dataset``.
    """
    for part in getattr(dataset, 'datasets', ()):
        yield from annotation_hashes(part, kind)
    if hasattr(dataset, 'datasets'):
        return
    if 'dataset' in vars(dataset):
        yield from annotation_hashes(dataset.dataset, kind)
        return
    path = getattr(dataset, 'ann_file', '')
    in_file = isinstance(path, str) and path and (not is_local(path) or osp.isfile(path))
    if in_file:
        yield path, file_hash(path, getattr(dataset, 'backend_args', None))
    if hasattr(dataset, 'get_data_info') and len(dataset):
        yield from kind.further_digests(dataset, bool(in_file))


def environment() -> dict[str, str]:
    """Versions and device; the log of the run has more."""
    packages = ('torch', 'torchvision', 'numpy', 'opencv-python', *FORKS)
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'
    return dict(python=platform.python_version(), system=platform.platform(), device=device) | found


def git_commit() -> str | None:
    """Commit of the checkout the code lies in, with ``-dirty`` where files differ; None: no git."""
    try:
        found = subprocess.run(
            ['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*'],
            cwd=osp.dirname(osp.abspath(__file__)),
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def changes(before: Mapping, now: Mapping, follows_validation: bool, follows_length: bool):
    """What differs between the records of two starts.

    Args:
        before: Of the run that saved the checkpoint.
        now: Of the run that would go on.
        follows_validation: Whether validation changes what is learned.
        follows_length: Whether the number of steps to come changes the steps before.

    Returns:
        Two lists of clauses: what makes it another run, and what does not.
    """
    harmless = (*HARMLESS, *(() if follows_validation else VALIDATION))
    harmless = (*harmless, *(() if follows_length else LENGTH))
    other: list[str] = []
    same: list[str] = []
    other_steps: list[str] = []
    if before['processes'] != now['processes']:
        other_steps = list(_step_changes(before, now))
        if not other_steps:
            # The same images in each step; what differs is rounding, dropout and batch norm.
            harmless = (*harmless, BATCH_SIZE.format(source='*'))
            same.append(f'processes was {before["processes"]} and is {now["processes"]}')
    configs = [renamed_record(record['config']) for record in (before, now)]
    follow = [ends_of_schedules(config) for config in configs]
    configs = [config | ends for config, ends in zip(configs, follow, strict=True)]
    for key in sorted(configs[0].keys() | configs[1].keys()):
        old, new = (config.get(key, 'not set') for config in configs)
        if old != new:
            clauses = same if any(fnmatchcase(key, name) for name in harmless) else other
            why = ' (it follows the length of the training)' if key in follow[1] else ''
            clauses.append(f'{key} was {cut_short(old)} and is {cut_short(new)}{why}')
    if before['seed'] != now['seed']:
        other.append(f'seed was {before["seed"]} and is {now["seed"]}')
    other.extend(other_steps)
    for key in sorted(before['datasets'].keys() | now['datasets'].keys()):
        learned = key.startswith('train_') or follows_validation
        clauses = other if learned else same
        clauses.extend(_data_changes(key, before['datasets'].get(key), now['datasets'].get(key)))
    for path, digest in now.get('teachers', {}).items():
        if before.get('teachers', {}).get(path, digest) != digest:
            other.append(f'the teacher {path} changed')
    for name in sorted(before['environment'].keys() | now['environment'].keys()):
        old, new = (record['environment'].get(name) for record in (before, now))
        if old != new:
            same.append(f'{name} was {cut_short(str(old))} and is {cut_short(str(new))}')
    if before['git'] != now['git']:
        same.append(f'the code was {before["git"]} and is {now["git"]}')
    return other, same


def _step_changes(before: Mapping, now: Mapping) -> Iterator[str]:
    """Where the number of images of a step, processes times batch size, is not what it was."""
    sources = [key.split('.')[1] for key in now['datasets'] if key.startswith('train_')]
    for source in dict.fromkeys(sources):
        key = BATCH_SIZE.format(source=source)
        old, new = (
            record['processes'] * int(record['config'].get(key, 1)) for record in (before, now)
        )
        if old != new:
            count, left = divmod(old, now['processes'])
            yield (
                f'a step had {old} images of {source} in {before["processes"]} processes and has '
                f'{new} in {now["processes"]}' + ('' if left else f' ({key}={count} keeps them)')
            )


def _data_changes(key: str, old: Mapping | None, new: Mapping | None) -> Iterator[str]:
    if old is None or new is None:
        return  # The config says so already.
    if old['size'] != new['size']:
        yield f'{key} had {old["size"]} samples and has {new["size"]}'
    before, after = (list(record['annotations'].values()) for record in (old, new))
    # Earlier versions did not hash all labels: what is more now has nothing to be compared with.
    if before != [digest for digest in after if digest in before]:
        changed = [path for path, digest in new['annotations'].items() if digest not in before]
        yield f'the annotations of {key} changed ({", ".join(changed)})'


def require_same_run(path: str, other: list[str]) -> None:
    """Refuse to go on as another run.

    Raises:
        ConfigError: If ``other`` names anything.
    """
    if other:
        raise ConfigError(
            f'{path} is of another run: {shortened(other, SHOWN, "; ", "; ")}; put it back, or go '
            'on all the same with --force-resume'
        )


def record_text(record: Mapping) -> bytes:
    return f'{json.dumps(record, indent=2)}\n'.encode()
