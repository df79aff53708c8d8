"""Numbered draws: what they depend on, what they leave alone, and broken files."""

import io
import pickle
import random

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image
from torch.utils.data import Dataset

from allinone.data import seeded
from allinone.data.seeded import Draw, SeededDataset, check_complete, check_decodes
from allinone.errors import DataError
from allinone.io import seeding
from allinone.io.seeding import seed_of


class Noise(Dataset):
    """Each sample: its index and what the four global generators give."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        pixel = cv2.randu(np.zeros(1), 0, 1).item()
        return index, random.random(), np.random.rand(), torch.rand(()).item(), pixel


class Files(Dataset):
    """Images as the libraries' data sets give them; ``before`` runs ahead of loading."""

    def __init__(self, paths, before=lambda: None):
        self.paths, self.before = paths, before

    def __len__(self):
        return len(self.paths)

    def get_data_info(self, index):
        return dict(img_path=self.paths[index])

    def __getitem__(self, index):
        self.before()
        return index, np.asarray(Image.open(self.paths[index])), random.random()


def encoded(kind='JPEG', size=(40, 30), **options):
    data = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def with_thumbnail(image: bytes) -> bytes:
    """The JPEG with an APP1 segment that holds another complete JPEG, as cameras write it."""
    inner = b'Exif\0\0' + encoded(size=(8, 8))
    return image[:2] + b'\xff\xe1' + (len(inner) + 2).to_bytes(2, 'big') + inner + image[2:]


def write(folder, contents):
    paths = []
    for number, content in enumerate(contents):
        path = folder / f'{number}.jpg'
        path.write_bytes(content)
        paths.append(str(path))
    return paths


def test_seed_of_changes_with_every_part_and_is_fixed_for_ever():
    # A changed value would change every training that is resumed.
    assert seed_of(0, 'cls', 7) == 6774367719775683181
    others = {
        seed_of(1, 'cls', 7),
        seed_of(0, 'det', 7),
        seed_of(0, 'cls', 8),
        seed_of(0, 'cls'),
        seed_of(0, 'cls', 7),
    }
    assert len(others) == 5


def test_a_draw_is_an_int_that_keeps_its_number_through_pickling():
    draw = pickle.loads(pickle.dumps(Draw(3, 1_000_000)))
    assert (draw, draw.number, type(draw)) == (3, 1_000_000, Draw)
    assert [10, 11, 12, 13][draw] == 13


def test_a_draw_depends_on_seed_task_and_number_only():
    one, same = SeededDataset(Noise(), 'cls', 0), SeededDataset(Noise(), 'cls', 0)
    wanted = one[Draw(2, 9)]
    random.seed(77), np.random.seed(77), torch.manual_seed(77)
    [same[Draw(4, number)] for number in range(3)]
    assert same[Draw(2, 9)] == wanted
    for other in (
        SeededDataset(Noise(), 'cls', 1)[Draw(2, 9)],
        SeededDataset(Noise(), 'det', 0)[Draw(2, 9)],
        one[Draw(2, 10)],
    ):
        assert all(a != b for a, b in zip(other[1:], wanted[1:]))
    # Validation has no draw numbers: the index is the number.
    assert one[2] == one[Draw(2, 2)]


@pytest.mark.parametrize('batch', [False, True])
def test_a_draw_leaves_the_global_generators_alone(batch):
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    dataset, draws = SeededDataset(Noise(), 'cls', 0), [Draw(1, 1), Draw(2, 5)]
    samples = dataset.__getitems__(draws) if batch else [dataset[draw] for draw in draws]
    assert samples == [dataset[draw] for draw in draws]
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_failed_draw_leaves_the_global_generators_alone(tmp_path):
    state = random.getstate()
    dataset = SeededDataset(Files(write(tmp_path, [b'no image'])), 'cls', 0)
    for draw in (lambda: dataset[0], lambda: dataset.__getitems__([0, 0])):
        with pytest.raises(DataError):
            draw()
        assert random.getstate() == state
    with seeding.seeded(1):  # Nor is anything left from it.
        inside = random.getstate()
        assert inside != state
        with seeding.seeded(2):
            assert random.getstate() != inside
        assert random.getstate() == inside
    assert random.getstate() == state


@pytest.mark.parametrize('task', ['cls', 'det'])
def test_batches_are_equal_with_0_and_2_workers(toy_cfg, task):
    """``cls``: RandomResizedCrop and ColorJitter; ``det``: RandomFlip; 3 epochs of draws."""
    from allinone.data.loaders import build_loader
    from allinone.data.task_loaders import TaskLoaders

    def batches(workers):
        cfg = dict(toy_cfg.train_dataloader[task], num_workers=workers, batch_size=8)
        with DefaultScope.overwrite_default_scope('allinone'):
            loaders = TaskLoaders({task: build_loader('key', task, cfg, 3, None, True, False)})
            return [loaders.next(task) for _ in range(5)]

    alone, together = batches(0), batches(2)
    for one, other in zip(alone, together):
        assert all(torch.equal(a, b) for a, b in zip(one['inputs'], other['inputs']))
        assert [s.img_path for s in one['data_samples']] == [
            s.img_path for s in other['data_samples']
        ]
    if task == 'cls':
        # The third batch begins the second epoch: the same images, augmented otherwise.
        paths = {s.img_path: x for x, s in zip(alone[0]['inputs'], alone[0]['data_samples'])}
        again = [
            (paths[s.img_path], x)
            for batch in alone[2:4]
            for x, s in zip(batch['inputs'], batch['data_samples'])
            if s.img_path in paths
        ]
        assert len(again) == 8 and not any(torch.equal(a, b) for a, b in again)


@pytest.mark.parametrize(
    'content',
    [
        pytest.param(encoded(), id='jpeg'),
        pytest.param(encoded(progressive=True), id='progressive jpeg'),
        pytest.param(encoded('PNG'), id='png'),
        pytest.param(with_thumbnail(encoded()), id='thumbnail'),
        pytest.param(encoded() + b'camera' * 30_000, id='180 kB after the end'),
        pytest.param(encoded('PNG') + bytes(100), id='zeros after a png'),
        pytest.param(encoded('BMP'), id='another format is left to the decoder'),
    ],
)
def test_complete_files_pass(tmp_path, content):
    (path,) = write(tmp_path, [content])
    check_complete(path)
    check_decodes(path)


@pytest.mark.parametrize(
    'content',
    [
        pytest.param(encoded()[:-20], id='jpeg'),
        pytest.param(encoded(progressive=True)[:-20], id='progressive jpeg'),
        pytest.param(encoded('PNG')[:-20], id='png'),
        pytest.param(with_thumbnail(encoded())[:-20], id='the thumbnail has an end marker too'),
        pytest.param(with_thumbnail(encoded())[:200], id='within the header'),
    ],
)
def test_truncated_files_are_found(tmp_path, content):
    (path,) = write(tmp_path, [content])
    with pytest.raises(DataError, match=rf'{path} is truncated \({len(content)} bytes\)'):
        check_complete(path)


def test_other_unusable_files_are_named(tmp_path):
    empty, text = write(tmp_path, [b'', b'no image'])
    with pytest.raises(DataError, match=f'{empty} is an empty file'):
        check_complete(empty)
    with pytest.raises(DataError, match='gone.jpg cannot be read: No such file'):
        check_complete(str(tmp_path / 'gone.jpg'))
    check_complete(text)
    with pytest.raises(DataError, match=f'{text} is not a readable image'):
        check_decodes(text)
    check_complete('s3://bucket/a.jpg')  # not ours to open


def test_a_broken_image_stops_with_its_name_and_the_next_step(tmp_path):
    paths = write(tmp_path, [encoded(), encoded()[:-30], b'no image'])
    dataset = SeededDataset(Files(paths), 'signs', 0)
    assert dataset[0][0] == 0
    with pytest.raises(
        DataError,
        match=rf'^task signs: {paths[1]} is truncated .*'
        r'train_dataloader\.signs\.skip_corrupt=True$',
    ):
        dataset[1]
    with pytest.raises(DataError, match=f'^task signs: {paths[2]} is not a readable image'):
        dataset[2]


def test_a_broken_transform_is_no_data_error(tmp_path):
    def fail():
        b'\xff'.decode()  # its error cannot be made from one message

    paths = write(tmp_path, [encoded()])
    with pytest.raises(RuntimeError, match=f'sample 0 .{paths[0]}.: UnicodeDecodeError') as error:
        SeededDataset(Files(paths, fail), 'cls', 0, skip_corrupt=True)[0]
    assert not isinstance(error.value, DataError)


def test_a_image_of_a_server_is_looked_at_as_the_data_set_reads_it(monkeypatch):
    def get(path, backend_args=None):
        assert backend_args == dict(backend='petrel')
        return b'no image'

    def fail():
        raise ValueError('cannot decode')

    monkeypatch.setattr('mmengine.fileio.get', get)
    dataset = Files(['petrel://signs/1.jpg'], fail)
    dataset.backend_args = dict(backend='petrel')
    with pytest.raises(DataError, match='petrel://signs/1.jpg is not a readable image'):
        SeededDataset(dataset, 'cls', 0)[0]


def test_skip_corrupt_names_once_draws_another_and_counts(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(seeded, 'print_log', lambda text, *_: said.append(text))
    paths = write(tmp_path, [encoded(), encoded()[:-30], encoded()])
    dataset = SeededDataset(Files(paths), 'cls', 0, skip_corrupt=True)
    drawn = [dataset[Draw(1, number)][0] for number in range(12)]
    assert set(drawn) == {0, 2}
    assert len(said) == 1 and f'skipped (1 so far): {paths[1]} is truncated' in said[0]
    assert dataset.corrupt.tolist() == [0, 1, 0]


def test_the_replacement_does_not_depend_on_what_was_met_before(tmp_path):
    """A resumed run meets the file anew; transforms may have drawn before it failed."""

    def make():
        paths = write(tmp_path, [encoded()] * 5 + [b'no image'])
        return SeededDataset(Files(paths, random.random), 'cls', 0, skip_corrupt=True)

    met = make()
    met[Draw(5, 0)]
    for number in range(1, 6):
        first, later = make()[Draw(5, number)], met[Draw(5, number)]
        assert (first[0], first[2]) == (later[0], later[2])


class SharedFiles(Dataset):
    """Six images as a shared source has them: labels of two tasks, or of the first alone."""

    def __init__(self, folder, both, broken=(0,)):
        contents = [b'no image' if index in broken else encoded() for index in range(6)]
        self.files = write(folder, contents)
        self.labelled = np.array([[True, index < both] for index in range(6)])

    def __len__(self):
        return len(self.files)

    def paths(self, index):
        return [self.files[index]]

    def __getitem__(self, index):
        return index, np.asarray(Image.open(self.files[index]))


@pytest.mark.parametrize('both, expected', [(4, {1, 2, 3}), (1, {1, 2, 3, 4, 5})])
def test_an_image_with_the_labels_of_a_broken_one_takes_its_place(tmp_path, both, expected):
    def make():
        return SeededDataset(SharedFiles(tmp_path, both), 'street', 0, skip_corrupt=True)

    met = make()
    drawn = [met[Draw(0, number)] for number in range(40)]
    assert {index for index, *_ in drawn} == expected
    # A resumed run meets the file anew.
    assert [make()[Draw(0, number)][0] for number in range(3, 6)] == [i for i, *_ in drawn[3:6]]


def test_where_all_images_with_the_labels_are_broken_others_take_their_place(tmp_path, monkeypatch):
    monkeypatch.setattr(SeededDataset, '_count', lambda self, index, error: None)
    dataset = SeededDataset(SharedFiles(tmp_path, 2, broken=(0, 1)), 'street', 0, skip_corrupt=True)
    assert {dataset[Draw(0, number)][0] for number in range(40)} == {2, 3, 4, 5}


@pytest.mark.parametrize(
    'total, broken, stops',
    [
        (2, 1, False),
        (2, 2, True),
        (1, 1, True),
        (50, 1, False),
        (50, 2, True),
        (200, 2, False),
        (200, 3, True),
    ],
)
def test_more_than_one_percent_stops(tmp_path, total, broken, stops):
    paths = write(tmp_path, [encoded(), b'no image'])
    dataset = SeededDataset(
        Files([paths[1]] * broken + [paths[0]] * (total - broken)), 'cls', 0, skip_corrupt=True
    )

    def load():
        for index in range(broken):
            dataset[index]

    if not stops:
        return load()
    with pytest.raises(
        DataError, match=f'task cls: {broken} of {total} images cannot be read, more than the 1 %'
    ):
        load()
