"""Batches of P identities with K images each, for losses that compare images."""

import inspect
from collections.abc import Iterator, Mapping, Sized
from itertools import count
from typing import Any

import numpy as np
import torch
from mmengine.dataset import RepeatDataset
from mmengine.dist import get_dist_info
from mmengine.logging import print_log

from allinone.errors import ConfigError
from allinone.io.seeding import seed_of
from allinone.registry import DATA_SAMPLERS
from allinone.registry.options import check_count
from allinone.tasks.labels import label_of

from .samplers import SeededInfiniteSampler
from .seeded import DatasetWrapper, Draw


@DATA_SAMPLERS.register_module()
class IdentitySampler(SeededInfiniteSampler):
    """P identities with K images each in every batch, a pure function of the seed and its number.

    A batch of all ranks together has ``identities * images_per_identity`` images, and each rank
    takes whole identities of it: with R ranks ``batch_size`` is ``identities * images_per_identity
    / R``. So two ranks sample together what one would, and each image has the same augmentation.

    The identities come in random permutations, each gone through once, P at a time; an identity is
    in a batch once. The rest of a permutation, fewer than P, is left out. The images of an identity
    are drawn anew each time, without repetition if it has K or more, else each as often as the
    others or once more.

    Of micro-batches each has P identities. An epoch is as many images as the data set has, as with
    other samplers.

    Args:
        dataset: Tells one label of each image (``get_cat_ids`` or ``get_data_info``), as
            ``IdentityDataset`` and classification sets do. One inside ``RepeatDataset`` is sampled
            as it is without.
        identities: P, a multiple of the number of ranks.
        images_per_identity: K.
        seed: The run's seed.
        start: Number of the first image, counted over all ranks; a multiple of P x K.

    Raises:
        ConfigError: If the data set does not tell identities, has fewer than P, or has one image of
            each though K is more; or the number of ranks does not divide P.
    """

    def __init__(
        self,
        dataset: Sized,
        identities: int,
        images_per_identity: int,
        seed: int | None = None,
        start: int = 0,
    ):
        super().__init__(dataset, seed=seed, start=start)
        self.key = f'train_dataloader.{self.task}' if self.task else 'train_dataloader'
        self.identities = check_count(f'{self.key}.sampler.identities', identities)
        self.images_per_identity = check_count(
            f'{self.key}.sampler.images_per_identity', images_per_identity
        )
        self._share_of_rank()
        labels = np.array(_labels(dataset, self.key))
        order = np.argsort(labels, kind='stable')
        borders = np.flatnonzero(np.diff(labels[order])) + 1
        self.images = np.split(order, borders)  # Indices of each identity's
        self._check()

    @property
    def batch_size(self) -> int:
        """Images of a batch of one rank."""
        return len(self._share_of_rank()) * self.images_per_identity

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Draw]:
        places, size = self._share_of_rank(), self.images_per_identity
        epochs = len(self.images) // self.identities
        current: int | None = None
        order: list[int] = []
        for batch in count(self.start // (self.identities * size)):
            epoch, position = divmod(batch, epochs)
            if epoch != current:
                current, order = epoch, self.permutation(epoch)
            for place in places:
                identity = order[position * self.identities + place]
                first = (batch * self.identities + place) * size
                images = self._images_of(identity, first)
                yield from (Draw(image, first + nth) for nth, image in enumerate(images))

    def permutation(self, epoch: int) -> list[int]:
        """The identities in the order of an epoch."""
        generator = torch.Generator().manual_seed(
            seed_of(self.seed, self.task, 'identities', epoch)
        )
        return torch.randperm(len(self.images), generator=generator).tolist()

    def few(self) -> int:
        """Number of identities with fewer than ``images_per_identity`` images."""
        return sum(len(images) < self.images_per_identity for images in self.images)

    def _images_of(self, identity: int, number: int) -> list[int]:
        """The images of an identity from a draw on.

        Args:
            identity: Its place in ``images``.
            number: Of the first of the draws.
        """
        images, wanted = self.images[identity], self.images_per_identity
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.task, 'images', number))
        rounds = -(-wanted // len(images))
        orders = [torch.randperm(len(images), generator=generator) for _ in range(rounds)]
        return images[torch.cat(orders)[:wanted].numpy()].tolist()

    def _share_of_rank(self) -> range:
        """Places in a batch of the identities that this rank takes."""
        rank, ranks = get_dist_info()
        share, rest = divmod(self.identities, ranks)
        if rest:
            raise ConfigError(
                f'{self.key}.sampler.identities is {self.identities}, but each of the {ranks} '
                f'ranks takes whole identities; set it to a multiple of {ranks}, such as '
                f'{(share + 1) * ranks}'
            )
        return range(rank * share, (rank + 1) * share)

    def _check(self) -> None:
        found, most = len(self.images), max(map(len, self.images))
        if self.identities > found:
            raise ConfigError(
                f'{self.key}.sampler.identities is {self.identities}, but the data set has {found} '
                f'identities; set it to {found} or less'
            )
        if most == 1 and self.images_per_identity > 1:
            raise ConfigError(
                f'{self.key}.sampler.images_per_identity is {self.images_per_identity}, but each '
                f'of the {found} identities has one image, so no batch has two images of one; use '
                "sampler=dict(type='SeededInfiniteSampler') and losses of identities alone, or "
                'give more images of each'
            )


def with_identity_sampler(key: str, cfg: dict, seed: int, train: bool, check: bool) -> dict:
    """The config of a dataloader with its sampler built, its batch size compared with that.

    Args:
        key: Where the config stands, for messages.
        cfg: With a built data set. If its sampler is no ``IdentitySampler``, it stays as it is.
        seed: The run's seed.
        train: Whether it is for training.
        check: Refuse another batch size; else that of the sampler holds, as in tools that read the
            data of a config for several ranks in one process.

    Raises:
        ConfigError: If the batch size is another, or batches are made by something else.
    """
    sampler = cfg['sampler']
    cls = sampler.get('type') if isinstance(sampler, Mapping) else type(sampler)
    cls = DATA_SAMPLERS.get(cls) if isinstance(cls, str) else cls
    if not (inspect.isclass(cls) and issubclass(cls, IdentitySampler)):
        return cfg
    if not train or cfg.get('batch_sampler'):
        wrong = 'batch_sampler is set' if train else f'sampler.type is {cls.__name__!r}'
        reason = f'{cls.__name__} makes the batches' if train else 'it samples without end'
        part = 'batch_sampler' if train else 'sampler'
        raise ConfigError(f'{key}.{wrong}, but {reason}; leave out {part}')
    if isinstance(sampler, Mapping):
        sampler = DATA_SAMPLERS.build(
            dict(sampler), default_args=dict(dataset=cfg['dataset'], seed=seed)
        )
    ranks = get_dist_info()[1]
    if check and cfg.get('batch_size') != sampler.batch_size:
        value = repr(cfg['batch_size']) if 'batch_size' in cfg else 'not set'
        a_rank = '' if ranks == 1 else f', of which each of the {ranks} ranks takes its part'
        raise ConfigError(
            f'{key}.batch_size is {value}, but sampler.identities={sampler.identities} and '
            f'sampler.images_per_identity={sampler.images_per_identity} make batches of '
            f'{sampler.identities * sampler.images_per_identity} images{a_rank}; set it to '
            f'{sampler.batch_size}' + (' in one process' if ranks == 1 else '')
        )
    return dict(cfg, sampler=sampler, batch_size=sampler.batch_size)


def log_repeated(key: str, sampler: Any) -> None:
    """Log how many identities have fewer images than a batch takes of each.

    Args:
        key: Where the config of the dataloader stands.
        sampler: That of the loader; if it is no ``IdentitySampler``, nothing is logged.
    """
    if isinstance(sampler, IdentitySampler) and (few := sampler.few()):
        print_log(
            f'{key}: {few} of {len(sampler.images)} identities have fewer than '
            f'{sampler.images_per_identity} images, so a batch has some of them twice or more',
            'current',
        )


def _labels(dataset: Any, key: str) -> list[int]:
    """The label of each image.

    Raises:
        ConfigError: If the data set does not tell one of each.
    """
    found = []
    for index in range(_size(dataset)):
        if hasattr(dataset, 'get_cat_ids'):
            labels = dataset.get_cat_ids(index)
        elif hasattr(dataset, 'get_data_info'):
            label = label_of(dataset.get_data_info(index))[0]
            labels = () if label is None else label
        else:
            labels = ()
        labels = set(np.ravel(np.asarray(labels)).tolist())
        if len(labels) != 1:
            raise ConfigError(
                f"{key}.sampler.type is 'IdentitySampler', but the data set tells "
                f'{len(labels) or "no"} labels of image {index}, and not the identity of each; use '
                "'allinone.IdentityDataset', or the sampler 'SeededInfiniteSampler'"
            )
        found.append(int(labels.pop()))
    return found


def _size(dataset: Any) -> int:
    """Number of images, without the repetitions of a ``RepeatDataset``."""
    inner = dataset
    while isinstance(inner, DatasetWrapper):
        inner = inner.dataset
    return inner._ori_len if isinstance(inner, RepeatDataset) else len(dataset)
