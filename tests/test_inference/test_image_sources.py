"""Images in memory and at addresses as arrays of the model."""

import json
import pickle
import socket
import tempfile
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
import torch
from conftest import run_tool
from PIL import Image

from allinone.errors import DataError
from allinone.inference.sources import MemorySource, UrlSource, as_bgr, is_stream
from allinone.inference.urls import download, is_url
from allinone.io.images import read_image

SHAPE = (6, 8, 3)


@pytest.fixture
def bgr():
    return np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)


def tensor_of(array):
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))


def test_the_order_of_channels_is_told(bgr):
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    alpha = np.full((6, 8, 1), 7, np.uint8)
    for image, channels in [
        (bgr, 'bgr'),
        (rgb, 'rgb'),
        (bgr[..., ::-1], 'rgb'),  # a view with a negative stride
        (rgb[..., ::-1], 'bgr'),
        (np.concatenate([bgr, alpha], 2), 'bgr'),
        (np.concatenate([rgb, alpha], 2), 'rgb'),
        (tensor_of(bgr), 'bgr'),
        (tensor_of(rgb), 'rgb'),
        (tensor_of(np.concatenate([rgb, alpha], 2)), 'rgb'),
        (tensor_of(rgb).float() / 255, 'rgb'),
        (tensor_of(rgb).double() / 255, 'rgb'),
        (tensor_of(rgb).half() / 255, 'rgb'),
        ((tensor_of(rgb) / 255).requires_grad_(), 'rgb'),
        # Images of Pillow know their order.
        (Image.fromarray(rgb), 'bgr'),
        (Image.fromarray(rgb), 'rgb'),
        (Image.fromarray(np.concatenate([rgb, alpha], 2)), 'bgr'),
    ]:
        found = as_bgr(image, channels, 'x')
        assert found.dtype == np.uint8 and np.array_equal(found, bgr)


def test_grey_images_have_equal_channels(bgr):
    grey = bgr[..., 0]
    for image in (
        *(
            grey,
            grey[..., None],
            torch.from_numpy(grey.copy()),
            torch.from_numpy(grey.copy())[None],
        ),
        *(Image.fromarray(grey), Image.fromarray(grey).convert('LA')),
        # The upper 8 of 16 bits, as of a file
        Image.fromarray(grey.astype(np.uint16) * 256 + 200),
    ):
        found = as_bgr(image, 'rgb', 'x')
        assert found.shape == SHAPE and all(np.array_equal(found[..., i], grey) for i in range(3))


def test_an_image_of_pillow_is_that_of_its_file(bgr, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    palette = Image.fromarray(bgr[..., ::-1]).quantize(8)
    for name, image, options in (
        ('turned.png', Image.fromarray(bgr[..., ::-1]), dict(exif=exif)),
        ('palette.png', palette, {}),
        ('clear.png', palette, dict(transparency=0)),
        ('deep.png', Image.fromarray(bgr[..., 0].astype(np.uint16) * 257), {}),
        ('bits.png', Image.fromarray(bgr[..., 0] > 99), {}),
    ):
        path = tmp_path / name
        image.save(path, **options)
        with Image.open(path) as opened:
            assert np.array_equal(as_bgr(opened, 'bgr', 'x'), read_image(path)), name


@pytest.mark.parametrize(
    'image, sentence',
    [
        (np.zeros(SHAPE), r'^x is float64 of shape \(6, 8, 3\); give a uint8 array \(H, W, C\)'),
        (np.zeros((3, 6, 8), np.uint8), r'^x is uint8 of shape \(3, 6, 8\); give a uint8 array'),
        (np.zeros((0, 8, 3), np.uint8), r'^x is uint8 of shape \(0, 8, 3\)'),
        (torch.zeros(6, 8, 3, dtype=torch.uint8), r'^x is torch.uint8 of shape .* a tensor \(C, H'),
        (torch.zeros(3, 6, 8, dtype=torch.int64), '^x is torch.int64 of shape'),
        (
            torch.full((3, 6, 8), 255.0),
            '^x is a tensor of floats from 255 to 255; give floats from',
        ),
        (torch.full((3, 6, 8), torch.nan), '^x is a tensor of floats from nan'),
        (Image.new('F', (8, 6)), "^x is an image of Pillow of mode 'F', whose range"),
        (Image.new('1', (50_000, 1000)), '^x is too large: 50000 x 1000 pixels'),
        ({'image': 1}, '^x is dict; give a path, an address, an image of Pillow'),
        (b'image', '^x is bytes; give'),
    ],
)
def test_what_is_no_image_is_refused(image, sentence):
    with pytest.raises(DataError, match=sentence):
        as_bgr(image, 'bgr', 'x')
    assert not is_stream(image)


def test_a_reused_buffer_is_copied(bgr):
    buffer = bgr.copy()
    kept, reused = MemorySource(buffer, 'bgr', 'x'), MemorySource(buffer, 'bgr', 'x', reused=True)
    assert kept.read() is buffer
    assert np.array_equal(reused.read(), bgr)
    buffer[:] = 0
    assert np.array_equal(reused.read(), bgr) and not kept.read().any()


class Server(BaseHTTPRequestHandler):
    content = b''
    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        if self.path == '/moved':
            self.send_response(302)
            self.send_header('Location', '/image.png')
        elif self.path == '/away':
            self.send_response(302)
            self.send_header('Location', 'ftp://127.0.0.1/image.png')
        else:
            self.send_response(404 if self.path == '/gone.png' else 200)
        self.end_headers()
        if self.path == '/slow':
            for _ in range(40):
                time.sleep(0.05)
                try:
                    self.wfile.write(b'x')
                except OSError:
                    return
        elif self.path in ('/image.png', '/cut.png', '/text'):
            parts = {'/image.png': self.content, '/cut.png': self.content[:-30]}
            self.wfile.write(parts.get(self.path, b'text'))

    def log_message(self, *args):
        pass


@pytest.fixture
def address(bgr, monkeypatch):
    """Of a server on this machine; nothing else is requested."""
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(Server, 'content', cv2.imencode('.png', bgr)[1].tobytes())
    monkeypatch.setattr(Server, 'asked', [])
    server = ThreadingHTTPServer(('127.0.0.1', 0), Server)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_image_at_an_address_is_fetched_once(address, bgr):
    source = UrlSource(f'{address}/image.png', True)
    assert source.path == source.name == f'{address}/image.png'
    assert np.array_equal(source.read(), bgr) and np.array_equal(source.read(), bgr)
    assert Server.asked == ['/image.png']
    assert np.array_equal(UrlSource(f'{address}/moved', True).read(), bgr)


def test_what_is_fetched_lies_in_a_file_as_long_as_its_source(address, bgr, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    source = UrlSource(f'{address}/image.png', True)
    source.read()
    (file,) = tmp_path.iterdir()
    assert file.read_bytes() == Server.content
    assert not any(isinstance(value, bytes) for value in vars(source).values())
    other = pickle.loads(pickle.dumps(source))
    del source
    assert not file.exists() and len(list(tmp_path.iterdir())) == 1
    assert np.array_equal(other.read(), bgr) and Server.asked == ['/image.png']
    del other
    assert not list(tmp_path.iterdir())


def test_the_tool_fetches_addresses(address, bgr, trained, tmp_path, capsys):
    image, other = tmp_path / 'b.png', f'{address}/image.png'
    cv2.imwrite(str(image), bgr)
    out = tmp_path / 'out'
    entries = [other, f'{address}/gone.png', f'{address}/gone.mp4', image]
    assert run_tool('infer', trained[2] / 'iter_4.pth', *entries, '--out-dir', out) == 1
    error = capsys.readouterr().err
    assert f'error: {address}/gone.png cannot be fetched: 404 Not Found' in error
    assert f'error: {address}/gone.mp4' in error and 'Traceback' not in error
    fetched, local = map(json.loads, (out / 'predictions.jsonl').read_text().splitlines())
    assert (fetched.pop('input'), fetched.pop('name')) == (other, 'image')
    assert (local.pop('input'), local.pop('name')) == (str(image), 'b')
    assert fetched == local and (out / 'vis/image.jpg').exists()


def test_the_tool_fetches_none_where_it_is_forbidden(address, trained, tmp_path, capsys):
    args = f'{address}/image.png', '--no-urls', '--out-dir', tmp_path / 'out'
    assert run_tool('infer', trained[2] / 'iter_4.pth', *args) == 1
    assert 'is an address, and --no-urls forbids to fetch any; give a file' in (
        capsys.readouterr().err
    )
    assert not Server.asked


@pytest.mark.parametrize(
    'path, sentence',
    [
        ('gone.png', '/gone.png cannot be fetched: 404 Not Found; check the address'),
        ('away', '/away redirects to ftp://127.0.0.1/image.png, which is not fetched'),
        ('cut.png', '/cut.png is truncated'),
        ('text', '/text is not a readable image'),
    ],
)
def test_an_address_without_an_image_is_named(address, path, sentence):
    with pytest.raises(DataError, match=f'^{address}{sentence}'):
        UrlSource(f'{address}/{path}', True).read()


def test_downloads_have_limits(address):
    with pytest.raises(DataError, match=r'/image.png is larger than 50 bytes; download it'):
        download(f'{address}/image.png', max_bytes=50)
    begin = time.monotonic()
    # No single byte comes late.
    with pytest.raises(DataError, match='/slow did not arrive within 0.2 seconds; try again'):
        download(f'{address}/slow', timeout=0.2)
    assert time.monotonic() - begin < 1.5
    with closing(socket.socket()) as free:
        free.bind(('127.0.0.1', 0))
        closed = f'http://127.0.0.1:{free.getsockname()[1]}/a.png'
        with pytest.raises(DataError, match='/a.png cannot be fetched: .*refused; check'):
            download(closed)


def test_a_service_fetches_nothing(address):
    with pytest.raises(DataError, match='is an address, and urls=False forbids to fetch any'):
        UrlSource(f'{address}/image.png', False).read()
    assert Server.asked == []


def test_only_addresses_of_the_web_are_fetched():
    assert is_url('http://a/b.jpg') and is_url('HTTPS://a/b.jpg')
    assert not any(map(is_url, ('file:///etc/passwd', 'ftp://a/b', 'http:/a', 'a.jpg', 3, None)))
