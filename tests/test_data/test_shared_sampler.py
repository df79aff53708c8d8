"""Labelled images in every batch of a shared source."""

from itertools import islice

import numpy as np
import pytest
import torch

from allinone.data import SharedSampler
from allinone.errors import ConfigError

TASKS = ('det', 'seg', 'lane')


class Images:
    """A data set of labelled images without any files."""

    task = 'street'

    def __init__(self, labelled):
        self.labelled = np.array(labelled, bool)
        self.tasks = TASKS[: self.labelled.shape[1]]

    def __len__(self):
        return len(self.labelled)


def batches(sampler, count):
    draws = iter(sampler)
    return [list(islice(draws, sampler.batch_size)) for _ in range(count)]


def random_case(seed):
    """Labels of up to 14 images, minima, a batch size and a seed."""
    random = np.random.default_rng(seed)
    tasks = random.integers(1, 4)
    labelled = random.random((random.integers(1, 15), tasks)) < random.choice([0.2, 0.5, 0.8])
    labelled[~labelled.any(axis=1), random.integers(tasks)] = True
    least = dict(zip(TASKS, random.integers(0, 4, tasks).tolist()))
    return labelled, least, int(random.integers(1, 7)), seed


@pytest.mark.parametrize('first', range(0, 400, 100))
def test_every_batch_has_the_labelled_images_or_is_refused(first):
    kept = 0
    for labelled, least, batch_size, seed in map(random_case, range(first, first + 100)):
        images = Images(labelled)
        try:
            sampler = SharedSampler(images, batch_size, least, seed=seed)
        except ConfigError:
            assert not possible(images, batch_size, least)
            continue
        assert possible(images, batch_size, least)
        kept += 1
        found = batches(sampler, 12)
        for number, batch in enumerate(found):
            counts = images.labelled[[int(draw) for draw in batch]].sum(axis=0)
            assert (counts >= [least[task] for task in images.tasks]).all()
            assert [draw.number for draw in batch] == list(
                range(number * batch_size, (number + 1) * batch_size)
            )
        # A sampler that begins later gives the same batches.
        sampler.start = 7 * batch_size
        assert batches(sampler, 5) == found[7:]
    assert 20 < kept < 90


def possible(images, batch_size, least):
    """Whether some choice of different images has all labels, by trying all of them."""
    wanted = np.array([least[task] for task in images.tasks])
    sums = {(0,) * len(wanted): 0}  # The fewest images that reach these counts
    for row in images.labelled.astype(int):
        for counts, number in list(sums.items()):
            reached = tuple(np.minimum(np.array(counts) + row, wanted).tolist())
            sums[reached] = min(sums.get(reached, 99), number + 1)
    return sums.get(tuple(wanted.tolist()), 99) <= batch_size


def test_ranks_draw_apart_and_each_has_its_labelled_images(monkeypatch):
    images = Images([[True, index % 16 == 0] for index in range(64)])
    found = []
    for rank in range(2):
        for module in ('samplers', 'shared_sampler'):
            place = f'allinone.data.{module}.get_dist_info'
            monkeypatch.setattr(place, lambda rank=rank: (rank, 2))
        sampler = SharedSampler(images, 4, dict(seg=1), seed=3)
        found.append(batches(sampler, 6))
        sampler.start = 3 * 4 * 2
        assert batches(sampler, 3) == found[rank][3:]
    lanes = [
        [int(draw) for draw in batch if images.labelled[draw, 1]]
        for pair in zip(*found)
        for batch in pair
    ]
    assert all(lanes)
    numbers = [draw.number for pair in zip(*found) for batch in pair for draw in batch]
    assert sorted(numbers) == list(range(48))


def test_labelled_images_come_equally_often():
    images = Images([[True, index < 5] for index in range(500)])
    sampler = SharedSampler(images, 2, dict(seg=1), seed=0)
    counts = np.bincount(
        [int(draw) for batch in batches(sampler, 500) for draw in batch if draw < 5], minlength=5
    )
    assert counts.sum() >= 500 and counts.min() >= 0.9 * counts.max()


def test_images_that_are_drawn_anyway_stay():
    images = Images([[True, True]] * 20)
    sampler = SharedSampler(images, 4, dict(det=2, seg=2), seed=1)
    plain = SharedSampler(images, 4, {}, seed=1)
    assert batches(sampler, 10) == batches(plain, 10)
    assert sorted(int(draw) for batch in batches(plain, 5) for draw in batch) == list(range(20))


def test_in_order_without_shuffling():
    images = Images([[True, index == 9] for index in range(10)])
    sampler = SharedSampler(images, 5, dict(seg=1), shuffle=False)
    assert batches(sampler, 2) == [[0, 1, 2, 3, 9], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize(
    'labelled, batch_size, least, sentence',
    [
        (
            [[1, 0]] * 4 + [[0, 1]] * 2,
            8,
            dict(seg=3),
            'train_dataloader.street.min_labelled.seg is 3, but only 2 images have labels of seg; '
            'lower it to 2, or give more labels',
        ),
        (
            [[1, 0]] * 4 + [[0, 1]] * 2,
            1,
            dict(det=1, seg=1),
            "train_dataloader.street.batch_size is 1, but min_labelled={'det': 1, 'seg': 1} takes "
            '2 images a batch at least, as they are labelled; set batch_size to 2 or more, or '
            'lower min_labelled',
        ),
        (
            [[1, 0]] * 4,
            2,
            dict(det=1, seg=1),
            'train_dataloader.street.min_labelled.seg is 1, but no image has labels of seg; '
            'lower it to 0, or give more labels',
        ),
        (
            [[1, 1]] * 4,
            2,
            dict(det=-1),
            'train_dataloader.street.min_labelled.det is -1; give a whole number of at least 0',
        ),
        (
            [[1, 1]] * 4,
            2,
            dict(drivable=1),
            "train_dataloader.street.min_labelled is 'drivable'; the choices are ['det', 'seg']",
        ),
    ],
)
def test_what_no_batch_can_have_is_refused(labelled, batch_size, least, sentence):
    with pytest.raises(ConfigError) as refused:
        SharedSampler(Images(labelled), batch_size, least)
    assert str(refused.value) == sentence


def test_one_image_with_both_labels_is_enough_for_a_batch_of_one():
    images = Images([[1, 0]] * 4 + [[0, 1]] * 2 + [[1, 1]])
    sampler = SharedSampler(images, 1, dict(det=1, seg=1), seed=0)
    assert [[int(draw) for draw in batch] for batch in batches(sampler, 4)] == [[6]] * 4


def test_a_data_set_without_labels_of_tasks_is_refused():
    with pytest.raises(ConfigError, match="use 'SeededInfiniteSampler'"):
        SharedSampler([1, 2, 3], 2, {})


def test_the_share_of_replaced_images_and_its_reasons():
    # Image 0 alone has labels of seg, so one image of each batch but the first gives way.
    images = Images([[True, index == 0] for index in range(10)])
    sampler = SharedSampler(images, 2, dict(det=1, seg=1), shuffle=False)
    assert sampler.replaced(5) == (4 / 10, ['seg'])
    assert sampler.replaced(1) == (0, [])
    assert SharedSampler(images, 2, {}, shuffle=False).replaced(5) == (0, [])
    images = Images([[index != 3, index == 0, index < 2] for index in range(4)])
    sampler = SharedSampler(images, 1, dict(det=1, seg=1, lane=1), shuffle=False)
    # Image 1 lacks seg, image 2 also lane, image 3 all.
    assert sampler.replaced(4) == (3 / 4, ['seg', 'lane', 'det'])


def test_the_share_of_a_million_images_builds_one_permutation_of_them(monkeypatch):
    labelled = np.zeros((10**6, 2), bool)
    labelled[:, 0] = labelled[::1000, 1] = True
    sampler = SharedSampler(Images(labelled), 8, dict(det=1, seg=1), seed=0)
    sizes, randperm = [], torch.randperm
    monkeypatch.setattr(
        torch, 'randperm', lambda size, **options: sizes.append(size) or randperm(size, **options)
    )
    share, tasks = sampler.replaced(50)
    assert 0.12 <= share <= 0.125 and tasks == ['seg']
    assert sizes == [10**6, 1000]


@pytest.mark.parametrize('batch_size, expected', [(1, [0, 1, 2, 3, 4, 5]), (2, []), (3, [])])
def test_images_that_no_batch_can_have_one_with_all_labels(batch_size, expected):
    images = Images([[1, 0]] * 4 + [[0, 1]] * 2 + [[1, 1]])
    sampler = SharedSampler(images, batch_size, dict(det=1, seg=1), seed=0)
    assert sampler.unreachable().tolist() == expected


@pytest.mark.parametrize('first', range(0, 200, 100))
def test_images_that_no_batch_can_have_are_those_that_never_come(first):
    some = 0
    for labelled, least, batch_size, seed in map(random_case, range(first, first + 100)):
        images = Images(labelled)
        try:
            sampler = SharedSampler(images, batch_size, least, seed=seed)
        except ConfigError:
            continue
        seen = {int(draw) for batch in batches(sampler, 400) for draw in batch}
        unreachable = set(sampler.unreachable().tolist())
        assert unreachable == set(range(len(images))) - seen
        some += bool(unreachable)
    assert some > 3
