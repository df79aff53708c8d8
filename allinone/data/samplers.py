"""The endless, numbered draws of one source's training set."""

from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from allinone.errors import ConfigError
from allinone.io.seeding import seed_of
from allinone.registry import DATA_SAMPLERS

from .seeded import Draw


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(Sampler):
    """Draw number n is a pure function of the seed and n, so any position is reached at once.

    Draws ``e * N`` to ``(e + 1) * N - 1`` of a set of N samples are its e-th permutation. Rank r
    of R takes the draws ``r, r + R, ...``.

    Args:
        dataset: A sized data set; a :class:`SeededDataset` also gives its task's name, so that
            two tasks on one data set are not drawn in the same order.
        seed: The run's seed.
        shuffle: Draw in a random order.
        start: Number of the first draw, counted over all ranks.
    """

    def __init__(
        self, dataset: Sized, seed: int | None = None, shuffle: bool = True, start: int = 0
    ):
        self.size = len(dataset)
        self.task = getattr(dataset, 'task', '')
        self.seed = seed or 0
        self.shuffle = shuffle
        self.start = start

    def permutation(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.size))
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.task, 'order', epoch))
        return torch.randperm(self.size, generator=generator).tolist()

    def __iter__(self) -> Iterator[Draw]:
        rank, world_size = get_dist_info()
        number, current, order = self.start + rank, None, []
        while True:
            epoch, position = divmod(number, self.size)
            if epoch != current:
                current, order = epoch, self.permutation(epoch)
            yield Draw(order[position], number)
            number += world_size

    def __len__(self) -> int:
        return self.size


@DATA_SAMPLERS.register_module()
class ClassAwareSampler(SeededInfiniteSampler):
    """A :class:`SeededInfiniteSampler` that draws every class equally often.

    An epoch of N draws goes through the classes, in a new random order each time round, and takes
    an image of each, after the others of that class had their turn (`1512.05830
    <https://arxiv.org/abs/1512.05830>`_, section 4). As in mmdet's sampler of this name, a
    image with several classes counts for each of them.

    Args:
        dataset: Tells the classes of each image (``get_cat_ids``), as those of mmpretrain and
            mmdet do.
        **kwargs: As in :class:`SeededInfiniteSampler`.

    Raises:
        ConfigError: If the data set does not tell classes.
    """

    def __init__(self, dataset: Sized, **kwargs):
        super().__init__(dataset, **kwargs)
        if not hasattr(dataset, 'get_cat_ids'):
            raise ConfigError(
                "sampler.type is 'ClassAwareSampler', but the data set does not tell the classes "
                "of its images; use 'SeededInfiniteSampler'"
            )
        self.images: dict[int, list[int]] = {}
        for index in range(self.size):
            for label in sorted(set(map(int, dataset.get_cat_ids(index)))):
                self.images.setdefault(label, []).append(index)
        if not self.images:
            raise ConfigError(
                "sampler.type is 'ClassAwareSampler', but no image of the data set has a class; "
                "use 'SeededInfiniteSampler'"
            )

    def permutation(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.task, 'order', epoch))
        classes = _shuffled_for_ever(sorted(self.images), generator)
        images = {
            label: _shuffled_for_ever(found, generator) for label, found in self.images.items()
        }
        return [next(images[next(classes)]) for _ in range(self.size)]


def _shuffled_for_ever(values: list[int], generator: torch.Generator) -> Iterator[int]:
    while True:
        for index in torch.randperm(len(values), generator=generator).tolist():
            yield values[index]
