"""Checkpoints on the disk: whole or not at all, in both formats, at once or in a thread."""

import errno
import json
import multiprocessing
import os
import signal
import threading

import numpy as np
import pytest
import torch
from conftest import files_of_at_most
from mmengine.logging import HistoryBuffer

from allinone.checkpoint.formats import DTYPES, files_of
from allinone.checkpoint.loading import read_checkpoint, trusting_checkpoints
from allinone.checkpoint.writer import CheckpointWriter, SaveError
from allinone.errors import CheckpointError
from allinone.io.atomic import write_durably

FORMATS = ['pth', 'safetensors']


def a_checkpoint(value=1.0):
    weight = torch.full((40, 50), value)
    return dict(
        meta=dict(iter=4, classes=('a', 'b'), rates=[0.1, float('inf')], none=None, yes=True),
        state_dict={'0.weight': weight, '0.tied': weight, '0.count': torch.tensor(7)},
        optimizer=dict(state={0: dict(step=torch.tensor(4.0), half=weight.bfloat16().t())}),
        message_hub=dict(
            log_scalars={'train/loss': HistoryBuffer([1.0, 2.5], [1, 1])},
            best=np.float64(0.25),
            counts=np.arange(3),
        ),
    )


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, HistoryBuffer):
        return all(same(a, b) for a, b in zip(one.data, other.data))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def save(checkpoint, path):
    CheckpointWriter().write(checkpoint, str(path))


@pytest.mark.parametrize('suffix', FORMATS)
def test_what_is_saved_is_read_exactly(tmp_path, suffix):
    save(a_checkpoint(), tmp_path / f'c.{suffix}')
    assert same(read_checkpoint(tmp_path / f'c.{suffix}'), a_checkpoint())
    assert not list(tmp_path.glob('*.tmp'))


def test_safetensors_files_are_plain_to_others(tmp_path):
    from safetensors.torch import load_file, save_file

    save(a_checkpoint(), tmp_path / 'c.safetensors')
    assert torch.equal(load_file(tmp_path / 'c.safetensors')['0.weight'], torch.ones(40, 50))
    assert json.loads((tmp_path / 'c.json').read_text())['meta']['iter'] == 4
    save_file({'0.weight': torch.zeros(2)}, tmp_path / 'foreign.safetensors')
    assert read_checkpoint(tmp_path / 'foreign.safetensors').keys() == {'0.weight'}


def every_type():
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for dtype in DTYPES:
        for shape in ((), (0,), (3, 5), (2, 0, 4), (7,)):
            size = torch.empty(shape, dtype=dtype).nbytes
            numbers = torch.randint(0, 2, (size,), generator=generator, dtype=torch.uint8)
            tensors[f'{dtype}{shape}'] = numbers.view(dtype).reshape(shape)
    tensors['not contiguous'] = torch.arange(12.0).reshape(3, 4).t()
    return dict(tensors, **{'a part': torch.arange(12.0)[5:]})


def raw(tensor):
    return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8).tolist()


def test_other_programs_read_every_type_to_the_last_byte(tmp_path):
    from safetensors.torch import load, load_file

    tensors = every_type()
    expected = {name: raw(tensor) for name, tensor in tensors.items()}
    for suffix in FORMATS:
        save(dict(state_dict=tensors), tmp_path / f'c.{suffix}')
    found = torch.load(tmp_path / 'c.pth', weights_only=True)['state_dict']
    assert {name: raw(tensor) for name, tensor in found.items()} == expected
    for found in (
        load_file(tmp_path / 'c.safetensors'),
        load((tmp_path / 'c.safetensors').read_bytes()),
    ):
        assert {name: raw(tensor) for name, tensor in found.items()} == expected


class Pieces(list):
    """A file that remembers how long each piece was that it was given."""

    def write(self, data):
        self.append(memoryview(data).nbytes)
        return self[-1]

    def flush(self):
        pass


@pytest.mark.parametrize('suffix', FORMATS)
def test_tensors_are_written_one_by_one(suffix):
    """So the thread that saves holds the interpreter lock for none of them."""
    state = {str(number): torch.full((100, 250), number) for number in range(20)}
    pieces = Pieces()
    files_of(dict(state_dict=state), f'c.{suffix}')[f'c.{suffix}'](pieces)
    assert pieces.count(100 * 250 * 8) == 20
    assert sum(pieces) - 20 * 100 * 250 * 8 < 20_000


def test_safetensors_refuses_what_it_cannot_hold():
    with pytest.raises(CheckpointError, match='meta/odd is of type builtins.set.*pth'):
        files_of(dict(meta=dict(odd={1, 2})), 'c.safetensors')
    with pytest.raises(CheckpointError, match='weights/w is of type torch.complex64.*pth'):
        files_of(dict(weights=dict(w=torch.ones(2, dtype=torch.complex64))), 'c.safetensors')


@pytest.mark.parametrize('suffix', FORMATS)
def test_a_flipped_bit_is_noticed_or_harmless(tmp_path, suffix):
    """PyTorch's zip has gaps between its parts; everywhere else a flip is noticed."""
    path = tmp_path / f'c.{suffix}'
    save(a_checkpoint(), path)
    content = path.read_bytes()
    data = content.index(torch.ones(50).numpy().tobytes())
    noticed = 0
    for place in [data + 1, *range(3, len(content), len(content) // 80)]:
        flipped = bytearray(content)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        try:
            assert same(read_checkpoint(path), a_checkpoint()), place
        except CheckpointError as error:
            assert str(error).startswith(f'{path} is ') and '\n' not in str(error)
            noticed += 1
        assert noticed or place != data + 1
    assert noticed > 40


@pytest.mark.parametrize('suffix', FORMATS)
@pytest.mark.parametrize('length', [0, 7, 0.5, 0.99])
def test_a_truncated_file_is_noticed(tmp_path, suffix, length):
    path = tmp_path / f'c.{suffix}'
    save(a_checkpoint(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(length * len(content)) if length < 1 else length])
    with pytest.raises(CheckpointError, match=rf'^{path} is ') as error:
        read_checkpoint(path)
    assert '\n' not in str(error.value)


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


def test_only_trusted_files_run_code(tmp_path):
    target = tmp_path / 'made'
    torch.save(dict(extra=Touch(str(target))), tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match='is refused: it holds .*open.*--trust-checkpoint'):
        read_checkpoint(tmp_path / 'evil.pth')
    assert not target.exists()
    with trusting_checkpoints():
        read_checkpoint(tmp_path / 'evil.pth')
    assert target.exists()
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / 'evil.pth')


@pytest.mark.parametrize('suffix', FORMATS)
def test_a_full_disk_leaves_the_earlier_file(tmp_path, suffix, caplog):
    path = tmp_path / f'c.{suffix}'
    save(a_checkpoint(1.0), path)
    with files_of_at_most(5000), pytest.raises(SaveError) as error:
        save(a_checkpoint(2.0), path)
    save(a_checkpoint(2.0), tmp_path / f'whole.{suffix}')
    needed = (tmp_path / f'whole.{suffix}').stat().st_size
    assert str(error.value).startswith(f'{path} cannot be written: File too large; it needs ')
    assert f'{needed:,} bytes' in str(error.value) and 'are free' in str(error.value)
    assert same(read_checkpoint(path), a_checkpoint(1.0))
    assert not list(tmp_path.glob('*.tmp'))


def die_at(call, path):
    setattr(os, call, lambda *args: os.kill(os.getpid(), signal.SIGKILL))
    save(a_checkpoint(2.0), path)


@pytest.mark.parametrize('suffix', FORMATS)
@pytest.mark.parametrize('call', ['fsync', 'replace'])
def test_a_kill_during_a_save_leaves_the_earlier_file(tmp_path, suffix, call):
    path = tmp_path / f'c.{suffix}'
    save(a_checkpoint(1.0), path)
    child = multiprocessing.get_context('fork').Process(target=die_at, args=(call, path))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert (tmp_path / f'c.{suffix}.tmp').exists()
    assert same(read_checkpoint(path), a_checkpoint(1.0))


def test_the_order_of_writing(tmp_path, monkeypatch):
    """The content is on the disk before the name, and the name before anything goes on."""
    calls = []
    monkeypatch.setattr(os, 'fsync', lambda file: calls.append('fsync'))
    replace = os.replace
    monkeypatch.setattr(os, 'replace', lambda *paths: (calls.append('replace'), replace(*paths)))
    write_durably(tmp_path / 'file', b'content')
    assert calls == ['fsync', 'replace', 'fsync']


def test_failures_in_a_row_end_the_run(tmp_path, monkeypatch):
    failed, done = [], []
    writer = CheckpointWriter(max_failures=2, failed=failed.append, done=done.append)
    path = str(tmp_path / 'c.pth')

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    for _ in range(2):  # A success in between starts the count anew.
        with monkeypatch.context() as patch, pytest.raises(SaveError, match='No space left'):
            patch.setattr(os, 'fsync', full)
            writer.write(a_checkpoint(), path)
        writer.write(a_checkpoint(), path)
    assert failed == done == [path] * 2
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(SaveError):
        writer.write(a_checkpoint(), path)
    with pytest.raises(CheckpointError, match='2 saves in a row failed, so the run stops') as error:
        writer.write(a_checkpoint(), path)
    assert not isinstance(error.value, SaveError)


def test_the_background_thread_is_waited_for_and_its_failure_told(tmp_path, monkeypatch):
    hold, began = threading.Event(), threading.Event()

    def slow(path, content):
        began.set()
        assert hold.wait(60)
        write_durably(path, content)

    monkeypatch.setattr('allinone.checkpoint.writer.write_durably', slow)
    writer = CheckpointWriter(background=True)
    first, second = (str(tmp_path / f'{i}.pth') for i in range(2))
    writer.write(a_checkpoint(), first)  # Returns while the thread is held.
    assert began.wait(60) and not os.path.exists(first)
    threading.Timer(0.2, hold.set).start()
    writer.write(a_checkpoint(), second)
    assert os.path.exists(first)
    writer.wait()
    assert os.path.exists(second)
    with files_of_at_most(5000):
        writer.write(a_checkpoint(), first)
        with pytest.raises(SaveError, match='File too large'):
            writer.wait()
    assert writer.failures == 1


def test_any_failure_takes_the_half_written_file_away(tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'earlier')

    def fails(file):
        file.write(b'half')
        raise ValueError('cannot be pickled')

    with pytest.raises(ValueError, match='cannot be pickled'):
        write_durably(tmp_path / 'a.pth', fails)
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']
    assert (tmp_path / 'a.pth').read_bytes() == b'earlier'
