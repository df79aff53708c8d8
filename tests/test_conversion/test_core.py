"""The parts that all converters share."""

import json
import math
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from trees import CASES, label_map, photo

from allinone.cli.convert import OWN
from allinone.conversion import convert
from allinone.conversion.data_set import Box, Sample
from allinone.conversion.duplicates import duplicates
from allinone.conversion.files import json_elements, place, replacing
from allinone.conversion.formats import clip
from allinone.conversion.journal import Journal
from allinone.conversion.label_maps import IGNORED, Colours, Values
from allinone.conversion.sets import bdd100k_det
from allinone.errors import DataError


@pytest.mark.parametrize('indent', [None, 2])
@pytest.mark.parametrize('size', [3, 5000])
def test_elements_of_json_are_those_of_the_standard_library(tmp_path, indent, size):
    odd = [{'name': 'stra\u00dfe, ["]}', 'labels': [{'x': -1.5e3, 'y': None}]}, {}, 7, 'a\\"b', []]
    odd += [1.0, 0.1 + 0.2, 1e300, 5e-324, -0.0, 2**53 + 1, True]
    found = [{'id': number, 'odd': odd} for number in range(size)]
    content = {'info': {'n': [1, [2]]}, 'images': found, 'n': 6789, 'empty': []}
    file = tmp_path / 'a.json'
    file.write_text(json.dumps(content, indent=indent))
    for key in ('images', 'empty', 'absent', 'info'):
        expected = content.get(key, []) if key != 'info' else []
        assert repr(list(json_elements(file, key))) == repr(expected)
    for elements in ([], odd):
        file.write_text(json.dumps(elements, indent=indent))
        assert repr(list(json_elements(file, 'images'))) == repr(elements)


def test_a_large_json_file_is_not_held_in_memory(tmp_path):
    file = tmp_path / 'a.json'
    with open(file, 'w') as text:
        text.write('{"images": [' + ','.join(['{"id": 1, "x": [0.5, 1, 2]}'] * 200_000) + ']}')
    tracemalloc.start()
    try:
        assert sum(found['id'] for found in json_elements(file, 'images')) == 200_000
        assert tracemalloc.get_traced_memory()[1] < file.stat().st_size / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    'text',
    [
        *('', '[', '[1', '[1,', '[1 2]', '[{"a": 1', '{"a"', '{"a": [1}', '{"a" 1}', '12', '[nan]'),
        *('{"a": [1]', '[1] x', '"a"', '["\udcff"]'),
    ],
)
def test_json_that_is_none_is_refused_in_one_line(tmp_path, text):
    (tmp_path / 'a.json').write_bytes(text.encode(errors='surrogateescape'))
    with pytest.raises(ValueError) as error:
        list(json_elements(tmp_path / 'a.json', 'a'))
    assert str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
    'box, kept, problem',
    [
        ((10, 20, 30, 40), (10, 20, 30, 40), None),
        ((0, 0, 100, 80), (0, 0, 100, 80), None),
        ((-5, 70, 30, 40), (0, 70, 25, 10), 'box reaches out of its image'),
        ((99, 10, 1.0005, 9), (99, 10, 1, 9), None),  # what rounding adds
        ((100, 10, 5, 5), None, 'box outside its image'),
        ((-9, 10, 9, 5), None, 'box outside its image'),
        ((10, 10, 0, 5), None, 'box smaller than a pixel'),
        ((10, 10, -3, 5), None, 'box smaller than a pixel'),
        ((99.5, 10, 3, 5), None, 'box smaller than a pixel'),
        ((math.nan, 10, 3, 5), None, 'box smaller than a pixel'),
        ((10, 10, math.inf, 5), None, 'box smaller than a pixel'),
    ],
)
def test_boxes_are_clipped_or_left_out(box, kept, problem):
    assert clip(Box(*box, 0), 100, 80) == (kept, problem)


def test_files_are_whole_or_not_there(tmp_path):
    file = tmp_path / 'deep/a.txt'
    with replacing(file) as text:
        text.write('first')
    with pytest.raises(KeyboardInterrupt), replacing(file) as text:
        text.write('sec')
        raise KeyboardInterrupt
    assert [path.name for path in file.parent.iterdir()] == ['a.txt']
    assert file.read_text() == 'first'


@pytest.mark.parametrize('link', ['hard', 'symbolic', 'copy'])
def test_images_are_placed_over_whatever_was_there(tmp_path, link):
    source, target = tmp_path / 'a.jpg', tmp_path / 'out/a.jpg'
    source.write_text('new')
    os.symlink(source, tmp_path / 'alias.jpg')
    for before in (None, 'hard', 'symbolic', 'copy', 'text', 'dangling'):
        target.unlink(missing_ok=True)
        if before in ('hard', 'symbolic', 'copy'):
            place(source, target, before)
        elif before == 'text':
            target.write_text('old')
        elif before == 'dangling':
            target.symlink_to(tmp_path / 'gone')
        place(tmp_path / 'alias.jpg', target, link)
        state = os.lstat(target)
        place(tmp_path / 'alias.jpg', target, link)
        assert os.lstat(target).st_ctime_ns == state.st_ctime_ns, 'placed twice'
        assert target.read_text() == 'new' and source.read_text() == 'new'
        if link == 'copy':
            assert not target.samefile(source)
        elif link == 'symbolic':
            assert os.readlink(target) == str(source)
        else:
            assert target.samefile(source)
        assert [path.name for path in target.parent.iterdir()] == ['a.jpg']


def test_hard_links_become_symbolic_where_there_are_none(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, 'Invalid cross-device link')

    monkeypatch.setattr(os, 'link', refuse)
    (tmp_path / 'a.jpg').write_text('a')
    place(tmp_path / 'a.jpg', tmp_path / 'out/a.jpg', 'hard')
    assert os.readlink(tmp_path / 'out/a.jpg') == str(tmp_path / 'a.jpg')


def test_label_values_become_classes():
    values = np.array([[7, 7, 8], [0, 33, 7]], np.uint8)
    coding = Values(3, {7: 0, 8: 1, 33: 2, 0: IGNORED})
    labels, pixels = coding.read(Image.fromarray(values))
    assert labels.tolist() == [[0, 0, 1], [255, 2, 0]] and labels.dtype == np.uint8
    assert pixels == {0: 3, 1: 1, 2: 1, 255: 1}
    with pytest.raises(DataError, match='the value 9, which'):
        coding.read(Image.fromarray(values + (values == 8)))
    with pytest.raises(DataError, match='mode RGB'):
        coding.read(Image.new('RGB', (3, 2)))


def test_classes_that_are_values_already():
    labels, pixels = Values(3).read(Image.fromarray(np.array([[0, 2, 255]], np.uint8)))
    assert labels.tolist() == [[0, 2, 255]] and pixels == {0: 1, 2: 1, 255: 1}
    # Counted from 1, with 0 ignored: what is linked keeps its values, the counts are of classes.
    _, pixels = Values(3, shift=1).read(Image.fromarray(np.array([[0, 1, 3, 3]], np.uint8)))
    assert pixels == {0: 1, 2: 2, 255: 1}
    with pytest.raises(DataError, match='the value 3, which'):
        Values(3).read(Image.fromarray(np.array([[3]], np.uint8)))


def test_label_colours_become_classes():
    coding = Colours({(128, 64, 128): 0, (0, 0, 0): IGNORED, (64, 0, 128): 1, (64, 192, 0): 1})
    colours = np.array([[(128, 64, 128), (64, 0, 128)], [(0, 0, 0), (64, 192, 0)]], np.uint8)
    labels, pixels = coding.read(Image.fromarray(colours))
    assert labels.tolist() == [[0, 1], [255, 1]] and pixels == {0: 1, 1: 2, 255: 1}
    palette = Image.fromarray(colours).quantize(8)
    assert coding.read(palette)[0].tolist() == [[0, 1], [255, 1]]
    with pytest.raises(DataError, match=r'the colour \(255, 64, 128\), which'):
        coding.read(Image.new('RGB', (1, 1), (255, 64, 128)))


def test_images_of_one_content_are_found_across_splits(tmp_path):
    contents = dict(a='same', b='other', c='same', d='same', e='else')
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    splits = dict(train=dict(a=4, b=5, e=4), val=dict(c=4), test=dict(d=4))
    with ThreadPoolExecutor(2) as pool:
        found = list(duplicates(str(tmp_path), splits, pool))
        assert found == [[('train', 'a'), ('val', 'c'), ('test', 'd')]]
        assert not list(duplicates(str(tmp_path), dict(train=dict(a=4, c=4)), pool))


def test_a_journal_counts_for_its_set_alone(tmp_path):
    for identity, known in (({'of': 'a'}, {}), ({'of': 'a'}, {'x.jpg': [[1, 2]]}), ({}, {})):
        journal = Journal(tmp_path, identity)
        assert journal.known == known
        journal.add('x.jpg', [1, 2])
        journal.flush()
        journal.close(done=False)


@pytest.fixture
def small(tmp_path):
    """A download, its description, and where to convert it to."""
    source = tmp_path / 'download'
    CASES['tt100k'].make(source)
    return source, CASES['tt100k'].data_set(source), tmp_path / 'out'


def test_a_image_in_two_splits_is_reported(small):
    source, data_set, out = small
    (source / 'test/41.jpg').write_bytes((source / 'train/7.jpg').read_bytes())
    problem = convert(data_set, source, out)['problems']['same content in two splits']
    assert problem['examples'] == ['train/7.jpg = test/41.jpg'] and problem['count'] == 1


@pytest.mark.parametrize(
    'sample, words',
    [
        (Sample('train/7.jpg', name='41.jpg'), 'named twice (test/41.jpg'),
        (Sample('train/7.jpg', label=45), 'no class (train/7.jpg: class 45'),
        (Sample('train/7.jpg', label=-1), 'no class (train/7.jpg: class -1'),
        (Sample('train/7.jpg', notes=[('unknown label', 'p99')]), 'no class (p99'),
    ],
)
def test_annotations_that_cannot_be_are_refused(small, sample, words):
    source, data_set, out = small
    last = replace(
        data_set.splits[1], samples=lambda _: iter([sample, Sample('test/41.jpg')]), published=2
    )
    with pytest.raises(DataError) as error:
        convert(replace(data_set, splits=(data_set.splits[0], last)), source, out)
    assert words in str(error.value) and '1 files are' in str(error.value)


def test_fewer_annotations_than_published_are_refused(small):
    source, data_set, out = small
    splits = tuple(replace(split, published=4) for split in data_set.splits)
    data_set = replace(data_set, splits=splits)
    with pytest.raises(DataError) as error:
        convert(data_set, source, out)
    assert str(error.value) == (
        f'{source}: annotations.json has only 3 of 4 images for train (data.zip) and '
        'annotations.json has only 1 of 4 images for val (data.zip); unpack what is named again, '
        'or convert what is there with --partial'
    )
    report = convert(data_set, source, out, partial=True)
    assert report['splits']['val']['published'] == 4


def test_a_folder_with_something_else_is_left_alone(small):
    source, data_set, out = small
    photo(out / 'holiday.jpg', 1)
    with pytest.raises(DataError, match='holds something else, not tt100k; choose another'):
        convert(data_set, source, out)
    assert [path.name for path in out.iterdir()] == ['holiday.jpg']


def test_another_conversion_is_left_alone(small, tmp_path):
    source, data_set, out = small
    convert(data_set, source, out)
    other = tmp_path / 'cars'
    CASES['stanford_cars'].make(other)
    with pytest.raises(DataError, match=f'{out} holds tt100k, not stanford_cars; choose'):
        convert(CASES['stanford_cars'].data_set(other), other, out)
    with pytest.raises(DataError, match="holds tt100k, not tt100k {'kind': 'x'}; choose"):
        convert(replace(data_set, options={'kind': 'x'}), source, out)


MASK = 'labels/sem_seg/masks/train/00000001-train.png'


@pytest.mark.parametrize(
    'change, kind, words',
    [
        (
            lambda path: label_map(path, [0], size=(96, 63)),
            'size differs',
            'of another size than their label maps (images/10k/train/00000001-train.jpg: '
            '[96, 64] and [96, 63]; in bdd100k_images_10k.zip)',
        ),
        (
            lambda path: label_map(path, [0, 40]),
            'unknown label',
            f'no class ({MASK}: it has the value 40, which stands for no class; in '
            'bdd100k_sem_seg_labels_trainval.zip)',
        ),
        (
            lambda path: label_map(path, [(0, 0, 40)]),
            'unknown label',
            f'no class ({MASK}: it has the mode RGB, not one channel of 8 bits',
        ),
        (
            lambda path: path.write_bytes(path.read_bytes()[:60]),
            'unreadable',
            f'damaged or cut short ({MASK}: ',
        ),
    ],
)
def test_label_maps_that_do_not_fit_are_refused(tmp_path, change, kind, words):
    source, case = tmp_path / 'download', CASES['bdd100k_seg']
    case.make(source)
    change(source / MASK)
    with pytest.raises(DataError) as error:
        convert(case.data_set(source), source, tmp_path / 'out')
    assert words in str(error.value)
    report = convert(case.data_set(source), source, tmp_path / 'out', partial=True)
    assert report['splits']['train']['images'] == 1
    assert report['problems'][kind]['count'] == 1


def test_the_labels_of_another_release_are_told(tmp_path):
    CASES['bdd100k_det_2018'].make(tmp_path)
    with pytest.raises(DataError, match='labels of 2018, not those of 2020; .* --release 2018'):
        bdd100k_det.data_set(tmp_path)


def test_converters_wait_for_no_library_of_models():
    own = ', '.join(f'allinone.conversion.own.{name}' for name in OWN)
    code = f'import sys, allinone.conversion.sets.stanford_cars, {own}; print(*sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert not {'torch', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain'} & set(done.stdout.split())


def test_the_source_is_no_place_to_convert_to(small):
    source, data_set, _ = small
    for out in (source, source / 'out'):
        with pytest.raises(DataError, match='where nothing is changed; choose another folder'):
            convert(data_set, source, out)
    with pytest.raises(DataError, match="not 'soft'"):
        convert(data_set, source, source.parent / 'out', link='soft')


def test_a_changed_download_is_converted_again(small):
    source, data_set, out = small
    convert(data_set, source, out)
    ids = source / 'train/ids.txt'
    ids.write_text('10056\n7\n')
    splits = (replace(data_set.splits[0], published=2), data_set.splits[1])
    report = convert(replace(data_set, splits=splits), source, out)
    assert report['splits']['train']['images'] == 2
    assert report['problems']['left over']['examples'] == ['train/62627.jpg']
