"""Class-aware draws."""

from collections import Counter

import pytest
from torch.utils.data import Dataset

from allinone.data.samplers import ClassAwareSampler
from allinone.errors import ConfigError


class Labelled(Dataset):
    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_cat_ids(self, index):
        return self.labels[index]


def test_classes_are_drawn_equally_often():
    labels = [[0]] * 90 + [[5]] * 8 + [[7]] * 2
    sampler = ClassAwareSampler(Labelled(labels), seed=1)
    order = sampler.permutation(0)
    assert len(order) == 100
    drawn = Counter(labels[index][0] for index in order)
    assert sorted(drawn.values()) == [33, 33, 34]
    # Those of a class have their turn before one comes again.
    assert sorted(Counter(index for index in order if labels[index] == [5]).values())[0] >= 4
    assert max(Counter(index for index in order if labels[index] == [0]).values()) == 1
    assert order == sampler.permutation(0) != sampler.permutation(1)


def test_class_aware_draws_go_on_from_any_number():
    labels = [[index % 3, 4] for index in range(10)]
    whole, rest = ClassAwareSampler(Labelled(labels), seed=3), None
    draws = [next_ for _, next_ in zip(range(25), iter(whole))]
    rest = ClassAwareSampler(Labelled(labels), seed=3, start=13)
    again = [next_ for _, next_ in zip(range(12), iter(rest))]
    assert [(int(draw), draw.number) for draw in draws[13:]] == [
        (int(draw), draw.number) for draw in again
    ]


def test_a_image_counts_for_each_of_its_classes():
    sampler = ClassAwareSampler(Labelled([[0], [0, 1], [0]]))
    assert sampler.images == {0: [0, 1, 2], 1: [1]}


def test_data_sets_that_tell_no_classes_are_refused():
    with pytest.raises(ConfigError, match='does not tell the classes'):
        ClassAwareSampler([1, 2, 3])
    with pytest.raises(ConfigError, match='no image of the data set has a class'):
        ClassAwareSampler(Labelled([[], []]))
