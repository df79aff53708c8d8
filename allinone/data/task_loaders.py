"""The loaders of all tasks behind the one that mmengine's runner and hooks expect."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sized
from logging import WARNING
from types import SimpleNamespace
from typing import Any, cast

from mmengine.dataset import DefaultSampler
from mmengine.logging import print_log
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from allinone.errors import AllInOneError, LoaderError

from .samplers import SeededInfiniteSampler
from .workers import Late, deadline, death, held_back, workers_of

TIMEOUT = 50  # seconds; longer than a data set tries to read a file again
MAX_RESTARTS = 3
FINITE = (DefaultSampler, RandomSampler, SequentialSampler)  # Their last batch may be smaller.
# An iteration that ends early changes nothing of the next one.
STATELESS = (SeededInfiniteSampler, DefaultSampler, SequentialSampler)


class WorkerDied(Exception):
    """A worker of a loader is gone, and with it a batch."""


def own_words(error: AllInOneError) -> AllInOneError:
    """The error as it was raised, out of the traceback that torch brings from a worker."""
    kind = type(error)
    return kind(str(error).rpartition(f'\n{kind.__module__}.{kind.__qualname__}: ')[2].strip())


class TaskLoaders:
    """``{task: DataLoader}`` that looks like one DataLoader to mmengine.

    Iterating (validation, test) gives ``{task: batch}`` of one task after the other; its length
    is the sum. :meth:`next` draws from one task's endless training loader, whose workers prefetch
    on their own, so a slow loader holds up only the steps that name its task.

    A loader whose worker was killed is started again at its number of draws, which changes
    nothing of the run; one that hangs is an error.

    Args:
        loaders: ``{task: loader}``.
        timeouts: ``{task: seconds}`` that a batch may take (0: any time). Default: 50 each.
    """

    def __init__(
        self, loaders: Mapping[str, DataLoader], timeouts: Mapping[str, float] | None = None
    ):
        self.loaders = dict(loaders)
        self.timeouts = dict.fromkeys(loaders, TIMEOUT) | dict(timeouts or {})
        self.dataset = SimpleNamespace(
            metainfo={
                task: dict(getattr(loader.dataset, 'metainfo', None) or {})
                for task, loader in loaders.items()
            }
        )
        self.sampler = self.batch_sampler = SimpleNamespace(sampler=None)
        self.batches = dict.fromkeys(loaders, 0)
        self._iterators: dict[str, Iterator] = {}
        self._world_size = 1

    @property
    def sizes(self) -> dict[str, int]:
        return {task: len(cast(Sized, loader.dataset)) for task, loader in self.loaders.items()}

    def next(self, task: str):
        """The task's next batch.

        Raises:
            DataError: If an image or label map cannot be read.
            LoaderError: If the batch does not come in time, or workers die again and again.
        """
        for restarts in range(MAX_RESTARTS + 1):
            if task not in self._iterators:
                self._iterators[task] = self._start(task)
            try:
                try:
                    batch = self._draw(task, self._iterators[task])
                except StopIteration:
                    # A finite sampler of the user's own: go round again.
                    self._iterators[task] = self._start(task)
                    batch = self._draw(task, self._iterators[task])
            except WorkerDied as error:
                sampler = _sampler_of(self.loaders[task])
                if restarts == MAX_RESTARTS or not hasattr(sampler, 'start'):
                    raise LoaderError(str(error)) from error
                count = self.batches[task]
                print_log(f'{error}; the loader starts again at batch {count}', 'current', WARNING)
                self.restart(task)
            else:
                self.batches[task] += 1
                return batch

    def seek(self, batches: Mapping[str, int], world_size: int) -> None:
        """Continue each task after so many batches, without reading what lies before."""
        self._world_size = world_size
        for task, count in batches.items():
            if task not in self.loaders:
                continue
            loader = self.loaders[task]
            size = cast(BatchSampler, loader.batch_sampler).batch_size
            _sampler_of(loader).start = count * size * world_size
            self.batches[task] = count

    def first(self, task: str, size: int) -> dict:
        """The first samples of a task from here on, read in this process.

        They are those of its next batch where the sampler has no state of its own, else the first
        of the data set: the loader, its samplers and its workers stay as they are.

        Args:
            task: Name of the task.
            size: Number of samples; at most a batch.

        Raises:
            DataError: If an image or label map cannot be read.
            LoaderError: If they do not come in time.
        """
        loader = self.loaders[task]
        batches = cast(BatchSampler, loader.batch_sampler)
        if type(batches) is BatchSampler and isinstance(batches.sampler, STATELESS):
            indices = list(next(iter(batches)))[:size]
        else:
            indices = list(range(min(size, len(cast(Sized, loader.dataset)))))
        samples = map(cast(Any, loader.dataset).__getitems__, [indices])
        return self._draw(task, map(cast(Any, loader.collate_fn), samples))

    def smallest_batch(self, task: str, batches: int) -> int:
        """Size of the smallest of so many batches of a task in this process."""
        loader = self.loaders[task]
        sampler = cast(BatchSampler, loader.batch_sampler)
        size = sampler.batch_size
        finite = isinstance(sampler.sampler, FINITE) and not sampler.drop_last
        if finite and batches >= len(loader):
            return len(cast(Sized, sampler.sampler)) % size or size
        return size

    def restart(self, task: str) -> None:
        """End a task's workers; new ones read its next batch, from the data set as it is now."""
        self._stop(task)
        self.seek({task: self.batches[task]}, self._world_size)

    def close(self) -> None:
        """End all workers, also those that hang."""
        for task in self.loaders:
            self._stop(task)

    def __iter__(self):
        for task in self.loaders:
            iterator = self._start(task)
            while True:
                try:
                    batch = self._draw(task, iterator)
                except StopIteration:
                    break
                except WorkerDied as error:
                    raise LoaderError(str(error)) from error
                yield {task: batch}

    def __len__(self) -> int:
        return sum(len(loader) for loader in self.loaders.values())

    def _start(self, task: str) -> Iterator:
        with held_back():
            iterator = iter(self.loaders[task])
        if threading.current_thread() is threading.main_thread():
            # PyTorch's handler would raise for a dead worker anywhere, also amid an optimizer
            # step. A draw finds out by itself, within seconds.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return iterator

    def _draw(self, task: str, iterator: Iterator):
        timeout = self.timeouts[task]
        try:
            with deadline(timeout):
                return next(iterator)
        except AllInOneError as error:
            raise own_words(error) from None
        except Late:
            reading = self._being_read(task)
            self._stop(task)
            raise LoaderError(
                f'task {task}: no batch within {timeout:g} s; the loader hangs'
                f'{reading and f" on {reading}"}, so the run ends (if batches may take longer, '
                f'raise timeout of its dataloader)'
            ) from None
        except RuntimeError as error:
            dead = [worker for worker in workers_of(iterator) if not worker.is_alive()]
            if not dead:
                raise
            raise WorkerDied(
                f'task {task}: {", ".join(map(death, dead))}, reading '
                f'{self._being_read(task) or "nothing"}'
            ) from error

    def _being_read(self, task: str) -> str:
        dataset = self.loaders[task].dataset
        return ', '.join(dataset.being_read()) if hasattr(dataset, 'being_read') else ''

    def _stop(self, task: str) -> None:
        loader = self.loaders[task]
        iterators = [self._iterators.pop(task, None), getattr(loader, '_iterator', None)]
        loader._iterator = None  # Of persistent workers
        for iterator in iterators:
            # They only read, so nothing is lost; asked kindly, a hanging one would stay.
            for worker in workers_of(iterator):
                worker.kill()
            if workers_of(iterator):
                cast(_MultiProcessingDataLoaderIter, iterator)._shutdown_workers()


def _sampler_of(loader: DataLoader):
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)
