"""Packed folders against the folders themselves."""

import tarfile

import numpy as np
import pytest
from conftest import classification, run_tool, tiny
from mmengine.fileio import get, list_dir_or_file

from allinone.datasets.packs import pack
from allinone.engine.dataloaders import training_batches
from allinone.errors import DataError
from allinone.registry import RUNNERS


@pytest.fixture(scope='module')
def packed(toy_root, tmp_path_factory):
    out = tmp_path_factory.mktemp('packed') / 'data.pack'
    assert pack(toy_root, out, shard_bytes=1 << 17) == sum(p.is_file() for p in toy_root.rglob('*'))
    return out


def test_every_file_byte_by_byte(toy_root, packed):
    assert len(list(packed.glob('*.tar'))) > 1
    for path in toy_root.rglob('*'):
        if path.is_file():
            name = path.relative_to(toy_root).as_posix()
            assert get(f'pack://{packed}/{name}') == path.read_bytes()
    with tarfile.open(next(packed.glob('*.tar'))) as shard:
        member = shard.next()
        assert shard.extractfile(member).read() == (toy_root / member.name).read_bytes()


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
        assert list(list_dir_or_file(f'pack://{packed}/toy/seg', **options)) == expected


def test_the_same_batches_of_all_tasks(packed, toy_root, tmp_path, monkeypatch):
    plain = training_batches(tiny(tmp_path / 'plain'), ('cls', 'det', 'seg'))
    expected = [next(plain) for _ in range(3)]
    monkeypatch.setenv('ALLINONE_DATA', f'pack://{packed}')
    cfg = tiny(tmp_path / 'packed')
    assert str(packed) in cfg.train_dataloader.det.dataset.ann_file
    found = training_batches(cfg, ('cls', 'det', 'seg'))
    for step in expected:
        for task, batch in next(found).items():
            for own, other in zip(batch['inputs'], step[task]['inputs']):
                assert np.array_equal(own, other)


def test_a_training_with_workers(packed, toy_root, tmp_path, monkeypatch):
    monkeypatch.setenv('ALLINONE_DATA', f'pack://{packed}')
    cfg = classification(tmp_path / 'work', **{'train_cfg.max_iters': 2})
    cfg.train_dataloader.cls.num_workers = 2
    RUNNERS.build(cfg).train()
    assert (tmp_path / 'work/iter_2.pth').is_file()


def test_what_cannot_be(packed, toy_root, tmp_path, capsys):
    with pytest.raises(DataError, match='no.jpg is not in the pack'):
        get(f'pack://{packed}/no.jpg')
    with pytest.raises(DataError, match='names no pack'):
        get('pack://no/file.jpg')
    (tmp_path / 'one').mkdir()
    (tmp_path / 'one/a.txt').write_bytes(b'0123456789')
    given = (tmp_path / 'one', '--out', tmp_path / 'b.pack')
    assert run_tool('dataset_converters/pack', *given) == 0
    assert run_tool('dataset_converters/pack', *given) == 2
    assert 'is there already' in capsys.readouterr().err
    shard = tmp_path / 'b.pack/00000.tar'
    shard.write_bytes(shard.read_bytes().replace(b'0123456789', b'0123456780'))
    with pytest.raises(DataError, match='a.txt is damaged in'):
        get(f'pack://{tmp_path}/b.pack/a.txt')
    for folder, out in ((tmp_path / 'no', 'c.pack'), (tmp_path / 'one', 'c')):
        with pytest.raises(DataError):
            pack(folder, tmp_path / out)
