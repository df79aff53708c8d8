import os
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import nn

from allinone.checkpoint import library_loads
from allinone.checkpoint.loading import load_weights, read_checkpoint, trusting_checkpoints
from allinone.errors import CheckpointError
from allinone.training.signals import Stopped


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def evil(tmp_path):
    """A checkpoint whose pickle makes the folder ``made`` beside it."""
    content = dict(state_dict=dict(weight=torch.zeros(1)), extra=Evil(str(tmp_path / 'made')))
    torch.save(content, tmp_path / 'evil.pth')
    yield tmp_path / 'evil.pth'
    assert not (tmp_path / 'made').exists()


REFUSED = r'evil\.pth is refused.*mkdir'


def test_code_in_a_checkpoint_is_not_run(evil):
    with pytest.raises(CheckpointError, match=REFUSED):
        read_checkpoint(evil)


@pytest.mark.parametrize('load', [CheckpointLoader.load_checkpoint, partial(load_checkpoint, None)])
def test_nor_by_the_libraries_own_loader(load, evil):
    with pytest.raises(CheckpointError, match=REFUSED):
        load(str(evil))
    with pytest.raises(CheckpointError, match='is refused.*mkdir'), evil.open('rb') as file:
        mmengine_checkpoint._safe_torch_load(file)  # So a file of an object store is read.


def test_nor_from_a_url(evil, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(evil.parent / 'cache'))
    torch.save(dict(weight=torch.ones(2)), evil.parent / 'good.pth')
    handler = partial(SimpleHTTPRequestHandler, directory=str(evil.parent))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_address[1]}'
        with pytest.raises(CheckpointError, match=REFUSED):
            CheckpointLoader.load_checkpoint(f'{url}/evil.pth')
        found = CheckpointLoader.load_checkpoint(f'{url}/good.pth')
        server.shutdown()
    assert found['weight'].tolist() == [1, 1]


PARTS = {
    'mmengine': dict(
        type='mmdet.FPN',
        in_channels=[4, 4],
        out_channels=4,
        num_outs=2,
        init_cfg=dict(type='Pretrained', checkpoint=...),
    ),
    'mmseg': dict(
        type='CLIPTextEncoder',
        _scope_='mmseg',
        dataset_name='pascal_context',
        embed_dims=8,
        num_heads=1,
        num_layers=1,
        output_dims=8,
        init_cfg=dict(type='Pretrained_Part', checkpoint=...),
    ),
}


@pytest.mark.parametrize('part', PARTS)
def test_nor_of_a_part_that_loads_itself(part, evil):
    cfg = dict(PARTS[part], init_cfg=dict(PARTS[part]['init_cfg'], checkpoint=str(evil)))
    module = nn.Sequential()  # As a task of the joint model is one of several
    module.part = MODELS.build(cfg)
    with pytest.raises(CheckpointError, match=REFUSED):
        module.part.init_weights()


def test_a_trusted_file_is_read_by_them_too(evil):
    with trusting_checkpoints():
        assert 'state_dict' in CheckpointLoader.load_checkpoint(str(evil))
    (evil.parent / 'made').rmdir()


@pytest.mark.parametrize('name', ['_safe_torch_load', 'load_url'])
def test_an_mmengine_that_loads_in_another_way_is_refused(name, monkeypatch):
    """Its checkpoints would be unpickled unsafely, in silence."""
    monkeypatch.delattr(mmengine_checkpoint, name)
    with pytest.raises(ImportError, match=f'has no {name} to replace'):
        library_loads.install()


def test_mmengines_own_log_types_are_read(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(dict(message_hub=dict(log_scalars={'train/loss': buffer})), tmp_path / 'ok.pth')
    found = read_checkpoint(tmp_path / 'ok.pth')['message_hub']['log_scalars']['train/loss']
    assert found.data[0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'PK\x03\x04' + b'0' * 50])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / 'bad.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match=r'bad\.pth'):
        read_checkpoint(tmp_path / 'bad.pth')


# Each starts another instruction of a pickle, here without what it works on.
@pytest.mark.parametrize('first', 'Resctiu}(0GXI.q')
@pytest.mark.parametrize('trust', [False, True])
def test_garbage_is_one_sentence_whatever_it_starts_with(tmp_path, first, trust):
    (tmp_path / 'bad.pth').write_text(f'{first} some words, but no checkpoint\n')
    with pytest.raises(CheckpointError, match=r'bad\.pth is damaged'), trusting_checkpoints(trust):
        read_checkpoint(tmp_path / 'bad.pth')


@pytest.mark.parametrize(
    'start',
    [b'N' + pickle.LONG_BINPUT, pickle.BINUNICODE8, pickle.BINBYTES8, pickle.BYTEARRAY8],
)
def test_garbage_takes_no_memory(tmp_path, monkeypatch, start):
    """The letters are an index of the memo, which then has room for as many, or a length."""
    (tmp_path / 'bad.pth').write_bytes(start + b'letters, but no pickle')
    monkeypatch.setattr(torch, 'load', None)  # It is not reached.
    with pytest.raises(CheckpointError, match='it holds no pickle'), trusting_checkpoints():
        read_checkpoint(tmp_path / 'bad.pth')


@pytest.mark.parametrize('text', ['cno_such_package\nThing\n.', 'ccollections\nNoSuchThing\n.'])
def test_a_trusted_file_of_code_that_is_not_here(tmp_path, text):
    (tmp_path / 'other.pth').write_text(text)
    with pytest.raises(CheckpointError, match=r'(?i)other\.pth .* not here \(.*no_?such'):
        with trusting_checkpoints():
            read_checkpoint(tmp_path / 'other.pth')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match='no such checkpoint'):
        read_checkpoint(tmp_path / 'none.pth')


def test_what_fits_is_loaded_and_the_rest_left(tmp_path):
    torch.save(
        {
            'module.0.weight': torch.ones(2, 3),
            'module.0.bias': torch.ones(5),
            'module.9.bias': torch.ones(1),
        },
        tmp_path / 'some.pth',
    )
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    bias = model[0].bias.detach().clone()
    load_weights(model, tmp_path / 'some.pth')
    assert (model[0].weight == 1).all()
    assert torch.equal(model[0].bias, bias)  # of another shape in the file


def test_a_prefix_selects(tmp_path):
    torch.save(
        {'backbone.weight': torch.ones(1, 1), 'weight': torch.zeros(1, 1)}, tmp_path / 'p.pth'
    )
    model = nn.Linear(1, 1)
    load_weights(model, tmp_path / 'p.pth', prefix='backbone')
    assert model.weight.item() == 1
    with pytest.raises(CheckpointError, match="below 'neck'"):
        load_weights(model, tmp_path / 'p.pth', prefix='neck')


@pytest.mark.parametrize('error', [Stopped(15, 'stopped'), MemoryError()])
def test_what_is_not_the_files_fault_is_not_blamed_on_it(error, tmp_path, monkeypatch):
    """Or going on would pass over the newest checkpoint, and a stop would end as an error."""

    def load(*args, **kwargs):
        raise error

    torch.save({}, tmp_path / 'good.pth')
    monkeypatch.setattr(torch, 'load', load)
    with pytest.raises(type(error)):
        read_checkpoint(tmp_path / 'good.pth')
