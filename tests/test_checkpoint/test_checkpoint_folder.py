"""Checkpoints as folders: written by several processes, read by others, whole or not at all."""

import multiprocessing
import os
import signal

import pytest
import torch
import torch.distributed as dist
from conftest import files_of_at_most, joined
from mmengine.logging import HistoryBuffer

from allinone.checkpoint.folder import remove_folder, share_of, tidy
from allinone.checkpoint.loading import read_checkpoint
from allinone.checkpoint.shards import StoredTensor, shard_state, sharded_as, whole
from allinone.checkpoint.writer import CheckpointWriter
from allinone.errors import CheckpointError
from allinone.training.resume import newest_checkpoint

SHAPES = dict(even=(6, 2), uneven=(5, 3), few=(2,), long=(40_000,))


def a_checkpoint(value=0.0, spread=lambda tensor: tensor):
    """With ``value`` added to each weight."""
    tensors = {
        name: torch.arange(float(torch.Size(shape).numel())).reshape(shape) + value
        for name, shape in SHAPES.items()
    }
    weights = {name: spread(tensor) for name, tensor in tensors.items()}
    state = {
        i: dict(step=torch.tensor(4.0), half=spread(tensor.bfloat16()))
        for i, tensor in enumerate(tensors.values())
    }
    return dict(
        meta=dict(iter=4, classes=('a', 'b')),
        state_dict=dict(weights, buffer=torch.ones(3, 2), count=torch.tensor(7)),
        optimizer=dict(state=state, param_groups=[dict(params=list(state), lr=0.1)]),
        message_hub=dict(log=HistoryBuffer([1.0, 2.5], [1, 1])),
    )


def same(one, other):
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, HistoryBuffer):
        return all((a == b).all() for a, b in zip(one.data, other.data))
    return one == other


def save(path, value=0.0, spread=lambda tensor: tensor):
    CheckpointWriter().write(share_of(a_checkpoint(value, spread)), str(path))


def spreading():
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh('cpu', (dist.get_world_size(),))
    return lambda tensor: distribute_tensor(tensor, mesh, [Shard(0)], src_data_rank=None)


def in_processes(count, folder, call):
    folder.mkdir()
    with joined(call, folder, count) as (_, answers):
        return answers()


def test_shards_of_three_processes_into_one_two_and_pytorch(tmp_path):
    from torch.distributed.checkpoint import HuggingFaceStorageReader, load

    path = tmp_path / 'c.dcp'

    def three(rank):
        spread = spreading()
        save(path, 0.0, spread)
        parts = share_of(a_checkpoint(0.0, spread))['tensors']
        gathered = whole(a_checkpoint(0.0, spread))
        size = sum(part.nbytes for part in parts.values())
        return size, same(gathered, a_checkpoint()), gathered['state_dict']['few'] is None

    sizes, equal, lacking = zip(*in_processes(3, tmp_path / '3', three))
    assert equal == (True, False, False) and lacking == (False, True, True)
    assert same(read_checkpoint(path), a_checkpoint())
    total = sum(value.nbytes for value in a_checkpoint()['state_dict'].values())
    assert total / 3 < max(sizes) < 0.6 * total  # The optimizer's are half as large.
    assert len(list(path.iterdir())) == 4 and (path / 'checkpoint.safetensors').is_file()

    def two(rank):
        spread = spreading()
        found = read_checkpoint(path, lazily=True)
        params = [torch.nn.Parameter(spread(torch.zeros(shape))) for shape in SHAPES.values()]
        state = shard_state(torch.optim.Adam(params), found['optimizer'])['state']
        loaded = [
            sharded_as(found['state_dict'][name], param) for name, param in zip(SHAPES, params)
        ]
        assert all(state[i]['half'].placements == p.placements for i, p in enumerate(params))
        return [tensor.to_local().tolist() for tensor in loaded], [
            (part['step'].item(), part['half'].to_local().tolist()) for part in state.values()
        ]

    answers = in_processes(2, tmp_path / '2', two)
    for number, (name, expected) in enumerate(list(a_checkpoint()['state_dict'].items())[:4]):
        for half, (weights, state) in zip(expected.chunk(2), answers):
            assert weights[number] == half.tolist(), name
            assert state[number] == (4.0, half.bfloat16().tolist()), name

    other = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    load(other, storage_reader=HuggingFaceStorageReader(str(path)), no_dist=True)
    assert all(torch.equal(other[name], a_checkpoint()['state_dict'][name]) for name in SHAPES)


def test_replicas_write_each_tensor_once_and_about_as_much(tmp_path):
    path = tmp_path / 'c.dcp'

    def two(rank):
        save(path)
        return set(share_of(a_checkpoint())['tensors'])

    first, second = in_processes(2, tmp_path / '2', two)
    assert not first & second and 'long' in first | second
    sizes = [file.stat().st_size for file in path.glob('shard*')]
    assert max(sizes) < 2.5 * min(sizes)  # The largest tensors have 160,000 and 80,000 bytes.
    assert same(read_checkpoint(path), a_checkpoint())


def test_a_failure_of_one_process_is_one_of_all(tmp_path):
    path = tmp_path / 'c.dcp'
    save(path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}

    def two(rank):
        with files_of_at_most(50_000 if rank else 10**6):
            try:
                save(path, 1.0, spreading())
            except CheckpointError as error:
                return str(error)

    first, second = in_processes(2, tmp_path / '2', two)
    assert first == second and 'shard_00001_of_00002' in first
    assert 'cannot be written: File too large; it needs ' in first
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_any_part_of_a_stored_tensor():
    """Stored in four parts; a part of any place and size is that of the whole."""
    tensor = torch.arange(20).reshape(5, 4)

    class File:
        def __init__(self, *part):
            self.part = tensor[part]

        def get_slice(self, name):
            return self.part

    stored = StoredTensor('t', tensor.shape, tensor.dtype)
    rows, columns = (slice(0, 2), slice(2, 5)), (slice(0, 3), slice(3, 4))
    for row in rows:
        for column in columns:
            file = File(row, column)
            stored.parts.append((file, (row.start, column.start), file.part.shape))
    assert torch.equal(stored.read(), tensor)
    for top in range(5):
        for left in range(4):
            for height in range(6 - top):
                expected = tensor[top : top + height, left:]
                assert torch.equal(stored.read((top, left), expected.shape), expected)


def die_at(number, path):
    """At the so-manieth file that is flushed or renamed."""
    calls = iter(range(number))

    def dying(call):
        def called(*args):
            if next(calls, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args)

        return called

    os.fsync, os.replace = dying(os.fsync), dying(os.replace)
    save(path, 1.0)


def test_a_kill_at_any_moment_leaves_the_one_or_the_other(tmp_path):
    """The earlier checkpoint of that name; or none, where there was none."""
    path, new = tmp_path / 'c.dcp', tmp_path / 'new.dcp'
    save(path)
    values = []
    for number in range(20):
        for target in (path, new):
            child = multiprocessing.get_context('fork').Process(
                target=die_at, args=(number, target)
            )
            child.start()
            child.join(60)
            tidy(target)
        found = read_checkpoint(path)
        value = float(found['state_dict']['few'][0])
        assert same(found, a_checkpoint(value))
        values.append(value)
        assert len(list(path.iterdir())) == 2 and new.exists() == bool(value)
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert values[0] == 0 and values[-2:] == [1, 1] and sorted(values) == values


def test_what_is_damaged_or_lacks(tmp_path):
    path = tmp_path / 'c.dcp'
    save(path)
    (shard,) = path.glob('shard*')
    content = shard.read_bytes()

    def refusal():
        with pytest.raises(CheckpointError) as error:
            read_checkpoint(path)
        assert str(error.value).startswith(f'{path}') and '\n' not in str(error.value)
        return str(error.value)

    for place in [3, 40, len(content) // 2, len(content) - 1]:
        flipped = bytearray(content)
        flipped[place] ^= 4
        shard.write_bytes(flipped)
        assert 'fails its checksum' in refusal()
    shard.write_bytes(content[:-1])
    assert f'has not {len(content):,} bytes' in refusal()
    shard.unlink()
    assert f'is no complete checkpoint: it has no {shard.name}' in refusal()
    shard.write_bytes(content)
    rest = path / 'checkpoint.safetensors'
    damaged = bytearray(rest.read_bytes())
    damaged[damaged.index(b'classes')] ^= 4
    rest.write_bytes(damaged)
    assert 'is damaged: its header fails its checksum' in refusal()
    rest.unlink()
    assert 'is no complete checkpoint: it has no checkpoint.safetensors' in refusal()


def test_only_what_a_save_left_is_tidied_away(tmp_path):
    save(tmp_path / 'best_c.dcp')
    before = sorted((tmp_path / 'best_c.dcp').iterdir())
    left = ['shard_00000_of_00001_1f.safetensors', 'shard_00000_of_00001_1f.safetensors.tmp']
    for folder in ('best_c.dcp', 'half.dcp', 'other.dcp'):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name in left:
            (tmp_path / folder / name).write_text('half')
    (tmp_path / 'other.dcp/notes.txt').write_text('of the user')
    assert newest_checkpoint(str(tmp_path)) is None
    for folder in tmp_path.iterdir():
        tidy(str(folder))
    assert sorted((tmp_path / 'best_c.dcp').iterdir()) == before
    assert not (tmp_path / 'half.dcp').exists()
    assert [file.name for file in (tmp_path / 'other.dcp').iterdir()] == ['notes.txt']
    remove_folder(str(tmp_path / 'best_c.dcp'))
    assert not (tmp_path / 'best_c.dcp').exists()
