"""The loaders of all tasks behind the one that mmengine's runner and hooks expect."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from json import JSONDecodeError
from types import SimpleNamespace

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from allinone.datasets.checks import check_dataset
from allinone.datasets.seeded import SeededDataset
from allinone.errors import AllInOneError, ConfigError, DataError

PATH_KEYS = ('data_root', 'ann_file', 'data_prefix', 'img_suffix')


@contextmanager
def named(key: str):
    """Say which config key an error of building its part comes from."""
    try:
        yield
    except AllInOneError as error:
        raise type(error)(f'{key}: {error}') from error
    except OSError as error:
        raise DataError(
            f'{key}: {error.filename or error} cannot be read: '
            f'{error.strerror or type(error).__name__}; check the path'
        ) from error
    except Exception as error:
        words = ' '.join(str(error).split())
        raise ConfigError(f'{key} cannot be built: {type(error).__name__}: {words}') from error


def scoped(cfg: dict) -> dict:
    """The config with the library of its type as the scope of all parts inside."""
    kind = cfg.get('type')
    if isinstance(kind, str) and '.' in kind and '_scope_' not in cfg:
        return dict(cfg, _scope_=kind.split('.')[0])
    return dict(cfg)


def build_loader(
    key: str, task: str, cfg: dict, seed: int, num_classes: int | None, train: bool, check: bool
) -> DataLoader:
    """A stock DataLoader of one task, its data set checked and its draws seeded.

    Args:
        key: Where the config stands, for messages: ``train_dataloader.det``.
        task: Name of the task.
        cfg: mmengine's dataloader config, and for training ``skip_corrupt``.
        seed: The run's seed.
        num_classes: Of the task's head; None where it has no such number.
        train: Draw endlessly in a random order (``DrawSampler``) unless ``cfg`` has a sampler.
        check: Compare annotations, pictures and label maps before the first batch.
    """
    cfg = dict(cfg)
    skip_corrupt = cfg.pop('skip_corrupt', False)
    if skip_corrupt and not train:
        raise ConfigError(
            f'{key}.skip_corrupt={skip_corrupt}: it would change the metrics, so it '
            'is for train_dataloader alone; remove it here'
        )
    dataset_cfg = cfg.get('dataset')
    if not isinstance(dataset_cfg, dict):
        raise ConfigError(f'{key}.dataset is {dataset_cfg!r}; give the config of a data set')
    with named(f'{key}.dataset'):
        dataset = _build_dataset(dataset_cfg)
        if check:
            check_dataset(dataset, num_classes, skip_corrupt)
    cfg['dataset'] = SeededDataset(dataset, task, seed, skip_corrupt)
    cfg.setdefault(
        'sampler',
        dict(type='allinone.DrawSampler') if train else dict(type='DefaultSampler', shuffle=False),
    )
    if cfg.get('num_workers'):
        cfg.setdefault('persistent_workers', True)
    with named(key):
        return Runner.build_dataloader(cfg, seed=seed)


def _build_dataset(cfg: dict) -> Dataset:
    paths = ', '.join(f'{name}={cfg[name]!r}' for name in PATH_KEYS if cfg.get(name))
    try:
        dataset = MMENGINE_DATASETS.build(scoped(cfg))
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        size = len(dataset)
    except (UnicodeDecodeError, JSONDecodeError) as error:
        raise DataError(f'the annotation file is damaged ({paths}): {error}') from error
    except ValueError as error:
        # So mmengine fails on packing a list of no samples.
        if 'need at least one array' not in str(error):
            raise
        size = 0
    if size == 0:
        raise DataError(f'the data set is empty; check its files and filter_cfg ({paths})')
    return dataset


def own_words(error: AllInOneError) -> AllInOneError:
    """The error as it was raised, out of the traceback that torch brings from a worker."""
    kind = type(error)
    return kind(str(error).rpartition(f'\n{kind.__module__}.{kind.__qualname__}: ')[2].strip())


class TaskLoaders:
    """``{task: DataLoader}`` that looks like one DataLoader to mmengine.

    Iterating (validation, test) gives ``{task: batch}`` of one task after the other; its length
    is the sum. :meth:`next` draws from one task's endless training loader, whose workers prefetch
    on their own, so a slow loader holds up only the steps that name its task.
    """

    def __init__(self, loaders: Mapping[str, DataLoader]):
        self.loaders = dict(loaders)
        self.dataset = SimpleNamespace(
            metainfo={
                task: dict(getattr(loader.dataset, 'metainfo', None) or {})
                for task, loader in loaders.items()
            }
        )
        self.sampler = self.batch_sampler = SimpleNamespace(sampler=None)
        self.batches = dict.fromkeys(loaders, 0)
        self._iterators: dict[str, Iterator] = {}

    @property
    def sizes(self) -> dict[str, int]:
        return {task: len(loader.dataset) for task, loader in self.loaders.items()}

    def next(self, task: str):
        """The task's next batch."""
        if task not in self._iterators:
            self._iterators[task] = iter(self.loaders[task])
        self.batches[task] += 1
        try:
            try:
                return next(self._iterators[task])
            except StopIteration:
                # A finite sampler of the user's own: go round again.
                self._iterators[task] = iter(self.loaders[task])
                return next(self._iterators[task])
        except AllInOneError as error:
            raise own_words(error) from None

    def seek(self, batches: Mapping[str, int], world_size: int) -> None:
        """Continue each task after so many batches, without reading what lies before."""
        for task, count in batches.items():
            if task not in self.loaders:
                continue
            loader = self.loaders[task]
            sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
            sampler.start = count * loader.batch_sampler.batch_size * world_size
            self.batches[task] = count

    def __iter__(self):
        for task, loader in self.loaders.items():
            try:
                for batch in loader:
                    yield {task: batch}
            except AllInOneError as error:
                raise own_words(error) from None

    def __len__(self) -> int:
        return sum(len(loader) for loader in self.loaders.values())
