"""The programs of examples/export, with the packages that they name and no others."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from exported_models import (
    SIZE,
    as_input,
    predictions,
    shaken,
    small,
    some_images,
    write_checkpoint,
)
from packaging.requirements import Requirement
from PIL import Image

from allinone.io.exported import read_metadata
from allinone.reuse.export import export

EXAMPLES = ROOT / 'examples/export'


def link_packages(folder: Path, *names: str) -> Path:
    """Links to installed packages and to all that they need: what pip would install."""
    folder.mkdir()
    wanted, seen = list(names), set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        package = metadata.distribution(name)
        for file in package.files or ():
            place = folder / file.parts[0]
            if file.parts[0] != '..' and not os.path.lexists(place):
                place.symlink_to(package.locate_file(file.parts[0]))
        for line in package.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate(dict(extra='')):
                wanted.append(needed.name)
    return folder


def run_alone(packages: Path, cwd: Path, *argv) -> subprocess.CompletedProcess:
    """Python without its own site-packages: a folder of packages is all it has."""
    env = dict(PATH=os.environ['PATH'], PYTHONPATH=str(packages), OMP_NUM_THREADS='1')
    command = [sys.executable, '-S', *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env)


@pytest.fixture(scope='module')
def toy(toy_root, tmp_path_factory):
    """A model of three tasks, and its checkpoint."""
    folder = tmp_path_factory.mktemp('examples')
    cfg = small(folder)
    model = shaken(cfg)
    return model, write_checkpoint(cfg, model, folder / 'toy.pth')


def test_numpy_onnxruntime_and_pillow_run_an_onnx_file(toy, tmp_path):
    model, checkpoint = toy
    export(checkpoint, tmp_path / 'F.onnx', size=SIZE)
    # Higher than the graph, so that it is halved and padded at the right. Each 2 x 2 pixels are of
    # one colour, so that halving gives whole numbers.
    halved = some_images(1, (64, 48))
    pixels = halved.repeat_interleave(2, 2).repeat_interleave(2, 3)
    Image.fromarray(pixels[0].flip(0).permute(1, 2, 0).numpy()).save(tmp_path / 'image.png')
    packages = link_packages(tmp_path / 'packages', 'numpy', 'onnxruntime', 'pillow')
    for name in ('torch', 'cv2', 'mmengine', 'allinone'):
        assert run_alone(packages, tmp_path, '-c', f'import {name}').returncode == 1, name
    found = run_alone(
        packages, tmp_path, EXAMPLES / 'onnx_numpy.py', 'F.onnx', 'image.png', '--out', 'drawn.png'
    )
    assert found.returncode == 0, found.stderr
    about = read_metadata(tmp_path / 'F.onnx')
    padding = torch.tensor(about['input']['pad']['value'][::-1]).view(1, 3, 1, 1)
    images = padding.repeat(1, 1, *SIZE)
    images[..., :48] = halved.float()
    expected = model.predict(images)
    lines = found.stdout.splitlines()
    scores = expected['cls'][0].pred_score
    top = [f'{about["tasks"]["cls"]["classes"][place]}' for place in scores.topk(3)[1]]
    assert [line.split()[1] for line in lines if line.startswith('cls: ')] == top
    boxes = expected['det'][0].pred_instances
    boxes = boxes[boxes.scores >= 0.3]
    drawn = [line for line in lines if line.startswith('det: ')]
    assert len(drawn) == len(boxes) > 2
    # Clipped to the image: the model finds boxes in the padding too.
    corners = (boxes.bboxes * 2).minimum(torch.tensor([96.0, 128.0]).repeat(2))
    for line, box, score, label in zip(drawn, corners, boxes.scores, boxes.labels):
        name, rest = line.removeprefix('det: ').split(' ', 1)
        numbers = [float(number) for number in re.findall(r'[\d.]+', rest)]
        assert name == about['tasks']['det']['classes'][label]
        assert numbers[0] == pytest.approx(float(score), abs=1e-3)
        assert numbers[1:] == pytest.approx(box.tolist(), abs=0.2)
    shares = {
        line.split()[1]: float(line.split()[2].rstrip('%'))
        for line in lines
        if line.startswith('seg: ')
    }
    labels = expected['seg'][0].pred_sem_seg.data[0, :, :48]
    for place, name in enumerate(about['tasks']['seg']['classes']):
        share = float((labels == place).float().mean()) * 100
        assert shares.get(name, 0) == pytest.approx(share, abs=0.1), name
    with Image.open(tmp_path / 'drawn.png') as image:
        assert image.size == (96, 128)
        red = np.asarray(image)
    assert np.all(red == (255, 0, 0), axis=-1).any()  # A colour of toy boxes, which have no palette


def test_torch_alone_runs_a_pt2_file(toy, tmp_path):
    export(toy[1], tmp_path / 'F.pt2', 'pt2', tasks=['cls', 'seg'], size=SIZE)
    packages = link_packages(tmp_path / 'packages', 'torch', 'numpy')
    images = some_images(1)
    np.save(tmp_path / 'images.npy', as_input(images))
    places = ('F.pt2', 'images.npy', 'outputs.npz')
    for name in ('torchvision', 'mmengine', 'allinone'):
        assert not (packages / name).exists(), name
    found = run_alone(packages, tmp_path, EXAMPLES / 'pt2_torch.py', *places)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [
        'cls: cls.scores (1, 8), 8 classes',
        'seg: seg.labels (1, 64, 96), 7 classes',
    ]
    outputs = dict(np.load(tmp_path / 'outputs.npz'))
    now = predictions(toy[0], read_metadata(tmp_path / 'F.pt2'), outputs, images)
    expected = toy[0].predict(images, ['cls', 'seg'])
    torch.testing.assert_close(now['cls'][0].pred_score, expected['cls'][0].pred_score)
    assert torch.equal(now['seg'][0].pred_sem_seg.data, expected['seg'][0].pred_sem_seg.data)


def test_the_image_installs_what_its_program_imports():
    lines = (EXAMPLES / 'Dockerfile').read_text().splitlines()
    (install,) = [line for line in lines if line.startswith('RUN pip install')]
    assert install.split()[-3:] == ['numpy', 'onnxruntime', 'pillow']
    source = (EXAMPLES / 'onnx_numpy.py').read_text()
    modules = set(re.findall(r'^(?:import|from) (\w+)', source, re.MULTILINE))
    assert modules == {'argparse', 'json', 'numpy', 'onnxruntime', 'PIL'}
    assert len(source.splitlines()) < 60
