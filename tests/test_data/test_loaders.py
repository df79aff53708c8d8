import time

import torch
from conftest import tiny
from torch.utils.data import DataLoader, Dataset

from allinone.data.loaders import build_loader, in_this_process, training_batches
from allinone.data.samplers import SeededInfiniteSampler
from allinone.data.seeded import SeededDataset
from allinone.data.task_loaders import TaskLoaders


class Numbers(Dataset):
    metainfo = dict(classes=('a', 'b'))

    def __init__(self, size, delay=0.0):
        self.size, self.delay = size, delay

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        time.sleep(self.delay)
        return int(index), float(torch.rand(()))


def loader(task='a', size=10, delay=0.0, workers=0, batch_size=4):
    dataset = SeededDataset(Numbers(size, delay), task, seed=0)
    return DataLoader(
        dataset,
        batch_size,
        sampler=SeededInfiniteSampler(dataset, seed=0),
        num_workers=workers,
        collate_fn=list,
        persistent_workers=workers > 0,
    )


def test_each_epoch_is_a_permutation_and_they_differ():
    draws = iter(SeededInfiniteSampler(Numbers(10), seed=3))
    first, second = ([int(next(draws)) for _ in range(10)] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_any_position_is_reached_at_once():
    draws = iter(SeededInfiniteSampler(Numbers(7), seed=0))
    tail = [next(draws) for _ in range(20)][13:]
    sampler = SeededInfiniteSampler(Numbers(7), seed=0, start=13)
    found = [draw for draw, _ in zip(sampler, range(7))]
    assert found == tail and [draw.number for draw in found] == list(range(13, 20))
    start = time.perf_counter()
    far = next(iter(SeededInfiniteSampler(Numbers(7), seed=0, start=10**12)))
    assert far.number == 10**12 and time.perf_counter() - start < 1


def test_two_tasks_on_one_set_are_drawn_in_their_own_order():
    orders = [
        [
            int(draw)
            for draw, _ in zip(
                SeededInfiniteSampler(SeededDataset(Numbers(20), task, 0), seed=0), range(20)
            )
        ]
        for task in 'ab'
    ]
    assert orders[0] != orders[1]


def test_seek_continues_where_a_run_stopped():
    whole = TaskLoaders(dict(a=loader('a'), b=loader('b')))
    expected = [whole.next(task) for task in 'aabab'][3:]
    rest = TaskLoaders(dict(a=loader('a', workers=1), b=loader('b')))
    rest.seek(dict(a=2, b=1), world_size=1)
    assert [rest.next(task) for task in 'ab'] == expected
    assert rest.batches == dict(a=3, b=2) == whole.batches


def test_a_slow_loader_holds_up_only_its_own_task():
    loaders = TaskLoaders(
        dict(slow=loader('slow', delay=2.0, workers=1), fast=loader('fast', workers=1))
    )
    loaders._iterators['slow'] = iter(loaders.loaders['slow'])  # its first batch takes 8 s
    start = time.perf_counter()
    for _ in range(5):
        loaders.next('fast')
    assert time.perf_counter() - start < 6


def test_evaluation_goes_through_the_tasks_in_turn():
    loaders = TaskLoaders(
        {
            task: DataLoader(Numbers(size), 4, collate_fn=list)
            for task, size in dict(a=5, b=3).items()
        }
    )
    batches = [(task, len(batch)) for item in loaders for task, batch in item.items()]
    assert batches == [('a', 4), ('a', 1), ('b', 3)]
    assert len(loaders) == 3 and loaders.sizes == dict(a=5, b=3)
    assert loaders.dataset.metainfo['a'] == Numbers.metainfo


def test_a_loader_for_this_process_has_none_of_the_workers_options():
    cfg = dict(batch_size=2, num_workers=4, prefetch_factor=8, persistent_workers=True)
    assert in_this_process(cfg) == dict(batch_size=2, num_workers=0)
    assert cfg['num_workers'] == 4


def test_training_batches_go_round_a_finite_sampler(toy_root, tmp_path):
    cfg = tiny(tmp_path)
    cfg.train_dataloader.cls.update(
        batch_size=4, sampler=dict(type='DefaultSampler', shuffle=False), num_workers=0
    )
    found = training_batches(cfg, ['cls'])
    size = len(build_loader('cls', 'cls', cfg.train_dataloader.cls, 0, None, True, False))
    labels = [
        [int(sample.gt_label) for sample in next(found)['cls']['data_samples']]
        for _ in range(2 * size)
    ]
    assert labels[:size] == labels[size:]
