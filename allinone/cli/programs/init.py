"""A new config for own data: from options or questions to a checked file."""

import math
import os
import os.path as osp
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from allinone.cli.programs.check import check
from allinone.cli.programs.features import features
from allinone.config.loading import load_config
from allinone.config.shipped import PREFIX
from allinone.conversion.own.image_size import files_by_size
from allinone.errors import AllInOneError, ConfigError
from allinone.io.atomic import SUFFIX
from allinone.io.outputs import require_writable
from allinone.io.program import called

from .init_parts import Task, backbones, read_task
from .init_questions import ask

DIVISOR = 32
STEPS, EPOCHS = 3000, (12, 300)
SAVED = 1000  # iterations between checkpoints, where no validation says when
LENGTH = 20000  # in iterations, where the number of images is not known before the data are loaded


class Machine(NamedTuple):
    """What the size of a machine decides.

    Attributes:
        backbone: Default.
        batches: Factor of the data sets' batch sizes.
        longest: Side of images in pixels; None: as converted.
        options: Of the training command.
    """

    backbone: str
    batches: float
    longest: int | None
    options: str


MACHINES = dict(
    small=Machine('mobilenetv3_l', 0.5, 640, ''), large=Machine('convnext_t', 2, None, ' --amp')
)


def run_init(args) -> int:
    """What ``tools/init.py`` does; the exit status."""
    written = _Written()
    try:
        if osp.lexists(args.out):
            raise ConfigError(f'OUT.py is {args.out!r}, which exists; give a new name')
        if not args.out.endswith('.py'):
            raise ConfigError(f'OUT.py is {args.out!r}; give a name that ends in .py')
        require_writable('OUT.py', args.out)
        if sys.stdin.isatty():
            ask(args, {name: machine.backbone for name, machine in MACHINES.items()})
        machine = MACHINES[args.machine or 'small']
        if not args.tasks:
            raise ConfigError('--task is missing; give NAME=KIND:DATA for each task')
        backbone = args.backbone or machine.backbone
        written.note(args.tasks)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of the libraries, about their own code
            text = config_text(args.out, args.tasks, backbone, machine, args.image_size)
            found = write_checked(args.out, text)
    except (AllInOneError, OSError) as error:
        written.remove()
        print(f'error: {error}', file=sys.stderr)
        return 2
    except (KeyboardInterrupt, EOFError):
        written.remove()
        print('\nstopped; nothing is written', file=sys.stderr)
        return 130
    for warning in found:
        print(f'warning: {warning}')
    print(f'{args.out}: no error, {len(found)} warning{"s" * (len(found) != 1)}')
    print(f'train it with: {called("train")} {args.out}{machine.options}')
    return 0


class _Written:
    """Files of smaller images that this call writes into converted folders."""

    def __init__(self) -> None:
        self.folders: set[Path] = set()
        self.before: set[Path] = set()

    def note(self, tasks: Sequence[str]) -> None:
        """Note which files the folders of ``NAME=KIND:DATA`` have."""
        self.folders = {Path(data) for data in (text.partition(':')[2] for text in tasks) if data}
        self.before = self._files()

    def remove(self) -> None:
        """Remove those that have come since."""
        for path in self._files() - self.before:
            with suppress(OSError):
                path.unlink()

    def _files(self) -> set[Path]:
        return {path for folder in self.folders for path in files_by_size(folder)}


def config_text(
    out: str, tasks: Sequence[str], backbone: str, machine: Machine, longest: int | None = None
) -> str:
    """The text of a config, with a comment a line.

    Args:
        out: Where it will lie, which paths of data may be relative to.
        tasks: ``NAME=KIND:DATA`` each.
        backbone: A name in ``configs/_base_/backbones``.
        machine: Its size.
        longest: Longest side of images, in place of the machine's.

    Raises:
        ConfigError: If a task or the backbone cannot be used.
        DataError: If a converted folder cannot.
    """
    if backbone not in backbones():
        raise ConfigError(
            f'--backbone is {backbone!r}, which is not in configs/_base_/backbones; '
            f'{called("features")} --table lists them'
        )
    strides = {found.stride for found in features(backbone).maps}
    found = [read_task(text, len(strides) == 1, longest or machine.longest) for text in tasks]
    names = [task.name for task in found]
    if len(set(names)) < len(names):
        raise ConfigError(f'--task has {names}; give each task a name of its own')
    lines = [
        ('_base_ = [', f'what this config inherits; {called("print_config")} shows all of it'),
        _base('default_runtime', 'log, checkpoints, validation'),
        _base('schedules/adamw_warmup_cosine', 'optimizer and learning rate'),
        _base(f'backbones/{backbone}', 'random weights, unless model.backbone.init_cfg has some'),
        *_bases_of_tasks(out, found),
    ]
    code, comment = lines[-1]
    lines[-1] = (f'{code.removesuffix(",")}]', comment)
    batches = {task.name: _batch_size(task, machine.batches) for task in found}
    sizes = ', '.join(f'{name}=dict(batch_size={size})' for name, size in batches.items())
    model = ', '.join(f'{task.name}={{{{_base_.{task.head}}}}}' for task in found)
    data = ', '.join(f'{task.name}={{{{_base_.{task.variable}}}}}' for task in found)
    # Necks that join maps of several strides want sizes that the largest divides.
    padding = f'data_preprocessor=dict(pad_size_divisor={DIVISOR})'
    lines += [
        (f'model = dict({padding}, tasks=dict({model}))', 'padding of images, a head each'),
        (f'data = dict({data})', 'images and classes'),
        (f'train_dataloader = dict({sizes})', 'less needs less memory'),
        _length(found, batches),
    ]
    if not any(task.validated for task in found):
        lines += [
            ('val_cfg = test_cfg = None', 'no data have a validation split'),
            (
                f'default_hooks = dict(checkpoint=dict(save_best=None, interval={SAVED}))',
                'iterations between checkpoints',
            ),
        ]
    return ''.join(f'{code}  # {comment}\n' for code, comment in lines)


def _base(name: str, comment: str) -> tuple[str, str]:
    return f"    '{PREFIX}_base_/{name}.py',", comment


def _bases_of_tasks(out: str, tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """Lines of ``_base_`` for heads and data, each file once."""
    found: dict[str, tuple[str, str]] = {}
    owners: dict[str, str] = {}
    for task in tasks:
        found.setdefault(task.head_file, _base(f'tasks/{task.head_file}', f'head of {task.name}'))
        path = task.data_file
        if isinstance(path, Path):
            path = _relative(path, osp.dirname(osp.abspath(out)))
            owner = owners.setdefault(task.variable, path)
            if owner != path:
                raise ConfigError(
                    f'{owner} and {path} both have the variable {task.variable}; convert one of '
                    'them again with another --name'
                )
            found.setdefault(path, (f'    {path!r},', f'data of {task.name}'))
        else:
            found.setdefault(path, _base(f'datasets/{path}', f'data of {task.name}'))
    return list(found.values())


def _relative(path: Path, folder: str) -> str:
    """The path from there, unless that leads over the root of the disk."""
    path = path.absolute()
    common = osp.commonpath([str(path), folder])
    return str(path) if common == osp.sep else Path(osp.relpath(path, folder)).as_posix()


def _batch_size(task: Task, factor: float) -> int:
    """That of the data set on this machine: two or more, for the sake of batch norm."""
    size = max(2, round(task.batch_size * factor))
    return min(size, max(2, task.images)) if task.images else size


def _length(tasks: Sequence[Task], batches: dict[str, int]) -> tuple[str, str]:
    """The line that says how long the training is."""
    parts = 'warmup=0.05'
    if any(task.validated for task in tasks):
        parts += ', val_interval=0.1'
    comment = '{}; what is below 1 is a part of them'
    if not all(task.images for task in tasks):
        line = f"train_cfg = dict(type='MultiTaskTrainLoop', max_iters={LENGTH}, {parts})"
        return line, comment.format('iterations')
    steps = {task.name: math.ceil(task.images / batches[task.name]) for task in tasks}
    name = max(steps, key=lambda task: steps[task])
    least, most = EPOCHS
    count = min(max(math.ceil(STEPS / steps[name]), least), most)
    epochs = f'dict(source={name!r}, n={count})'
    line = f"train_cfg = dict(type='MultiTaskTrainLoop', epochs={epochs}, {parts})"
    return line, comment.format(f'passes over {name}')


def write_checked(out: str, text: str) -> list[str]:
    """Check a config, then write it; the warnings.

    Args:
        out: The new file.
        text: Of the config.

    Raises:
        AllInOneError: What would stop a run; then nothing is written.
    """
    folder, name = osp.split(osp.abspath(out))
    os.makedirs(folder, exist_ok=True)
    # Beside its place, for paths in it are relative to it. MMEngine wants the ending.
    trial = osp.join(folder, f'{name}{SUFFIX}.py')
    try:
        Path(trial).write_text(text, encoding='utf-8')
        try:
            found = check(load_config(trial))
        except AllInOneError as error:
            raise type(error)(str(error).replace(trial, out)) from error
        try:
            os.link(trial, out)  # Fails if it has come to exist, unlike a renaming.
        except FileExistsError as error:
            raise ConfigError(f'OUT.py is {out!r}, which exists by now; give a new name') from error
        except OSError:  # No links on this disk
            os.rename(trial, out)
    finally:
        with suppress(FileNotFoundError):
            os.remove(trial)
    return [warning.replace(trial, out) for warning in found]
