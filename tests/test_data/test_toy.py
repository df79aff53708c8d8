"""Tests of the painted toy data sets."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from allinone.data.toy import make as toy

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Folder of toy data with eight images a split."""
    return toy.make_toy_data(tmp_path_factory.mktemp('toy') / 'data', images=8)


def digests(root):
    """Digest of each file below a folder, by relative path."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def test_same_seed_same_files_in_another_process(data, tmp_path):
    code = (
        'import sys; from allinone.data.toy.make import make_toy_data; '
        'make_toy_data(sys.argv[1], images=8)'
    )
    subprocess.run(
        [sys.executable, '-c', code, str(tmp_path / 'again')],
        check=True,
    )
    assert digests(tmp_path / 'again') == digests(data)


@pytest.mark.parametrize('data_set', toy.DEFAULT_COUNTS)
def test_images_depend_on_seed_split_and_number_only(data_set):
    first = toy.make_image(3, data_set, 'train', 2)
    again = toy.make_image(3, data_set, 'train', 2)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.instances, again.instances)
    for seed, split, number in ((4, 'train', 2), (3, 'val', 2), (3, 'train', 10)):
        other = toy.make_image(seed, data_set, split, number)
        assert not np.array_equal(first.image, other.image)


def test_fewer_images_are_the_same_images(data, tmp_path):
    fewer, all_files = digests(toy.make_toy_data(tmp_path / 'few', images=1)), digests(data)
    images = [name for name in fewer if name.endswith(('.png', '.jpg'))]
    # One train and eight val files; seg has two files an image, street three but for one image.
    assert len(images) == 5 * 9 + 3 * 9 - 1
    assert all(fewer[name] == all_files[name] for name in images)


def test_image_list_names_every_class(data):
    for split in toy.SPLITS:
        lines = [line.split() for line in (data / f'cls/{split}.txt').read_text().splitlines()]
        assert {int(label) for _, label in lines} == set(range(len(toy.SCENE_CLASSES)))
        assert sorted(name for name, _ in lines) == sorted(
            path.name for path in (data / 'cls' / split).iterdir()
        )
        assert cv2.imread(str(data / 'cls' / split / lines[0][0])).shape == (96, 128, 3)


@pytest.mark.parametrize(
    ('data_set', 'classes'), [('det', toy.DET_CLASSES), ('signs', toy.SIGN_KINDS)]
)
@pytest.mark.parametrize('split', toy.SPLITS)
def test_coco_boxes_are_tight(data, data_set, classes, split):
    coco = COCO(str(data / data_set / f'{split}.json'))
    assert {c['id']: c['name'] for c in coco.cats.values()} == dict(enumerate(classes, 1))
    assert {a['category_id'] for a in coco.anns.values()} == set(coco.cats)
    assert len(coco.imgs) == len(list((data / data_set / split).iterdir())) == 8
    for key, entry in coco.imgs.items():
        image = toy.make_image(0, data_set, split, key)
        expected = []
        for instance, thing in image.objects.items():
            rows, columns = np.nonzero(image.instances == instance)
            if data_set == 'det' or thing.design in toy.KIND_OF_SIGN:
                expected.append([columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1])
        annotations = coco.imgToAnns[key]
        assert [a['bbox'] for a in annotations] == expected
        for annotation in annotations:
            x, y, width, height = annotation['bbox']
            assert min(x, y) >= 0 and min(width, height) >= toy.MIN_SIDE
            assert x + width <= entry['width'] and y + height <= entry['height']
            assert annotation['area'] == width * height and annotation['iscrowd'] == 0


def test_some_detection_images_have_no_box(data):
    for split in toy.SPLITS:
        coco = COCO(str(data / f'det/{split}.json'))
        assert any(not coco.imgToAnns[key] for key in coco.imgs)


@pytest.mark.parametrize('split', toy.SPLITS)
def test_label_maps(data, split):
    seen = set()
    images = sorted((data / 'seg/images' / split).iterdir())
    labels = sorted((data / 'seg/label' / split).iterdir())
    assert [path.stem for path in images] == [path.stem for path in labels]
    for number, (image, label) in enumerate(zip(images, labels, strict=True), 1):
        written = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
        assert written.dtype == np.uint8
        assert written.shape == cv2.imread(str(image)).shape[:2] == toy.SCENE_SIZE[::-1]
        assert np.array_equal(written, toy.make_image(0, 'seg', split, number).classes)
        seen |= set(np.unique(written).tolist())
    assert seen == {*range(len(toy.SEG_CLASSES)), toy.IGNORE}
    assert len(toy.SEG_PALETTE) == len(toy.SEG_CLASSES)


@pytest.mark.parametrize('split', toy.SPLITS)
def test_labels_of_several_tasks_on_the_same_images(data, split):
    root = data / 'street'
    have = {number: toy.labels_of_street(split, number) for number in range(1, 9)}
    coco = COCO(str(root / f'boxes_{split}.json'))
    assert set(coco.imgs) == {number for number, tasks in have.items() if 'det' in tasks}
    mapped = {f'{number:05d}' for number, tasks in have.items() if 'seg' in tasks}
    assert set((root / f'label_{split}.txt').read_text().split()) == mapped
    assert {path.stem for path in (root / 'label' / split).iterdir()} == mapped
    scenes = dict(line.split() for line in (root / f'scene_{split}.txt').read_text().splitlines())
    assert scenes == {
        f'{number:05d}.jpg': str(number - 1) for number, tasks in have.items() if 'cls' in tasks
    }
    for number in have:
        painted = toy.make_image(0, 'street', split, number)
        stem = f'{number:05d}'
        read = cv2.imread(str(root / 'images' / split / f'{stem}.jpg'))
        assert read.shape == (*painted.classes.shape, 3) == (*toy.SCENE_SIZE[::-1], 3)
        road = cv2.imread(str(root / 'drivable' / split / f'{stem}.png'), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(road == 1, painted.classes == toy.SEG_CLASSES.index('road'))
        assert np.array_equal(road == toy.IGNORE, painted.classes == toy.IGNORE)
        if stem in mapped:
            classes = cv2.imread(str(root / 'label' / split / f'{stem}.png'), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(classes, painted.classes)
        if number in coco.imgs:
            boxes = [annotation['bbox'] for annotation in coco.imgToAnns[number]]
            assert boxes == [list(box) for _, box in painted.boxes()]


def test_which_images_have_which_labels():
    have = [toy.labels_of_street('train', number) for number in range(1, 161)]
    counts = {task: sum(task in found for found in have) for task in ('det', 'seg', 'cls')}
    assert counts == dict(det=120, seg=107, cls=80)
    assert all('drivable' in found for found in have)
    # Of each scene as many images have boxes, and as many its name.
    for task, count in (('det', 15), ('cls', 10)):
        assert [sum(task in found for found in have[scene::8]) for scene in range(8)] == [count] * 8
    assert sum(map(len, (toy.labels_of_street('val', n) for n in range(1, 41)))) == 160 - 16


def test_boxes_and_label_map_agree():
    image = toy.make_image(0, 'seg', 'train', 1)
    for instance, thing in image.objects.items():
        inside = image.classes[image.instances == instance]
        assert set(np.unique(inside).tolist()) <= {thing.seg, toy.IGNORE}


def test_hidden_objects_are_left_out():
    rng = np.random.default_rng(0)
    view = toy.View(toy.SCENE_SIZE, 230.0, (128.0, 90.0), np.array((0.0, 1.6, 0.0)))
    near = toy.vehicle(rng, 0.0, 6.0, 0.0, toy.BUS)
    behind, beside = toy.pedestrian(rng, 0.0, 16.0), toy.pedestrian(rng, 3.0, 10.0)
    image = toy.paint(toy.Scene(view, toy.DAY, 200.0, [near, behind, beside]), rng)
    assert [thing is near or thing is beside for thing in image.objects.values()] == [True, True]


def test_made_once(data, capsys):
    before = {path: path.stat().st_mtime_ns for path in data.rglob('*')}
    assert toy.make_toy_data(data, images=8) == data
    assert 'nothing to do' in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in data.rglob('*')}


def test_other_content_is_refused(data, tmp_path):
    before = digests(data)
    with pytest.raises(FileExistsError, match='Choose another folder'):
        toy.make_toy_data(data, seed=1, images=8)
    assert digests(data) == before
    (tmp_path / 'note.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='no toy data'):
        toy.make_toy_data(tmp_path, images=8)
    with pytest.raises(FileExistsError):
        toy.make_toy_data(tmp_path / 'note.txt', images=8)
    assert [path.name for path in tmp_path.iterdir()] == ['note.txt']


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    write, calls = toy._write_image, []

    def fail_late(path, image):
        calls.append(path)
        if len(calls) > 12:
            raise OSError('disk full')
        write(path, image)

    monkeypatch.setattr(toy, '_write_image', fail_late)
    with pytest.raises(OSError, match='disk full'):
        toy.make_toy_data(tmp_path / 'data', images=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'wrong', [{'images': 0}, {'images': -3}, {'seed': -1}, {'images': toy.MAX_IMAGES + 1}]
)
def test_values_out_of_range(tmp_path, wrong):
    with pytest.raises(ValueError, match=r'must be'):
        toy.make_toy_data(tmp_path / 'data', **wrong)
    assert list(tmp_path.iterdir()) == []


def test_description(data):
    text, recipe = (data / 'README.md').read_text(), json.loads((data / 'toy.json').read_text())
    assert recipe['counts']['det'] == recipe['counts']['street'] == [8, 8]
    assert 'In training 6 images have boxes, 6 a class map, 8 a scene' in ' '.join(text.split())
    assert all(name in text for name in toy.SCENE_CLASSES + toy.SEG_CLASSES + toy.SIGN_KINDS)


def test_command_line(tmp_path):
    tool = [sys.executable, str(REPOSITORY / 'tools/make_toy_data.py')]
    refused = subprocess.run(
        [*tool, '--out', str(tmp_path / 'data'), '--images', '0'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2 and 'must be 1 or more' in refused.stderr
    usage = subprocess.run([*tool, '--help'], capture_output=True, text=True, check=True)
    assert '--images' in usage.stdout
    assert list(tmp_path.iterdir()) == []
