"""Files by URL: from a server on this machine that may fail, and from fsspec's memory."""

import re
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pytest
import torch
from conftest import classification, tiny
from mmengine.fileio import (
    exists,
    get,
    get_file_backend,
    get_local_path,
    get_text,
    isdir,
    list_dir_or_file,
)
from mmengine.registry import METRICS, DefaultScope
from torch.utils.data import Dataset

from allinone.data.loaders import training_batches
from allinone.data.seeded import SeededDataset
from allinone.data.storage import remote
from allinone.errors import DataError
from allinone.registry import RUNNERS


class Failing(SimpleHTTPRequestHandler):
    """Answers each of the next ``failures`` questions with what they say."""

    protocol_version = 'HTTP/1.1'  # Keeps connections, as servers do
    failures: list = []

    def do_GET(self):
        failure = self.failures.pop(0) if self.failures else None
        if failure == 'cut off':
            self.send_response(200)
            self.send_header('Content-Length', '100')
            self.end_headers()
            self.wfile.write(b'half')
            self.close_connection = True
        elif failure:
            self.send_error(failure)
        else:
            super().do_GET()

    def log_message(self, *args):
        return


@pytest.fixture
def url(toy_root, monkeypatch):
    """Of a server of the toy data."""
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(Failing, 'failures', [])
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Failing, directory=str(toy_root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def waits(monkeypatch):
    slept = []
    monkeypatch.setattr('time.sleep', slept.append)
    return slept


def test_as_of_a_folder(url, toy_root):
    name = 'toy/det/train.json'
    content = (toy_root / name).read_text()
    assert get(f'{url}/{name}').decode() == get_text(f'{url}/{name}') == content
    with get_local_path(f'{url}/{name}') as path:
        assert path.endswith('.json') and open(path).read() == content
    for options in (
        dict(),
        dict(list_file=False),
        dict(list_dir=False, suffix='.png', recursive=True),
    ):
        expected = sorted(list_dir_or_file(str(toy_root / 'toy/seg'), **options))
        assert list(list_dir_or_file(f'{url}/toy/seg', **options)) == expected
    assert exists(f'{url}/{name}') and not exists(f'{url}/toy/no.json')
    assert isdir(f'{url}/toy') and not isdir(f'{url}/{name}')


def test_a_server_that_fails_is_asked_again(url, toy_root, waits):
    name = f'{url}/toy/cls/train.txt'
    content = (toy_root / 'toy/cls/train.txt').read_bytes()
    Failing.failures[:] = [503, 'cut off', 429]
    assert get(name) == content
    assert waits == [1, 2, 4]
    waits.clear()
    Failing.failures[:] = [500] * 5
    with pytest.raises(DataError) as error:
        get(name)
    assert str(error.value).startswith(f'{name} cannot be read: ClientResponseError 500')
    assert 'asked 5 times' in str(error.value) and '\n' not in str(error.value)
    assert waits == [1, 2, 4, 8]


@pytest.mark.parametrize('status', [404, 403])
def test_what_waiting_does_not_mend(url, waits, status):
    Failing.failures[:] = [status]
    with pytest.raises(DataError, match=f'^{url}/no.jpg cannot be read'):
        get(f'{url}/no.jpg')
    assert not waits


class Images(Dataset):
    def __init__(self, folder):
        self.folder = folder

    def __len__(self):
        return 3

    def get_data_info(self, index):
        return dict(img_path=f'{self.folder}/{index}.jpg')

    def __getitem__(self, index):
        return get(self.get_data_info(index)['img_path'])


def test_a_data_set_does_not_ask_all_over_again(waits):
    with pytest.raises(DataError, match='^task cls: http://127.0.0.1:9/2.jpg cannot be read: Cl'):
        SeededDataset(Images('http://127.0.0.1:9'), 'cls', 0)[2]
    assert waits == [1, 2, 4, 8]


def test_the_same_batches_and_metric_of_all_tasks(url, toy_root, tmp_path, monkeypatch):
    plain = training_batches(tiny(tmp_path / 'plain'), ('cls', 'det', 'seg'))
    plain = [next(plain) for _ in range(2)]
    monkeypatch.setenv('ALLINONE_DATA', url)
    cfg = tiny(tmp_path / 'remote')
    for step, found in zip(plain, training_batches(cfg, ('cls', 'det', 'seg'))):
        for task, batch in found.items():
            for own, other in zip(batch['inputs'], step[task]['inputs']):
                assert torch.equal(own, other)
    assert cfg.val_evaluator.det.ann_file.startswith(url)
    with DefaultScope.overwrite_default_scope('mmdet'):
        metric = METRICS.build(cfg.val_evaluator.det)
    assert len(metric._coco_api.imgs) > 0


def test_a_training_with_workers(url, toy_root, tmp_path, monkeypatch):
    states = []
    for root in (str(toy_root), url):
        monkeypatch.setenv('ALLINONE_DATA', root)
        cfg = classification(tmp_path / str(len(states)), **{'train_cfg.max_iters': 2})
        cfg.train_dataloader.cls.num_workers = 2
        Failing.failures[:] = [503] if states else []  # The annotations, for one second
        runner = RUNNERS.build(cfg)
        runner.train()
        assert not Failing.failures
        states.append(runner.model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_other_schemes():
    memory = fsspec.filesystem('memory')
    memory.pipe({'/bucket/a/b.txt': b'b', '/bucket/a/c/d.txt': b'd'})
    args = dict(backend='fsspec')
    assert get('memory://bucket/a/b.txt', backend_args=args) == b'b'
    names = list_dir_or_file('memory://bucket', recursive=True, backend_args=args)
    assert list(names) == ['a', 'a/b.txt', 'a/c', 'a/c/d.txt']
    with pytest.raises(DataError, match='^memory://bucket/no cannot be read: FileNotFoundError'):
        get('memory://bucket/no', backend_args=args)
    with pytest.raises(DataError, match='^memmory://a/b cannot be read: .*; check the address$'):
        get('memmory://a/b', backend_args=args)
    for prefix in ('http', 'https', 's3'):
        assert type(get_file_backend(f'{prefix}://x/y')) is remote.RemoteBackend


@pytest.mark.parametrize(
    'url, package, needed',
    [('https://x/y', 'aiohttp', 'fsspec aiohttp'), ('s3://x/y', 's3fs', 'fsspec s3fs')],
)
def test_without_the_packages(monkeypatch, url, package, needed):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(remote, '_file_systems', {})
    with pytest.raises(DataError, match=f'^{re.escape(url)} is read by .* pip install {needed}$'):
        get(url)
