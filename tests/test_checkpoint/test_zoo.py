"""Checkpoints by URL and by name: what is downloaded, from where, and what is said without."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch import nn

from allinone.checkpoint import zoo
from allinone.checkpoint.loading import load_weights
from allinone.checkpoint.zoo import local_checkpoint
from allinone.errors import CheckpointError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    return tmp_path / 'torch/hub/checkpoints'


@pytest.fixture
def served(tmp_path):
    """A folder and its URL on loopback, with the paths that were requested."""
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            super().do_GET()

    folder = tmp_path / 'served'
    folder.mkdir()
    with serving(partial(Handler, directory=str(folder))) as url:
        yield folder, url, requests


class serving:
    def __init__(self, handler):
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f'http://127.0.0.1:{self.server.server_address[1]}'

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


def test_a_url_is_downloaded_once(served, cache):
    folder, url, requests = served
    torch.save(dict(weight=torch.tensor([[2.0]])), folder / 'line-0a1b.pth')
    layer = nn.Linear(1, 1, bias=False)
    for _ in range(2):
        nn.init.zeros_(layer.weight)
        load_weights(layer, f'{url}/line-0a1b.pth')
        assert layer.weight.item() == 2
    assert requests == ['/line-0a1b.pth']
    assert os.listdir(cache) == ['line-0a1b.pth']


def test_several_that_want_a_file_download_it_once(served, cache):
    folder, url, requests = served
    (folder / 'big.pth').write_bytes(bytes(1 << 22))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(local_checkpoint, [f'{url}/big.pth'] * 4, ['load_from'] * 4))
    assert set(found) == {str(cache / 'big.pth')} and requests == ['/big.pth']
    assert (cache / 'big.pth').stat().st_size == 1 << 22


def test_a_name_of_the_zoo_is_its_url(served, cache, monkeypatch):
    folder, url, requests = served
    official = zoo.zoo_url('rtmdet_tiny_8xb32-300e_coco', 'load_from')
    name = 'rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth'
    assert official.startswith('https://') and official.endswith(f'/{name}')
    torch.save(dict(weight=torch.ones(1)), folder / name)
    fetch = zoo._fetch
    monkeypatch.setattr(zoo, '_fetch', lambda address, path: fetch(f'{url}/{name}', path))
    for spelt in ('rtmdet-t', 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'):
        assert local_checkpoint(spelt, 'load_from') == str(cache / name)
    assert requests == [f'/{name}']


def test_paths_are_taken_as_they_are(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'rtmdet-t').write_bytes(b'')
    for path in ('rtmdet-t', 'no/such/file', 'no_such.pth', str(tmp_path / 'x.dcp')):
        assert local_checkpoint(path, 'load_from') == path
    assert not cache.exists()


def test_without_a_network_the_place_for_the_file_is_named(cache):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))  # Nobody listens there.
        url = f'http://127.0.0.1:{taken.getsockname()[1]}/a/net-1.pth'
        with pytest.raises(CheckpointError) as error:
            local_checkpoint(url, 'load_from.det')
    text = str(error.value)
    assert text.startswith(f'load_from.det: {url} cannot be downloaded (') and 'refused' in text
    assert text.endswith(f'put it at {cache / "net-1.pth"}')
    cache.mkdir(parents=True, exist_ok=True)
    (cache / 'net-1.pth').write_bytes(b'')
    assert local_checkpoint(url, 'load_from.det') == str(cache / 'net-1.pth')


class CutOff(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '1000')
        self.end_headers()
        self.wfile.write(b'x' * 10)


class Missing(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)


@pytest.mark.parametrize('handler, says', [(CutOff, '10 of 1000 bytes'), (Missing, 'Not Found')])
def test_a_failed_download_leaves_nothing(cache, handler, says):
    with serving(handler) as url, pytest.raises(CheckpointError, match=says):
        local_checkpoint(f'{url}/net.pth', 'load_from')
    assert os.listdir(cache) == []


@pytest.mark.parametrize(
    'name, says',
    [
        (
            'rtmdet_tny_8xb32',
            r"is 'rtmdet_tny_8xb32': .* do you mean 'rtmdet_tiny_8xb32-300e_coco'",
        ),
        ('yolo::rtmdet-t', "'yolo' is no library of models"),
        ('mmseg::rtmdet/rtmdet_tiny_8xb32-300e_coco', 'mmseg lists no model of this name'),
        ('xcit-nano-12-p16_8xb128_in1k', 'list 2 files of weights; give one of https://'),
        ('torchvision://resnet5', "do you mean 'torchvision://resnet50'"),
    ],
)
def test_a_name_that_is_none(name, says, cache):
    with pytest.raises(CheckpointError, match=says) as error:
        local_checkpoint(name, 'load_from.det')
    assert str(error.value).startswith('load_from.det is ')
    assert not cache.exists()


def test_names_of_mmengines_tables():
    url = zoo._listed('torchvision://resnet50', 'torchvision://', 'k')
    assert url.startswith('https://') and url.endswith('.pth')
    assert zoo._listed('open-mmlab://resnet50_caffe', 'open-mmlab://', 'k').endswith('.pth')
