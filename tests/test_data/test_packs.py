"""Packed folders against the folders themselves."""

import io
import multiprocessing
import pickle
import shutil
import sys
import tarfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from conftest import classification, run_tool, tiny
from mmengine.fileio import LmdbBackend, get, get_file_backend, get_local_path, list_dir_or_file
from PIL import Image
from torch.utils.data import Dataset

from allinone.checkpoint.loading import read_checkpoint
from allinone.data.loaders import training_batches
from allinone.data.seeded import SeededDataset
from allinone.data.storage import lmdb_packs
from allinone.data.storage.packs import pack
from allinone.errors import DataError
from allinone.registry import RUNNERS


@pytest.fixture(scope='module', params=['pack', 'lmdb'])
def packed(request, toy_root, tmp_path_factory):
    """URL of the packed toy data."""
    out = tmp_path_factory.mktemp('packed') / f'data.{request.param}'
    assert pack(toy_root, out, shard_bytes=1 << 17) == sum(p.is_file() for p in toy_root.rglob('*'))
    return f'{request.param}://{out}'


def test_every_file_byte_by_byte(toy_root, packed):
    for path in toy_root.rglob('*'):
        if path.is_file():
            name = path.relative_to(toy_root).as_posix()
            assert get(f'{packed}/{name}') == path.read_bytes()
    with get_local_path(f'{packed}/toy/det/train.json') as path:
        assert open(path).read() == (toy_root / 'toy/det/train.json').read_text()


def test_what_others_can_read(toy_root, packed):
    kind, _, folder = packed.partition('://')
    name = 'toy/cls/train.txt'
    if kind == 'lmdb':
        shutil.copytree(folder, folder + '-copy')  # One process may open a database once
        assert LmdbBackend(folder + '-copy').get(name) == (toy_root / name).read_bytes()
        return
    tars = sorted(Path(folder).glob('*.tar'))
    assert len(tars) > 1
    found = {}
    for tar in tars:
        with tarfile.open(tar) as shard:
            found |= {member.name: shard.extractfile(member).read() for member in shard}
    assert found[name] == (toy_root / name).read_bytes()


def test_linked_folders_are_packed(tmp_path):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'disk/a.jpg').write_bytes(b'a')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/train').symlink_to(tmp_path / 'disk')
    assert pack(tmp_path / 'data', tmp_path / 'data.pack') == 1
    assert get(f'pack://{tmp_path}/data.pack/train/a.jpg') == b'a'


def test_names_as_of_a_folder(toy_root, packed):
    for options in (
        dict(),
        dict(list_file=False),
        dict(list_dir=False, suffix='.png', recursive=True),
    ):
        folder = toy_root / 'toy/seg'
        expected = sorted(list_dir_or_file(str(folder), **options))
        assert list(list_dir_or_file(f'{packed}/toy/seg', **options)) == expected


def test_a_damaged_index(toy_root, tmp_path):
    """``index.json`` of a pack that was not copied to its end."""
    pack(toy_root / 'toy/cls', tmp_path / 'cls.pack')
    index = tmp_path / 'cls.pack/index.json'
    index.write_text(index.read_text()[:-20])
    with pytest.raises(
        DataError, match='cls.pack/index.json is damaged: .*; pack its folder again'
    ):
        get(f'pack://{tmp_path}/cls.pack/train.txt')


def test_names_that_are_not_ascii(tmp_path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/über b.txt').write_text('ü')
    for ending in ('pack', 'lmdb'):
        pack(tmp_path / 'data', tmp_path / f'data.{ending}')
        assert get(f'{ending}://{tmp_path}/data.{ending}/über b.txt').decode() == 'ü'


def test_a_forked_process_opens_a_database_itself(packed):
    """LMDB forbids to use one that was open before."""
    url = f'{packed}/toy/cls/train.txt'
    expected = get(url)
    inherited = list(lmdb_packs._environments.values())
    backend = pickle.loads(pickle.dumps(get_file_backend(url)))
    context = multiprocessing.get_context('fork')
    answers = context.Queue()

    def read():
        for environment in inherited:
            with pytest.raises(lmdb.Error, match='closed'):
                environment.begin()
        answers.put(backend.get(url))

    child = context.Process(target=read)
    child.start()
    assert answers.get(timeout=60) == expected
    child.join()
    assert list(lmdb_packs._environments.values()) == inherited
    assert get(url) == expected


def test_the_same_images_order_and_parameters(packed, trained, tmp_path, monkeypatch):
    """As from files, bit for bit: a whole run, and one that goes on where that of files was."""
    _, _, from_files = trained
    expected = read_checkpoint(from_files / 'iter_4.pth')
    batches = training_batches(tiny(tmp_path / 'plain'), ('cls', 'det', 'seg'))
    batches = [next(batches) for _ in range(3)]
    monkeypatch.setenv('ALLINONE_DATA', packed)
    options = {'train_cfg.val_interval': 99}
    cfg = tiny(tmp_path / 'whole', **options)
    assert packed in cfg.train_dataloader.det.dataset.ann_file
    for step, found in zip(batches, training_batches(cfg, ('cls', 'det', 'seg'))):
        for task, batch in found.items():
            for own, other in zip(batch['inputs'], step[task]['inputs']):
                assert torch.equal(own, other)
    cfg.train_dataloader.det.num_workers = 1
    RUNNERS.build(cfg).train()
    (tmp_path / 'resumed').mkdir()
    shutil.copy(from_files / 'iter_2.pth', tmp_path / 'resumed')
    cfg = tiny(tmp_path / 'resumed', **options)
    cfg.resume = True
    RUNNERS.build(cfg).train()
    for work in ('whole', 'resumed'):
        found = read_checkpoint(tmp_path / work / 'iter_4.pth')
        assert found['state_dict'].keys() == expected['state_dict'].keys()
        for name, value in expected['state_dict'].items():
            assert torch.equal(found['state_dict'][name], value), (work, name)


def test_a_resumed_training(packed, toy_root, tmp_path, monkeypatch):
    """All of it from the pack, with two workers and then none."""
    monkeypatch.setenv('ALLINONE_DATA', packed)
    states = []
    for stops in ((4,), (2, 4)):
        for steps in stops:
            work = tmp_path / str(len(stops))
            cfg = classification(work, **{'train_cfg.max_iters': steps})
            cfg.train_dataloader.cls.num_workers = 2 if steps == 2 else 0
            cfg.resume = steps > stops[0]
            runner = RUNNERS.build(cfg)
            runner.train()
        states.append(runner.model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_images_that_are_cut_off_or_no_images(tmp_path):
    """They are packed, and are as bad as in files."""
    whole = io.BytesIO()
    Image.new('RGB', (40, 30), 'red').save(whole, 'JPEG')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/0.jpg').write_bytes(whole.getvalue()[:-60])
    (tmp_path / 'data/1.jpg').write_bytes(b'no image')
    for ending in ('pack', 'lmdb'):
        pack(tmp_path / 'data', tmp_path / f'data.{ending}')
        at = f'{ending}://{tmp_path}/data.{ending}'
        dataset = SeededDataset(_Images(at), 'cls', 0)
        for number, why in enumerate(('is truncated', 'is not a readable image')):
            with pytest.raises(DataError, match=f'^task cls: {at}/{number}.jpg {why}'):
                dataset[number]


class _Images(Dataset):
    def __init__(self, folder):
        self.folder = folder

    def __len__(self):
        return 2

    def get_data_info(self, index):
        return dict(img_path=f'{self.folder}/{index}.jpg')

    def __getitem__(self, index):
        return np.asarray(Image.open(io.BytesIO(get(f'{self.folder}/{index}.jpg'))))


def test_without_the_package(tmp_path, monkeypatch):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/a.txt').write_bytes(b'a')
    pack(tmp_path / 'data', tmp_path / 'a.lmdb')
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    for call in (
        lambda: pack(tmp_path / 'data', tmp_path / 'b.lmdb'),
        lambda: get(f'lmdb://{tmp_path}/a.lmdb/a.txt'),
    ):
        with pytest.raises(DataError, match='run pip install lmdb'):
            call()


def test_what_cannot_be(packed, toy_root, tmp_path, capsys):
    kind = packed.partition('://')[0]
    with pytest.raises(DataError, match='no.jpg is not in the pack'):
        get(f'{packed}/no.jpg')
    with pytest.raises(DataError, match='names no pack'):
        get(f'{kind}://no/file.jpg')
    with pytest.raises(DataError, match='index.json cannot be read: No such file'):
        get(f'{kind}://no.{kind}/file.jpg')
    (tmp_path / 'one').mkdir()
    (tmp_path / 'one/a.txt').write_bytes(b'0123456789')
    given = (tmp_path / 'one', '--out', tmp_path / f'b.{kind}')
    assert run_tool('pack', *given) == 0
    assert run_tool('pack', *given) == 2
    assert 'is there already' in capsys.readouterr().err
    shard = tmp_path / f'b.{kind}' / dict(pack='00000.tar', lmdb='data.mdb')[kind]
    content = shard.read_bytes()
    shard.write_bytes(content.replace(b'0123456789', b'0123456780'))
    assert shard.read_bytes() != content
    with pytest.raises(DataError, match='a.txt is damaged in'):
        get(f'{kind}://{tmp_path}/b.{kind}/a.txt')
    for folder, out in ((tmp_path / 'no', 'c.pack'), (tmp_path / 'one', 'c')):
        with pytest.raises(DataError):
            pack(folder, tmp_path / out)
    deep = tmp_path / 'deep' / ('x' * 250) / ('y' * 250)
    deep.mkdir(parents=True)
    (deep / ('z' * 250)).write_bytes(b'1')
    with pytest.raises(DataError, match='has a name of 752 bytes, but LMDB takes 511'):
        pack(tmp_path / 'deep', tmp_path / 'deep.lmdb')
    assert not (tmp_path / 'deep.lmdb').exists()
