"""Batches with labelled images of each task of a shared source."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from numpy.typing import ArrayLike
from scipy.optimize import Bounds, LinearConstraint, milp

from allinone.errors import ConfigError
from allinone.io.seeding import seed_of
from allinone.registry import DATA_SAMPLERS
from allinone.registry.options import check_choice, check_count

from .samplers import SeededInfiniteSampler
from .seeded import Draw


@DATA_SAMPLERS.register_module()
class SharedSampler(SeededInfiniteSampler):
    """A :class:`SeededInfiniteSampler` whose batches have labelled images of every task.

    The images of a batch come from the permutations of the base class. Where a batch of a rank has
    fewer images with labels of a task than ``min_labelled``, labelled images replace others that
    the minima do not need. They come in random permutations of all images with labels of the task.
    So a batch is a pure function of the seed, the rank and its number.

    Args:
        dataset: A :class:`~allinone.data.SharedDataset`, which may be inside a
            :class:`SeededDataset`.
        batch_size: Images of a batch of one rank.
        min_labelled: ``{task: number}`` of images with labels of the task in every batch; 0 or
            left out: any number.
        **kwargs: As in :class:`SeededInfiniteSampler`; ``start`` is a multiple of the batch size
            of all ranks together.

    Raises:
        ConfigError: If ``batch_size`` is too small for the minima, or too few images are labelled.
    """

    def __init__(self, dataset: Any, batch_size: int, min_labelled: Mapping[str, int], **kwargs):
        super().__init__(dataset, **kwargs)
        key = f'train_dataloader.{self.task}' if self.task else 'train_dataloader'
        if not hasattr(dataset, 'labelled'):
            raise ConfigError(
                f"{key}.sampler.type is 'SharedSampler', but the data set has no table of the "
                "tasks that its images have labels of (labelled); use 'SeededInfiniteSampler'"
            )
        self.batch_size = check_count(f'{key}.batch_size', batch_size)
        for task, least in min_labelled.items():
            check_choice(f'{key}.min_labelled', task, dataset.tasks)
            check_count(f'{key}.min_labelled.{task}', least, 0)
        self.tasks: tuple[str, ...] = dataset.tasks
        self.labelled: np.ndarray = dataset.labelled
        self.least = np.array([min_labelled.get(task, 0) for task in self.tasks])
        self.pools = [np.flatnonzero(column) for column in self.labelled.T]
        self._check_pools(key)
        self.patterns, members = np.unique(self.labelled, axis=0, return_inverse=True)
        self.pattern_of = members.reshape(-1)  # Images with the same number are labelled alike.
        self._fewest = self._fewest_images(key)

    def __iter__(self) -> Iterator[Draw]:
        for images, batch in self._batches():
            yield from (Draw(image, draw.number) for image, draw in zip(images, batch))

    def _batches(self) -> Iterator[tuple[list[int], list[Draw]]]:
        """Endless batches of this rank, each with the samples of the permutation behind it."""
        rank, world_size = get_dist_info()
        samples = super().__iter__()
        while True:
            batch = list(islice(samples, self.batch_size))
            before = batch[0].number // (self.batch_size * world_size)
            yield self.fill([int(draw) for draw in batch], before * world_size + rank), batch

    def replaced(self, batches: int) -> tuple[float, list[str]]:
        """How far the minima change the next batches.

        Args:
            batches: Number of batches.

        Returns:
            The share of images that labelled images replace, and the tasks whose minima are the
            reason, that of most batches first.
        """
        changed, reasons = 0, np.zeros(len(self.tasks), int)
        for images, batch in islice(self._batches(), batches):
            permuted = [int(draw) for draw in batch]
            changed += sum(one != other for one, other in zip(images, permuted))
            reasons += self._missing(permuted) > 0
        order = np.argsort(-reasons, kind='stable')
        tasks = [self.tasks[column] for column in order if reasons[column]]
        return changed / (batches * self.batch_size), tasks

    def unreachable(self) -> np.ndarray:
        """Images that no batch can have, as the minima take all places beside each of them."""
        if self.least.sum() < self.batch_size:
            return np.zeros(0, int)
        counts = np.bincount(self.pattern_of)
        fits = []
        for index, row in enumerate(self.patterns):
            others = counts - (np.arange(len(counts)) == index)
            fewest = self._fewest_of(np.maximum(self.least - row, 0), others)
            fits.append(fewest.sum() < self.batch_size)
        return np.flatnonzero(~np.array(fits)[self.pattern_of])

    def fill(self, images: Sequence[int], number: int) -> list[int]:
        """The images of a batch with some of them replaced where labels of a task are too few.

        Args:
            images: Those of the permutation.
            number: Of the batch, counted over all ranks.
        """
        images = list(images)
        for column in np.flatnonzero(self._missing(images)):
            while self._missing(images)[column]:
                if not self._replace_one(images, column, number):
                    return self._replace_most(images, number)
        return images

    def _missing(self, images: Sequence[int]) -> np.ndarray:
        """How many labelled images a batch lacks, a task."""
        return np.maximum(self.least - self.labelled[images].sum(axis=0), 0)

    def _replace_one(self, images: list[int], column: int, number: int) -> bool:
        """Whether one image could give way to one of a task, in place, without lack of others."""
        patterns = set(self.pattern_of[self.pools[column]].tolist())
        for image in self._candidates(column, number, images):
            pattern = int(self.pattern_of[image])
            if pattern not in patterns:
                continue
            patterns.remove(pattern)  # Images that are labelled alike fit alike.
            position = self._place(images, image, column)
            if position is not None:
                images[position] = image
                return True
            if not patterns:
                break
        return False

    def _place(self, images: Sequence[int], image: int, column: int) -> int | None:
        """The last position at which an image makes up for a lack of a task and makes no other."""
        missing = self._missing(images)
        for position in reversed(range(len(images))):
            after = self._missing([*images[:position], image, *images[position + 1 :]])
            if (after <= missing).all() and after[column] < missing[column]:
                return position
        return None

    def _candidates(self, column: int, number: int, images: Sequence[int]) -> Iterator[int]:
        """Images of a task that a batch has not, in the order of the task's permutations."""
        pool, present = self.pools[column], set(images)
        first = number * int(self.least[column])
        for place in range(first, first + len(pool)):
            epoch, position = divmod(place, len(pool))
            seed = seed_of(self.seed, self.task, 'labelled', self.tasks[column], epoch)
            image = int(pool[_permutation(seed, len(pool))[position]])
            if image not in present:
                yield image

    def _replace_most(self, images: list[int], number: int) -> list[int]:
        """A batch of the fewest images that have all labels, filled up with others."""
        generator = torch.Generator().manual_seed(
            seed_of(self.seed, self.task, 'labelled together', number)
        )
        chosen: list[int] = []
        for members, count in self._fewest:
            order = torch.randperm(len(members), generator=generator)[:count]
            chosen += members[order.numpy()].tolist()
        others = [image for image in images if image not in chosen]
        others += images  # Few images may be left.
        return [*others[: len(images) - len(chosen)], *chosen]

    def _check_pools(self, key: str) -> None:
        for task, least, pool in zip(self.tasks, self.least.tolist(), self.pools):
            if least > len(pool):
                images = 'only 1 image has' if len(pool) == 1 else f'only {len(pool)} images have'
                images = 'no image has' if not len(pool) else images
                raise ConfigError(
                    f'{key}.min_labelled.{task} is {least}, but {images} labels of {task}; '
                    f'lower it to {len(pool)}, or give more labels'
                )

    def _fewest_images(self, key: str) -> list[tuple[np.ndarray, int]]:
        """Images alike in their labels, and the number of them, in a smallest possible batch.

        Args:
            key: The config key of the loader, for messages.
        """
        groups = [np.flatnonzero(self.pattern_of == index) for index in range(len(self.patterns))]
        counts = self._fewest_of(self.least, [len(group) for group in groups]).tolist()
        if sum(counts) > self.batch_size:
            wanted = {task: least for task, least in zip(self.tasks, self.least.tolist()) if least}
            raise ConfigError(
                f'{key}.batch_size is {self.batch_size}, but min_labelled={wanted} takes '
                f'{sum(counts)} images a batch at least, as they are labelled; set batch_size to '
                f'{sum(counts)} or more, or lower min_labelled'
            )
        return [(group, count) for group, count in zip(groups, counts) if count]

    def _fewest_of(self, least: np.ndarray, available: ArrayLike) -> np.ndarray:
        """Images of each pattern in a smallest set with these numbers of labelled images.

        Args:
            least: A number a task.
            available: Images of each pattern.
        """
        solution = milp(
            np.ones(len(self.patterns)),
            constraints=LinearConstraint(self.patterns.T.astype(float), lb=least),
            bounds=Bounds(0, available),
            integrality=np.ones(len(self.patterns)),
        )
        return np.rint(solution.x).astype(int)


@functools.lru_cache(maxsize=32)
def _permutation(seed: int, size: int) -> np.ndarray:
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed)).numpy()
