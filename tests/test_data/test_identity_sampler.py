"""P identities with K images each in a batch."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from conftest import classification, joined
from mmengine.dataset import BaseDataset, RepeatDataset
from torch.utils.data import Dataset

from allinone.checkpoint.loading import read_checkpoint
from allinone.data import IdentitySampler, identity_sampler
from allinone.data.loaders import build_loader
from allinone.data.seeded import SeededDataset
from allinone.data.task_loaders import TaskLoaders
from allinone.errors import ConfigError
from allinone.registry import DATASETS, RUNNERS
from allinone.training.epochs import iterations_per_epoch

# Identity 7 has one image, 3 has two, the others three to five.
SIZES = {3: 2, 4: 3, 5: 5, 6: 4, 7: 1, 9: 3, 11: 4}
LABELS = np.random.default_rng(0).permutation(np.repeat(list(SIZES), list(SIZES.values())))


class Labelled(Dataset):
    task = 'reid'

    def __init__(self, labels=LABELS):
        self.labels = list(labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return dict(inputs=index)

    def get_cat_ids(self, index):
        return [self.labels[index]]


def sampler(p=3, k=2, labels=LABELS, **options):
    return IdentitySampler(Labelled(labels), p, k, **(dict(seed=1) | options))


def draws_of(sampled, number):
    return [(int(draw), draw.number) for draw in islice(sampled, number)]


def as_rank(monkeypatch, rank, ranks):
    monkeypatch.setattr(identity_sampler, 'get_dist_info', lambda: (rank, ranks))


def test_each_batch_has_so_many_identities_with_so_many_images():
    draws = draws_of(sampler(), 6 * 40)
    assert [number for _, number in draws] == list(range(240))
    for batch in range(40):
        images = [index for index, _ in draws[6 * batch : 6 * batch + 6]]
        labels = [LABELS[index] for index in images]
        assert labels[::2] == labels[1::2] and len(set(labels)) == 3
        # Nothing twice, except of the identity that has one image
        twice = [index for index, count in Counter(images).items() if count > 1]
        assert [LABELS[index] for index in twice] == [7] * (7 in labels)


def test_an_epoch_has_each_identity_once_and_leaves_the_rest_out():
    draws = draws_of(sampler(p=3, k=1), 3 * 200)
    epochs = [[LABELS[index] for index, _ in draws[6 * e : 6 * e + 6]] for e in range(100)]
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    # Of 7 identities one is left out, another one each time.
    left_out = Counter(next(iter(set(SIZES) - set(epoch))) for epoch in epochs)
    assert set(left_out) == set(SIZES)
    assert len(set(map(tuple, epochs))) > 90
    # All images of an identity have their turn.
    assert {index for index, _ in draws} == set(range(len(LABELS)))


@pytest.mark.parametrize('k, counts', [(4, [2, 2]), (5, [2, 3]), (8, [4, 4])])
def test_too_few_images_are_repeated_as_often_as_each_other(k, counts):
    for batch in range(20):
        images = [
            index
            for index, _ in draws_of(sampler(p=7, k=k, start=batch * 7 * k), 7 * k)
            if LABELS[index] == 3
        ]
        assert sorted(Counter(images).values()) == counts


def test_any_batch_is_reached_at_once():
    expected = draws_of(sampler(), 6 * 50)
    for batch in (0, 1, 2, 3, 17, 49):
        assert draws_of(sampler(start=6 * batch), 6) == expected[6 * batch : 6 * batch + 6]
    far = sampler(start=6 * 10**12)
    assert draws_of(far, 1)[0][1] == 6 * 10**12


def test_seed_and_task_make_the_order():
    first = draws_of(sampler(), 60)
    assert draws_of(sampler(), 60) == first != draws_of(sampler(seed=2), 60)
    other = Labelled()
    other.task = 'faces'
    assert draws_of(IdentitySampler(other, 3, 2, seed=1), 60) != first


@pytest.mark.parametrize('ranks', [2, 3, 6])
def test_ranks_draw_together_what_one_draws(monkeypatch, ranks):
    expected = draws_of(sampler(p=6, k=3, start=36), 18 * 10)
    parts = []
    for rank in range(ranks):
        as_rank(monkeypatch, rank, ranks)
        one = sampler(p=6, k=3, start=36)
        assert one.batch_size == 18 // ranks
        parts.append(draws_of(one, 18 * 10 // ranks))
    size = 18 // ranks
    together = [
        draw
        for batch in range(10)
        for part in parts
        for draw in part[size * batch : size * (batch + 1)]
    ]
    # With the same numbers, by which images are augmented
    assert together == expected


def test_two_processes_draw_together_what_one_draws(tmp_path):
    def drawn(rank):
        sampled = sampler(p=4, k=2)
        return sampled.batch_size, draws_of(sampled, 4 * 5)

    with joined(drawn, tmp_path) as (_, answers):
        (size, first), (_, second) = answers()
    assert size == 4
    expected = draws_of(sampler(p=4, k=2), 8 * 5)
    assert sorted(first + second, key=lambda draw: draw[1]) == expected
    assert first == [draw for draw in expected if draw[1] % 8 < 4]


def test_repeated_data_sets_repeat_no_image():
    class Infos(BaseDataset):
        def load_data_list(self):
            return [dict(gt_label=int(label)) for label in LABELS]

    repeated = SeededDataset(RepeatDataset(Infos(), 5), 'reid', 0)
    assert len(repeated) == 5 * len(LABELS)
    assert draws_of(IdentitySampler(repeated, 3, 2, seed=1), 120) == draws_of(sampler(), 120)


@pytest.mark.parametrize(
    'make, says',
    [
        (
            lambda: sampler(p=8),
            'train_dataloader.reid.sampler.identities is 8, but the data set has 7 identities; set '
            'it to 7 or less',
        ),
        (
            lambda: sampler(p=2, labels=[0, 1, 2]),
            'train_dataloader.reid.sampler.images_per_identity is 2, but each of the 3 identities '
            'has one image, so no batch has two images of one; use '
            "sampler=dict(type='SeededInfiniteSampler') and losses of identities alone, or give "
            'more images of each',
        ),
        (lambda: sampler(p=0), 'train_dataloader.reid.sampler.identities is 0'),
        (lambda: sampler(k=1.5), 'train_dataloader.reid.sampler.images_per_identity is 1.5'),
        (
            lambda: IdentitySampler([1, 2, 3], 2, 2),
            "train_dataloader.sampler.type is 'IdentitySampler', but the data set tells no labels "
            "of image 0, and not the identity of each; use 'allinone.IdentityDataset', or the "
            "sampler 'SeededInfiniteSampler'",
        ),
    ],
)
def test_what_cannot_be_sampled(make, says):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value).startswith(says)


def test_images_of_several_labels_are_no_identities():
    class Several(Labelled):
        def get_cat_ids(self, index):
            return [1, 2] if index == 4 else [1]

    with pytest.raises(ConfigError, match='tells 2 labels of image 4, and not the identity'):
        IdentitySampler(Several(), 1, 2)


def test_ranks_take_whole_identities(monkeypatch):
    as_rank(monkeypatch, 1, 4)
    with pytest.raises(ConfigError) as error:
        sampler(p=6)
    assert str(error.value) == (
        'train_dataloader.reid.sampler.identities is 6, but each of the 4 ranks takes whole '
        'identities; set it to a multiple of 4, such as 8'
    )


@pytest.fixture
def loader():
    @DATASETS.register_module(name='ForIdentitySampler', force=True)
    class Registered(Labelled):
        pass

    def build(train=True, check=False, **cfg):
        cfg = (
            dict(
                batch_size=12,
                dataset=dict(type='allinone.ForIdentitySampler'),
                sampler=dict(type='IdentitySampler', identities=4, images_per_identity=3),
                num_workers=0,
                collate_fn=dict(type='pseudo_collate'),
            )
            | cfg
        )
        key = f'{"train" if train else "val"}_dataloader.reid'
        return build_loader(key, 'reid', cfg, 0, None, train, check)

    yield build
    DATASETS.module_dict.pop('ForIdentitySampler')


def test_the_loader_gives_the_batches_of_the_sampler(loader):
    loaders = TaskLoaders(dict(reid=loader()))
    batch = loaders.next('reid')['inputs']
    assert len(batch) == 12 == loaders.smallest_batch('reid', 1000)
    assert len({LABELS[index] for index in batch}) == 4
    second = loaders.next('reid')['inputs']
    # Sought, not stepped through
    again = TaskLoaders(dict(reid=loader()))
    again.seek(dict(reid=1), 1)
    assert again.first('reid', 12)['inputs'] == again.next('reid')['inputs'] == second
    # An epoch is as many images as there are: 22 in batches of 12.
    assert iterations_per_epoch(loaders.loaders) == 2


def test_two_ranks_seek_the_same_batch(loader, monkeypatch):
    one = TaskLoaders(dict(reid=loader()))
    one.seek(dict(reid=5), 1)
    expected, found = one.next('reid')['inputs'], []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        part = TaskLoaders(dict(reid=loader(batch_size=6)))
        part.seek(dict(reid=5), 2)
        found += part.next('reid')['inputs']
    assert found == expected


def test_another_batch_size_is_refused(loader, monkeypatch):
    with pytest.raises(ConfigError) as error:
        loader(check=True, batch_size=16)
    assert str(error.value) == (
        'train_dataloader.reid.batch_size is 16, but sampler.identities=4 and '
        'sampler.images_per_identity=3 make batches of 12 images; set it to 12 in '
        'one process'
    )
    as_rank(monkeypatch, 0, 2)
    with pytest.raises(ConfigError) as error:
        loader(check=True, batch_size=12)
    assert str(error.value) == (
        'train_dataloader.reid.batch_size is 12, but sampler.identities=4 and '
        'sampler.images_per_identity=3 make batches of 12 images, of which each of the 2 ranks '
        'takes its part; set it to 6'
    )


def test_tools_read_a_config_for_several_ranks(loader):
    found = loader(batch_size=6)
    assert found.batch_sampler.batch_size == 12 == len(next(iter(found))['inputs'])


def test_it_is_for_training_and_makes_the_batches(loader):
    with pytest.raises(ConfigError) as error:
        loader(train=False)
    assert str(error.value) == (
        "val_dataloader.reid.sampler.type is 'IdentitySampler', but it samples without end; leave "
        'out sampler'
    )
    with pytest.raises(ConfigError, match=r'batch_sampler is set, but IdentitySampler makes'):
        loader(batch_sampler=dict(type='BatchSampler'))


def test_identities_with_few_images_are_counted(loader, monkeypatch):
    logged = []
    monkeypatch.setattr(identity_sampler, 'print_log', lambda line, *_: logged.append(line))
    identity_sampler.log_repeated('train_dataloader.reid', sampler(p=4, k=3))
    identity_sampler.log_repeated('train_dataloader.reid', sampler(p=4, k=1))
    assert logged == [
        'train_dataloader.reid: 2 of 7 identities have fewer than 3 images, so a batch has some of '
        'them twice or more'
    ]
    logged.clear()
    loader(check=True)
    assert len(logged) == 1


def test_resuming_amid_an_epoch_is_the_same_to_the_bit(toy_root, tmp_path):
    def train(work_dir, **options):
        cfg = classification(work_dir, **options)
        cfg.train_cfg.max_iters = 5
        for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
            cfg.pop(key)
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=1)
        data = cfg.train_dataloader.cls
        data.dataset = dict(
            type='allinone.IdentityDataset',
            _scope_='mmpretrain',
            ann_file=f'{toy_root}/toy/cls/train.txt',
            data_prefix=f'{toy_root}/toy/cls/train',
            pipeline=data.dataset.pipeline,
        )
        data.sampler = dict(type='IdentitySampler', identities=3, images_per_identity=2)
        data.batch_size = 6
        RUNNERS.build(cfg).train()
        return read_checkpoint(work_dir / 'iter_5.pth')

    expected = train(tmp_path / 'whole')
    start = read_checkpoint(tmp_path / 'whole/iter_3.pth')['state_dict']
    found = train(tmp_path / 'resumed', resume=True, load_from=str(tmp_path / 'whole/iter_3.pth'))
    for name, value in expected['state_dict'].items():
        assert value.equal(found['state_dict'][name]), name
    assert any(not value.equal(start[name]) for name, value in expected['state_dict'].items())
