"""Samples that depend on the seed, the source and the number of the draw, and on nothing else."""

import copy
import itertools
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import torch
from mmengine.logging import print_log
from torch.utils.data import Dataset, get_worker_info

from allinone.errors import AllInOneError, DataError
from allinone.io.image_files import check_complete, check_decodes
from allinone.io.seeding import seed_host, seed_of, state_kept

from .storage.retries import may_pass, patiently

IMAGE_KEYS = ('img_path', 'seg_map_path')
MAX_WORKERS = 256
ATTEMPTS = 20  # broken images in turn before one without the labels may take the place


class Draw(int):
    """Index of a sample in its data set that also knows the number of the draw.

    An ``int``, so that every upstream batch sampler and data set takes it.
    """

    number: int

    def __new__(cls, index: int, number: int):
        draw = super().__new__(cls, index)
        draw.number = number
        return draw

    def __reduce__(self):
        return Draw, (int(self), self.number)


class MapDataset(Protocol):
    """What the loaders ask of a data set: samples by number. Those of the libraries tell more."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class DatasetWrapper(Dataset):
    """Has the length and the attributes of its ``dataset``, and attributes of its own."""

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name):
        if name == 'dataset':
            raise AttributeError(name)
        return getattr(self.dataset, name)


class SeededDataset(DatasetWrapper):
    """A source's data set with reproducible augmentation and a name for every broken image.

    What a draw gives does not depend on the worker that makes it, so neither the number of
    workers nor an interruption changes a training.

    Args:
        dataset: Any map-style data set of the libraries.
        task: Name of the source, which is that of its task if it serves one alone.
        seed: The run's seed.
        skip_corrupt: Replace a sample whose image cannot be read by another one, in a shared source
            by one with labels of at least its tasks, naming the file once, instead of stopping.
            More than 1 % of the data set (and more than one image) is an error still.
        may_skip: Whether the user may set ``skip_corrupt``, for messages: not of what is evaluated.
        what: Whether the name is that of a ``'task'`` or a ``'source'``, for messages.

    Raises:
        DataError: When a sample's image or label map is missing, truncated or no image.
    """

    def __init__(
        self,
        dataset: MapDataset,
        task: str,
        seed: int,
        skip_corrupt: bool = False,
        may_skip: bool = True,
        what: str = 'task',
    ):
        self.dataset = dataset
        self.task = task
        self.seed = seed
        self.skip_corrupt = skip_corrupt
        self.may_skip = may_skip
        self.what = what
        if hasattr(dataset, 'skip_broken_parts'):
            dataset.skip_broken_parts(skip_corrupt)
        # Shared memory: workers count together, and the loader sees what each of them reads.
        self.corrupt = torch.zeros(len(dataset), dtype=torch.uint8).share_memory_()
        self._reading = torch.full((MAX_WORKERS,), -1).share_memory_()

    def __deepcopy__(self, memo: dict) -> 'SeededDataset':
        # mmengine copies the data set into its loader, and a copied tensor is not shared.
        dataset = copy.deepcopy(self.dataset, memo)
        copied = SeededDataset(
            dataset, self.task, self.seed, self.skip_corrupt, self.may_skip, self.what
        )
        copied.corrupt.copy_(self.corrupt)
        return copied

    def __getitems__(self, indices: list[int]) -> list:
        """Of a batch, as PyTorch's loaders ask for it."""
        with state_kept():
            return [self._whole_sample(index) for index in indices]

    def __getitem__(self, index: int):
        with state_kept():
            return self._whole_sample(index)

    def _whole_sample(self, index: int):
        """A sample, or in the place of a broken one another, if broken ones are skipped.

        Leaves the random numbers where loading it has left them.
        """
        draw: tuple = (self.seed, self.task, getattr(index, 'number', int(index)))
        index = broken = int(index)
        for attempt in itertools.count():
            if not self.corrupt.numpy()[index]:
                try:
                    return self._read(index, draw)
                except DataError as error:
                    if not self.skip_corrupt:
                        remedy = 'repair or remove the file'
                        if self.may_skip:
                            remedy += (
                                ', or let training skip such files with '
                                f'train_dataloader.{self.task}.skip_corrupt=True'
                            )
                        raise DataError(f'{self.what} {self.task}: {error}; {remedy}') from error
                    self._count(index, error)
            # Of the draw alone: whether this worker met the broken file before must not matter.
            draw = (*draw, 'instead')
            index = self._instead(broken, attempt, seed_of(*draw, 'index'))

    def _instead(self, broken: int, attempt: int, number: int) -> int:
        """An image in the place of a broken one, with labels of at least its tasks if possible."""
        if hasattr(self.dataset, 'labelled') and attempt < ATTEMPTS:
            labelled = cast(Any, self.dataset).labelled
            same = np.flatnonzero((labelled >= labelled[broken]).all(axis=1))
            others = same[same != broken]
            if len(others):
                return int(others[number % len(others)])
        return number % len(self)

    def paths(self, index: int) -> list[str]:
        """Files of a sample: its image, and its label maps if it has any."""
        if hasattr(self.dataset, 'labelled'):
            return cast(Any, self.dataset).paths(index)
        if not hasattr(self.dataset, 'get_data_info'):
            return []
        info = self.dataset.get_data_info(index)
        return [info[key] for key in IMAGE_KEYS if info.get(key)]

    def being_read(self) -> list[str]:
        """Files of the samples that are being loaded now, by any worker."""
        return [
            path for index in self._reading.tolist() if index >= 0 for path in self.paths(index)
        ]

    def _read(self, index: int, draw: tuple):
        """This very sample with the random numbers of ``draw``.

        Read again after a while if the files are away; meanwhile :meth:`being_read` names them.
        """
        worker = get_worker_info()
        slot = (worker.id if worker else 0) % MAX_WORKERS
        self._reading.numpy()[slot] = index
        paths = partial(self.paths, index)

        def load():
            seed_host(*draw)
            for path in paths():
                check_complete(path)
            try:
                return self.dataset[index]
            except AllInOneError:
                raise
            except Exception as error:
                for path in paths():
                    check_decodes(path, getattr(self.dataset, 'backend_args', None))
                if isinstance(error, OSError):
                    raise
                raise RuntimeError(
                    f'{self.what} {self.task}, sample {index} ({", ".join(paths())}): '
                    f'{type(error).__name__}: {error}'
                ) from error

        try:
            sample = patiently(
                load, may_pass, lambda: f'{self.what} {self.task}: {", ".join(paths())}'
            )
        except OSError as error:
            self._reading.numpy()[slot] = -1
            name = error.filename or ', '.join(paths())
            raise DataError(f'{name} cannot be read: {error}') from error
        except Exception:
            self._reading.numpy()[slot] = -1
            raise
        # A loader that is out of time leaves by no Exception, and then asks what was read.
        self._reading.numpy()[slot] = -1
        return sample

    def _count(self, index: int, error: DataError) -> None:
        self.corrupt[index] = 1
        count = int(self.corrupt.sum())
        print_log(f'{self.what} {self.task}: skipped ({count} so far): {error}', 'current')
        if count > max(1, 0.01 * len(self)) or count == len(self):
            raise DataError(
                f'{self.what} {self.task}: {count} of {len(self)} images cannot be read, '
                'more than the 1 % (or one) that skip_corrupt allows; repair the data '
                f'set. The last: {error}'
            )
