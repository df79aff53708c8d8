"""The loaders of all sources behind the one that mmengine's runner and hooks expect."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence, Sized
from logging import WARNING
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
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


class TaskPart(NamedTuple):
    """The data of a task in a source.

    Attributes:
        source: Name of the source.
        task: Name of the task.
        key: Config key of the task's data, without that of the loaders: ``det``, or
            ``street.dataset.labels.det``.
        dataset: Its data set; in a shared source that of its labels.
        images: Number of images that are labelled for the task.
    """

    source: str
    task: str
    key: str
    dataset: Any
    images: int


class TaskLoaders:
    """``{source: DataLoader}`` that looks like one DataLoader to mmengine.

    Iterating (validation, test) gives ``{source: batch}`` of one source after the other; its length
    is the sum. :meth:`next` draws from one source's endless training loader, whose workers prefetch
    on their own, so a slow loader holds up only the steps that name its source.

    A loader whose worker was killed is started again at its number of draws, which changes
    nothing of the run; one that hangs is an error.

    Args:
        loaders: ``{source: loader}``.
        timeouts: ``{source: seconds}`` that a batch may take (0: any time). Default: 50 each.
        tasks: ``{source: tasks that it serves}``. Default: each serves the task of its name.
    """

    def __init__(
        self,
        loaders: Mapping[str, DataLoader],
        timeouts: Mapping[str, float] | None = None,
        tasks: Mapping[str, Sequence[str]] | None = None,
    ):
        self.loaders = dict(loaders)
        self.tasks = {source: (source,) for source in loaders} | {
            source: tuple(served) for source, served in (tasks or {}).items()
        }
        self.timeouts = dict.fromkeys(loaders, TIMEOUT) | dict(timeouts or {})
        metainfo: dict[str, dict] = {}
        for part in self.parts:
            metainfo.setdefault(part.task, dict(getattr(part.dataset, 'metainfo', None) or {}))
        self.dataset = SimpleNamespace(metainfo=metainfo)
        self.sampler = self.batch_sampler = SimpleNamespace(sampler=None)
        self.batches = dict.fromkeys(loaders, 0)
        self._iterators: dict[str, Iterator] = {}
        self._world_size = 1

    @property
    def parts(self) -> list[TaskPart]:
        """The data of each task of each source."""
        found = []
        for source, loader in self.loaders.items():
            dataset = cast(Any, loader.dataset)
            if not is_labelled(dataset):
                (task,) = self.tasks[source]
                found.append(TaskPart(source, task, source, dataset, len(dataset)))
                continue
            for number, task in enumerate(dataset.tasks):
                key = f'{source}.dataset.labels.{task}'
                images = int(dataset.labelled[:, number].sum())
                found.append(TaskPart(source, task, key, dataset.parts[task], images))
        return found

    def part(self, task: str) -> TaskPart:
        """The data of a task in the first source that serves it."""
        return next(part for part in self.parts if part.task == task)

    @property
    def sizes(self) -> dict[str, int]:
        """``{source: number of images}``."""
        return {name: len(cast(Sized, loader.dataset)) for name, loader in self.loaders.items()}

    def next(self, source: str):
        """The source's next batch.

        Raises:
            DataError: If an image or label map cannot be read.
            LoaderError: If the batch does not come in time, or workers die again and again.
        """
        for restarts in range(MAX_RESTARTS + 1):
            if source not in self._iterators:
                self._iterators[source] = self._start(source)
            try:
                try:
                    batch = self._draw(source, self._iterators[source])
                except StopIteration:
                    # A finite sampler of the user's own: go round again.
                    self._iterators[source] = self._start(source)
                    batch = self._draw(source, self._iterators[source])
            except WorkerDied as error:
                sampler = _sampler_of(self.loaders[source])
                if restarts == MAX_RESTARTS or not hasattr(sampler, 'start'):
                    raise LoaderError(str(error)) from error
                count = self.batches[source]
                print_log(f'{error}; the loader starts again at batch {count}', 'current', WARNING)
                self.restart(source)
            else:
                self.batches[source] += 1
                return batch

    def seek(self, batches: Mapping[str, int], world_size: int) -> None:
        """Continue each source after so many batches, without reading what lies before."""
        self._world_size = world_size
        for source, count in batches.items():
            if source not in self.loaders:
                continue
            loader = self.loaders[source]
            size = cast(BatchSampler, loader.batch_sampler).batch_size
            _sampler_of(loader).start = count * size * world_size
            self.batches[source] = count

    def first(self, source: str, size: int, task: str | None = None) -> dict:
        """The first samples of a source from here on, read in this process.

        They are those of its next batch where the sampler has no state of its own, else the first
        of the data set: the loader, its samplers and its workers stay as they are.

        Args:
            source: Name of the source.
            size: Number of samples; at most a batch.
            task: Only images that are labelled for this task, if need be from beyond that batch.

        Raises:
            DataError: If an image or label map cannot be read.
            LoaderError: If they do not come in time.
        """
        loader = self.loaders[source]
        batches = cast(BatchSampler, loader.batch_sampler)
        dataset = cast(Any, loader.dataset)
        if type(batches) is BatchSampler and isinstance(batches.sampler, STATELESS):
            indices = list(next(iter(batches)))
        else:
            indices = list(range(min(size, len(dataset))))
        if task is not None and is_labelled(dataset):
            labelled = dataset.labelled[:, list(dataset.tasks).index(task)]
            indices = [index for index in indices if labelled[index]]
            more = np.flatnonzero(labelled).tolist()
            indices += [index for index in more if index not in indices]
        samples = map(dataset.__getitems__, [indices[:size]])
        return self._draw(source, map(cast(Any, loader.collate_fn), samples))

    def smallest_batch(self, source: str, batches: int) -> int:
        """Size of the smallest of so many batches of a source in this process."""
        loader = self.loaders[source]
        sampler = cast(BatchSampler, loader.batch_sampler)
        size = sampler.batch_size
        finite = isinstance(sampler.sampler, FINITE) and not sampler.drop_last
        if finite and batches >= len(loader):
            return len(cast(Sized, sampler.sampler)) % size or size
        return size

    def restart(self, source: str) -> None:
        """End a source's workers; new ones read its next batch, from the data set as it is now."""
        self._stop(source)
        self.seek({source: self.batches[source]}, self._world_size)

    def close(self) -> None:
        """End all workers, also those that hang."""
        for source in self.loaders:
            self._stop(source)

    def __iter__(self):
        for source in self.loaders:
            iterator = self._start(source)
            while True:
                try:
                    batch = self._draw(source, iterator)
                except StopIteration:
                    break
                except WorkerDied as error:
                    raise LoaderError(str(error)) from error
                yield {source: batch}

    def __len__(self) -> int:
        return sum(len(loader) for loader in self.loaders.values())

    def _start(self, source: str) -> Iterator:
        with held_back():
            iterator = iter(self.loaders[source])
        if threading.current_thread() is threading.main_thread():
            # PyTorch's handler would raise for a dead worker anywhere, also amid an optimizer
            # step. A draw finds out by itself, within seconds.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return iterator

    def _draw(self, source: str, iterator: Iterator):
        timeout = self.timeouts[source]
        try:
            with deadline(timeout):
                return next(iterator)
        except AllInOneError as error:
            raise own_words(error) from None
        except Late:
            reading = self._being_read(source)
            self._stop(source)
            raise LoaderError(
                f'{self._name(source)}: no batch within {timeout:g} s; the loader hangs'
                f'{reading and f" on {reading}"}, so the run ends (if batches may take longer, '
                f'raise timeout of its dataloader)'
            ) from None
        except RuntimeError as error:
            dead = [worker for worker in workers_of(iterator) if not worker.is_alive()]
            if not dead:
                raise
            raise WorkerDied(
                f'{self._name(source)}: {", ".join(map(death, dead))}, reading '
                f'{self._being_read(source) or "nothing"}'
            ) from error

    def _name(self, source: str) -> str:
        return f'task {source}' if self.tasks[source] == (source,) else f'source {source}'

    def _being_read(self, source: str) -> str:
        dataset = self.loaders[source].dataset
        return ', '.join(dataset.being_read()) if hasattr(dataset, 'being_read') else ''

    def _stop(self, source: str) -> None:
        loader = self.loaders[source]
        iterators = [self._iterators.pop(source, None), getattr(loader, '_iterator', None)]
        loader._iterator = None  # Of persistent workers
        for iterator in iterators:
            # They only read, so nothing is lost; asked kindly, a hanging one would stay.
            for worker in workers_of(iterator):
                worker.kill()
            if workers_of(iterator):
                cast(_MultiProcessingDataLoaderIter, iterator)._shutdown_workers()


def is_labelled(dataset: Any) -> bool:
    """Whether images of a data set have labels of several tasks, as in a shared source."""
    return hasattr(dataset, 'labelled') and hasattr(dataset, 'parts')


def _sampler_of(loader: DataLoader):
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)
