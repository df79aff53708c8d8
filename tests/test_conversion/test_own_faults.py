"""Own data with faults: what is refused in a sentence, what is left out and counted."""

import base64
import io
import json

import numpy as np
import pytest
from own_trees import labelme_shape
from PIL import Image
from test_own import run
from test_own_formats import (
    THING,
    annotations,
    coco_file,
    images,
    labelme_file,
    names_of,
    xml,
    yolo_image,
)
from trees import photo, write_json

from allinone.conversion.data_set import Sample
from allinone.conversion.images import Examiner
from allinone.conversion.own.image_size import at_most


@pytest.fixture
def source(tmp_path):
    (tmp_path / 'source').mkdir()
    return tmp_path / 'source'


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'out'


@pytest.fixture
def converted(source, out):
    def report(key, *argv):
        assert run(key, source, out, '--split', '1', *argv) == 0
        return json.loads((out / 'conversion.json').read_text())

    return report


@pytest.fixture
def sentence(source, out, capsys):
    def refused(key, *argv):
        assert run(key, source, out, '--split', '1', *argv) == 1
        said = capsys.readouterr().err
        assert said.count('\n') == 1
        return said

    return refused


@pytest.mark.parametrize('name', ['../b.jpg', 'x/../../b.jpg', '/b.jpg'])
def test_nothing_is_written_outside_of_the_folder(source, out, name):
    photo(source / 'a.jpg', 1)
    examine = Examiner(str(source), (str(out),), None, 'copy', {})
    assert examine(Sample('a.jpg', name=name)).fault == ('outside of the source', 'a.jpg', '')
    assert not out.exists() and not (source.parent / 'b.jpg').exists()


def test_an_image_with_an_unknown_class_is_left_out(source, out, converted, sentence):
    yolo_image(source, 'images/a.jpg')
    yolo_image(source, 'images/b.jpg', '0 .5 .5 .2 .2\n7 .5 .5 .4 .4\n8 .2 .2 .1 .1\n', 1)
    (source / 'classes.txt').write_text('a\n')
    assert '1 files are labelled with what is no class (labels/b.txt, class 7' in sentence('yolo')
    report = converted('yolo', '--partial')
    assert images(report) == dict(train=1) and names_of(out, 'train') == {'a.jpg'}
    assert report['problems']['unknown label']['count'] == 1


def test_lines_of_yolo_that_are_written_twice_are_counted(source, out, converted):
    yolo_image(source, 'images/a.jpg', '0 .5 .5 .2 .2\n0 .5 .5 .2 .2\n0 .5 .5 .4 .4\n')
    (source / 'classes.txt').write_text('a\n')
    found = converted('yolo')['problems']['line written twice']
    assert found['examples'] == ['labels/a.txt, line 2']
    assert len(annotations(out)) == 2


def test_numbers_of_classes_that_are_no_numbers(source, sentence):
    yolo_image(source, 'images/a.jpg')
    (source / 'data.yaml').write_text('train: images\nnames: {0: x, q: y}\n')
    assert "names has the numbers [0, 'q']; number the classes from 0" in sentence('yolo')


def test_damage_of_all_xml_files_is_named(source, sentence):
    photo(source / 'a.png', 1)
    (source / 'a.xml').write_text('<annotation><object>')
    said = sentence('voc')
    assert 'has no XML file with objects that can be used, such as a.xml (no element found' in said


def test_masks_of_labelme_are_drawn(source, out, converted):
    photo(source / 'a.jpg', 1)
    drawn = np.zeros((5, 4), np.uint8)
    drawn[1:4, 1:3] = 1
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, 'PNG')
    mask = labelme_shape('a', [[10, 20], [13, 24]], 'mask')
    mask['mask'] = base64.b64encode(file.getvalue()).decode()
    labelme_file(source, 'a', [mask])
    report = converted('labelme', '--as', 'masks')
    expected = np.zeros((64, 96), np.uint8)
    expected[21:24, 11:13] = 1
    assert (np.asarray(Image.open(out / 'label/train/a.png')) == expected).all()
    assert report['splits']['train']['classes']['a'] == 6 and not report['problems']


@pytest.mark.parametrize(
    'more, words',
    [
        (dict(shapes=None), 'shapes is None, no list of shapes'),
        (dict(shapes=5), 'shapes is 5, no list of shapes'),
        (dict(shapes=['a']), "shapes is ['a'], no list of shapes"),
        (dict(imageHeight=[1]), 'its image has the size 96 x [1]'),
        (
            dict(shapes=[labelme_shape('a', [[0, 0], [1, 0], [1, 1]], group=[1])]),
            'no group_id of a number, but',
        ),
        (dict(shapes=[labelme_shape('a', [], 'rectangle')]), 'corners of a rectangle, but 0 po'),
        (
            dict(shapes=[labelme_shape('a', [[0, 0]], 'circle')]),
            'corners of a circle, but 1 p',
        ),
        (dict(shapes=[labelme_shape('a', 5)]), 'no points that are pairs of numbers, but 5, or'),
    ],
)
@pytest.mark.parametrize('target', ['boxes', 'masks'])
def test_files_of_labelme_that_are_wrong(source, sentence, more, words, target):
    for number, name in enumerate('ab'):
        photo(source / f'{name}.jpg', number)
        labelme_file(source, name, [labelme_shape('b', [[0, 0], [4, 0], [4, 4]])])
    content = json.loads((source / 'a.json').read_text())
    write_json(source / 'a.json', content | more)
    said = sentence('labelme', '--as', target)
    assert '1 files are damaged or cut short (a.json: ' in said and words in said


@pytest.mark.parametrize(
    'part, wrong, words',
    [
        ('categories', dict(name=None), "a.json has a class named ''; give each a name"),
        ('annotations', dict(category_id=[1]), 'a.json is damaged or cut short (TypeError'),
        ('images', dict(file_name=None), 'an image has no file_name'),
        ('images', dict(width='x'), "a.json: image x.jpg has the size 'x' x 64"),
    ],
)
def test_files_of_coco_that_are_wrong(source, sentence, part, wrong, words):
    for number, name in enumerate('xy'):
        photo(source / f'{name}.jpg', number)
    coco_file(source, 'a.json', ['y.jpg', 'x.jpg'], [dict(category_id=0, bbox=[1, 1, 5, 5])])
    content = json.loads((source / 'a.json').read_text())
    item = content[part][-1]
    item |= wrong
    for key in [key for key, value in wrong.items() if value is None]:
        del item[key]
    write_json(source / 'a.json', content)
    assert words in sentence('coco')


@pytest.mark.parametrize('target', ['.', '..', 'a'])
def test_a_link_to_a_folder_around_it_is_refused(source, sentence, target):
    photo(source / 'a/1.jpg', 1)
    photo(source / 'b/1.jpg', 2)
    (source / 'a/other').symlink_to(source / 'b')
    (source / 'b/loop').symlink_to(source / target)
    words = ' is a link to a folder that it lies in; remove the link'
    assert words in sentence('folders')


def test_a_linked_folder_is_read(source, tmp_path, converted):
    photo(source / 'a/1.jpg', 1)
    photo(tmp_path / 'elsewhere/1.jpg', 2)
    (source / 'b').symlink_to(tmp_path / 'elsewhere')
    assert images(converted('folders')) == dict(train=2)


def test_a_class_folder_without_images_is_counted(source, converted):
    for number, name in enumerate('ac'):
        photo(source / f'{name}/1.jpg', number)
    (source / 'b').mkdir()
    (source / 'b/x.heic').write_bytes(b'heic')
    (source / 'b/y.heic').write_bytes(b'heic')
    report = converted('folders')
    assert report['problems']['class folder without an image']['examples'] == ['b/x.heic']


def save(path, values, mode):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(values, np.uint16 if mode == 'I;16' else np.uint8))
    (image.point(lambda value: 255 * value).convert('1') if mode == '1' else image).save(path)
    with Image.open(path) as file:
        assert file.mode in (mode, 'I')


@pytest.mark.parametrize('mode', ['1', 'I;16'])
@pytest.mark.parametrize('named', [True, False])
def test_label_maps_of_other_depths(source, out, converted, mode, named):
    photo(source / 'images/a.jpg', 1)
    values = np.zeros((64, 96), np.uint8)
    values[:10] = 1
    save(source / 'labels/a.png', values, mode)
    if named:
        (source / 'classes.txt').write_text('back\nwood\n')
    for call in ('first', 'second'):  # The second one finds the label map written.
        (source / f'{call}.txt').touch()
        report = converted('masks')
        with Image.open(out / 'label/train/a.png') as file:
            assert file.mode == 'L' and (np.asarray(file) == values).all()
    assert [*report['splits']['train']['classes'].values()] == [54 * 96, 10 * 96]


def test_label_maps_of_large_values_are_refused(source, sentence):
    photo(source / 'images/a.jpg', 1)
    values = np.zeros((64, 96), np.uint16)
    values[0] = 300
    save(source / 'labels/a.png', values, 'I;16')
    assert 'a.png has the value 300, and label maps hold up to 255' in sentence('masks')
    (source / 'classes.txt').write_text('back\nwood\n')
    assert 'it has the value 300, which stands for no class' in sentence('masks')


def test_files_of_smaller_images_follow_the_classes(source, out, converted):
    photo(source / 'a.png', 1)
    xml(source, 'a.xml', THING.format('cat'))
    converted('voc')
    assert at_most(out, 32).name == 'data_set_32.py'
    assert "'cat'" in (out / 'data_set_32.py').read_text()
    xml(source, 'a.xml', THING.format('dog'))
    converted('voc')
    text = (out / 'data_set_32.py').read_text()
    assert "'dog'" in text and "'cat'" not in text
    assert not {path.name for path in out.glob('*.py')} - {'data_set.py', 'data_set_32.py'}
