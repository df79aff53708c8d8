"""Training images per second from files, tars and LMDB."""

import itertools
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import mmcv
from mmengine.fileio import get
from mmengine.registry import DefaultScope
from torch.utils.data import Dataset

from allinone.data.loaders import build_loader, in_this_process
from allinone.data.seeded import IMAGE_KEYS, SeededDataset
from allinone.data.storage.lmdb_packs import LmdbPackBackend
from allinone.data.storage.packs import PackBackend, pack
from allinone.errors import ConfigError
from allinone.io.image_files import is_local

from .measure import median_interval, seconds

IMAGES = 32  # per round
STAGES = ('read', 'decoded', 'pipeline')
FILES = 'files'


def measure_data(cfg, task: str | None, rounds: int, images: int = IMAGES) -> dict:
    """Read the same training images from each source, in alternation, in this process.

    The packs have all training images of a task, in a temporary folder. All sources are in the
    page cache, because they were written or read just before.

    Args:
        cfg: The joint config.
        task: Measure only this task; None: all.
        rounds: Measured rounds, after one warm-up round.
        images: Number of training images per round, in the order of training.

    Returns:
        ``{task: {'files', 'bytes', 'stages'}}``: number and size of the files, and
        ``{stage: {source: {'per_s', 'ratio', 'interval'}}}``: images per second (median), and the
        median of the rounds' ratios to files with its 95 % confidence interval. The stages are
        ``read``, ``decoded`` (including label maps) and ``pipeline``, the full work of a worker.

    Raises:
        ConfigError: If there is no such task, or it does not read local files.
    """
    loaders = cfg['train_dataloader']
    if task is not None and task not in loaders:
        raise ConfigError(f'--task is {task!r}; the tasks are {list(loaders)}')
    found = {}
    with DefaultScope.overwrite_default_scope('allinone'):
        for name in [task] if task else loaders:
            with tempfile.TemporaryDirectory() as folder:
                found[name] = _measure(cfg, name, rounds, images, Path(folder))
    return found


def _measure(cfg, task: str, rounds: int, images: int, folder: Path) -> dict:
    key = f'train_dataloader.{task}'
    loader = build_loader(
        key, task, in_this_process(cfg['train_dataloader'][task]), 0, None, True, False
    )
    dataset = loader.dataset
    paths = {path for index in range(len(dataset)) for path in dataset.paths(index)}
    foreign = sorted(path for path in paths if not is_local(path))
    if foreign or not paths:
        raise ConfigError(
            f'{key} reads {foreign[0] if foreign else "no file"}; point it to images in files, '
            'of which the packs are made'
        )
    sources = _sources(sorted(paths), folder)
    where = {}
    _redirect(dataset, where)
    times = {stage: defaultdict(list) for stage in STAGES}
    draws = itertools.cycle(loader.batch_sampler.sampler)
    for number in range(rounds + 1):
        drawn = list(itertools.islice(draws, images))
        for place in range(len(sources)):
            # Each source is first equally often.
            source = list(sources)[(number + place) % len(sources)]
            where.update(sources[source])
            for stage, call in _stages(dataset, drawn).items():
                times[stage][source].append(seconds(call))
    stages = {
        stage: {source: _values(of[source][1:], of[FILES][1:], images) for source in sources}
        for stage, of in times.items()
    }
    return dict(files=len(paths), bytes=sum(map(os.path.getsize, paths)), stages=stages)


def _sources(paths: list[str], folder: Path) -> dict[str, dict[str, str]]:
    """``{source: {path: address of the file in that source}}``."""
    absolute = {path: os.path.abspath(path) for path in paths}
    top = os.path.commonpath(map(os.path.dirname, absolute.values()))
    names = {path: os.path.relpath(file, top) for path, file in absolute.items()}
    for path, name in names.items():
        (folder / FILES / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / FILES / name).symlink_to(absolute[path])
    sources = {FILES: dict(zip(paths, paths))}
    for backend in (PackBackend, LmdbPackBackend):
        out = folder / f'packed{backend.SUFFIX}'
        pack(folder / FILES, out)
        at = {path: f'{backend.SCHEME}{out}/{name}' for path, name in names.items()}
        sources[backend.SUFFIX[1:]] = at
    return sources


def _redirect(dataset: Dataset, where: Mapping[str, str]) -> None:
    """Let a data set, and those it wraps, read each image from its current address in ``where``."""
    own = vars(dataset)
    inside = [own['dataset']] if 'dataset' in own else own.get('datasets', ())
    for part in inside:
        _redirect(part, where)
    if inside or not hasattr(dataset, 'get_data_info'):
        return
    known = dataset.get_data_info

    def get_data_info(index: int) -> dict:
        info = known(index)
        moved = {key: where.get(info[key], info[key]) for key in IMAGE_KEYS if info.get(key)}
        return info | moved

    dataset.get_data_info = get_data_info


def _stages(dataset: SeededDataset, drawn: list) -> dict[str, Callable[[], object]]:
    files = [
        (info[key], 'color' if key == 'img_path' else 'unchanged')
        for info in map(dataset.get_data_info, map(int, drawn))
        for key in IMAGE_KEYS
        if info.get(key)
    ]

    def read() -> None:
        for path, _ in files:
            get(path)

    def decoded() -> None:
        for path, flag in files:
            mmcv.imfrombytes(get(path), flag=flag)

    return dict(read=read, decoded=decoded, pipeline=partial(list, map(dataset.__getitem__, drawn)))


def _values(times: list[float], of_files: list[float], images: int) -> dict:
    ratio, *interval = median_interval([files / own for own, files in zip(times, of_files)])
    return dict(per_s=images / median_interval(times)[0], ratio=ratio, interval=interval)


def data_table(found: Mapping) -> str:
    """The result of :func:`measure_data`, one row for each task and stage."""
    sources = list(next(iter(found.values()))['stages'][STAGES[0]])
    packed = [source for source in sources if source != FILES]
    lines = [
        '| task | images/s | '
        + ' | '.join([*sources, *(f'{source} / {FILES} (95 %)' for source in packed)])
        + ' |',
        '|---' * (2 + len(sources) + len(packed)) + '|',
    ]
    for task, row in found.items():
        for stage, of in row['stages'].items():
            values = [f'{of[source]["per_s"]:.0f}' for source in sources]
            for source in packed:
                low, high = of[source]['interval']
                values.append(f'{of[source]["ratio"]:.2f} ({low:.2f} to {high:.2f})')
            lines.append(f'| {task} | {stage} | {" | ".join(values)} |')
    sizes = ', '.join(
        f'{task} {row["files"]} of {row["bytes"] / 1e6:.1f} MB' for task, row in found.items()
    )
    return '\n'.join([*lines, f'Files: {sizes}, read from memory.'])
