"""One PyTorch loader for each task, its data set checked and its draws seeded."""

import inspect
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from json import JSONDecodeError

from mmdet.datasets.transforms import CachedMixUp, CachedMosaic
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from allinone.config.build_errors import named, places
from allinone.config.data_sets import map_inner, scoped_dataset
from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.registry.kinds import kind_of_dataset_class
from allinone.tasks import TaskKind
from allinone.tasks.coco import reading_normalised

from .checks import check_dataset
from .seeded import MapDataset, SeededDataset
from .task_loaders import TIMEOUT
from .workers import start_worker

CUTTING = ('drop_last', 'num_batch_per_epoch')  # They leave out a part of the data set.
PATH_KEYS = ('data_root', 'ann_file', 'data_prefix', 'img_suffix')


def build_loader(
    key: str,
    task: str,
    cfg: dict,
    seed: int,
    num_classes: int | None,
    train: bool,
    check: bool,
    kind: TaskKind | None = None,
) -> DataLoader:
    """An upstream DataLoader of one task, its data set checked and its draws seeded.

    Args:
        key: Where the config stands, for messages: ``train_dataloader.det``.
        task: Name of the task.
        cfg: mmengine's dataloader config, and for training ``skip_corrupt``; its ``timeout`` is
            read by :func:`batch_timeout`.
        seed: The run's seed.
        num_classes: Of the task's head; None where it has no such number.
        train: Draw endlessly in a random order (``SeededInfiniteSampler``) unless ``cfg`` has a
            sampler.
        check: Compare annotations, images and label maps before the first batch.
        kind: Of the task. Default: by the data set's class, for checks alone.

    Raises:
        ConfigError: If it cannot be built, or a sample would depend on what was drawn before it.
        DataError: If the data cannot be read.
    """
    cfg = dict(cfg)
    skip_corrupt = cfg.pop('skip_corrupt', False)
    if skip_corrupt and not train:
        raise ConfigError(
            f'{key}.skip_corrupt={skip_corrupt}: it would change the metrics, so it '
            'is for train_dataloader alone; remove it here'
        )
    for option in CUTTING:
        if cfg.get(option) and not train:
            raise ConfigError(
                f'{key}.{option} is {cfg[option]!r}: metrics would be of a part of the data set, '
                'so it is for train_dataloader alone; remove it here'
            )
    dataset_cfg = cfg.get('dataset')
    if not isinstance(dataset_cfg, dict):
        raise ConfigError(f'{key}.dataset is {dataset_cfg!r}; give the config of a data set')
    if train:
        _refuse_caches(f'{key}.dataset', dataset_cfg)
    with named(f'{key}.dataset', dataset_cfg):
        dataset = _build_dataset(_with_defaults(dataset_cfg, kind, num_classes))
        if check:
            check_dataset(dataset, num_classes, skip_corrupt, kind)
    cfg['dataset'] = SeededDataset(dataset, task, seed, skip_corrupt, may_skip=train)
    if check:
        _check_pipeline(f'{key}.dataset.pipeline', cfg['dataset'], kind)
    cfg.setdefault(
        'sampler',
        dict(type='allinone.SeededInfiniteSampler')
        if train
        else dict(type='DefaultSampler', shuffle=False),
    )
    if cfg.get('num_workers'):
        cfg.setdefault('persistent_workers', True)
    cfg.pop('timeout', None)  # That of PyTorch is for workers only; see TaskLoaders.
    with named(key, {name: part for name, part in cfg.items() if name != 'dataset'}):
        loader = Runner.build_dataloader(cfg, seed=seed)
    loader.worker_init_fn = partial(start_worker, loader.worker_init_fn)
    return loader


def batch_timeout(key: str, cfg: Mapping) -> float:
    """The longest that a batch may take, in seconds, with or without workers; 0: any time.

    Args:
        key: Where the config stands, for messages.
        cfg: A dataloader's, whose ``timeout`` is read.

    Raises:
        ConfigError: If that is no such number.
    """
    timeout = cfg.get('timeout', TIMEOUT)
    if not isinstance(timeout, (int, float)) or timeout < 0:
        raise ConfigError(f'{key}.timeout is {timeout!r}; give seconds, or 0 for any time')
    return timeout


def training_batches(
    cfg: Mapping, tasks: Iterable[str], seed: int = 0
) -> Iterator[dict[str, dict]]:
    """Endless ``{task: batch}`` of a config's training data, loaded in this process.

    Args:
        cfg: The joint config.
        tasks: Of which tasks.
        seed: Of order and augmentation.
    """
    loaders = {
        task: _endless(
            build_loader(
                f'train_dataloader.{task}',
                task,
                in_this_process(cfg['train_dataloader'][task]),
                seed,
                None,
                True,
                False,
            )
        )
        for task in tasks
    }
    while True:
        yield {task: next(loader) for task, loader in loaders.items()}


def in_this_process(cfg: Mapping) -> dict:
    """A dataloader's config without workers, and without the options that only they have."""
    options = ('persistent_workers', 'prefetch_factor')
    return {key: value for key, value in cfg.items() if key not in options} | dict(num_workers=0)


def _refuse_caches(key: str, cfg: dict) -> None:
    for path, name in places(key, cfg, (CachedMixUp, CachedMosaic)):
        raise ConfigError(
            f'{path}.type is {name!r}, which mixes images that its worker happens to have read, '
            'so a resumed run would be another; use '
            f"{name.removeprefix('Cached')!r} in the pipeline of type='mmdet.MultiImageMixDataset'"
        )


def _endless(loader: Iterable) -> Iterator:
    """A finite sampler of the user's own goes round again."""
    while True:
        yield from loader


def _build_dataset(cfg: dict) -> MapDataset:
    if not isinstance(cfg.get('pipeline', []), (list, tuple)):
        raise ConfigError(f'pipeline is {cfg["pipeline"]!r}; give a list of transforms')
    paths = ', '.join(f'{name}={cfg[name]!r}' for name in PATH_KEYS if cfg.get(name))
    try:
        with reading_normalised():
            dataset = MMENGINE_DATASETS.build(scoped_dataset(cfg))
            if hasattr(dataset, 'full_init'):
                dataset.full_init()
        size = len(dataset)
    except (UnicodeDecodeError, JSONDecodeError) as error:
        remedy = 'save it as UTF-8' if isinstance(error, UnicodeDecodeError) else 'make it again'
        raise DataError(f'the annotation file is damaged ({paths}): {error}; {remedy}') from error
    except Exception as error:
        if isinstance(error, (AllInOneError, OSError)):
            raise
        # So mmengine fails on packing a list of no samples.
        if 'need at least one array' not in str(error):
            if not _while_reading(error):
                raise
            words = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise DataError(
                f'the data set cannot be read with {paths}: {words}; fix the annotations, or '
                'these keys'
            ) from error
        size = 0
    if size == 0:
        raise DataError(f'the data set is empty; check its files and filter_cfg ({paths})')
    return dataset


def _with_defaults(cfg: dict, kind: TaskKind | None, num_classes: int | None) -> dict:
    cfg = map_inner(cfg, lambda part: _with_defaults(dict(part), kind, num_classes))
    cls = cfg.get('type')
    cls = MMENGINE_DATASETS.get(cls) if isinstance(cls, str) else cls
    kind = kind or (kind_of_dataset_class(cls) if inspect.isclass(cls) else None)
    if kind is None or num_classes is None:
        return cfg
    return kind.dataset_defaults(cfg, cls, num_classes)


def _check_pipeline(key: str, dataset: SeededDataset, kind: TaskKind | None) -> None:
    """Whether a sample comes out as models take it; else each loader fails at its first batch."""
    # A broken image is met again in training, where skip_corrupt has its say.
    with suppress(DataError):
        try:
            sample = dataset[0]
        except RuntimeError as error:
            raise ConfigError(f'{key} fails: {" ".join(str(error).split())}; fix it') from error
        if not isinstance(sample, Mapping) or 'inputs' not in sample:
            found = sorted(sample) if isinstance(sample, Mapping) else type(sample).__name__
            raise ConfigError(
                f"{key} ends with {found}, but models take 'inputs' and 'data_samples'; end it "
                f'with {kind.packer if kind and kind.packer else "a packing transform"}'
            )


def _while_reading(error: Exception) -> bool:
    """Whether the annotations are at fault, and not what the config says of the data set."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name == 'load_data_list' for frame, _ in frames)
