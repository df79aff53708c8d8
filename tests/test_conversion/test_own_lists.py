"""Lists of own data: which image is in which split, and what is left out."""

import json
from itertools import count

import pytest
from test_own import run
from test_own_formats import THING, annotations, coco_file, images, names_of, xml, yolo_image
from test_sets import digests
from trees import label_map, photo


@pytest.fixture
def source(tmp_path):
    (tmp_path / 'work/source').mkdir(parents=True)
    return tmp_path / 'work/source'


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'work/out'


@pytest.fixture
def converted(source, out):
    def report(key, *argv):
        assert run(key, source, out, *argv) == 0
        return json.loads((out / 'conversion.json').read_text())

    return report


@pytest.fixture
def sentence(source, out, capsys):
    def refused(key, *argv):
        assert run(key, source, out, *argv) == 1
        said = capsys.readouterr().err
        assert said.count('\n') == 1
        return said

    return refused


@pytest.mark.parametrize('form', ['../other/images/b.jpg', '{}/other/images/b.jpg'])
def test_listed_images_outside_of_the_source_are_refused(source, out, converted, sentence, form):
    yolo_image(source, 'images/a.jpg')
    yolo_image(source.parent, 'other/images/b.jpg', number=1)
    line = form.format(source.parent)
    (source / 'train.txt').write_text(f'./images/a.jpg\n\n{line}\n')
    (source / 'data.yaml').write_text('train: train.txt\nval: images\nnames: [a]\n')
    before = digests(source.parent / 'other')
    said = sentence('yolo')
    assert f'1 files are outside of that folder ({line}: line 3 of train.txt)' in said
    report = converted('yolo', '--partial')
    assert images(report) == dict(train=1, val=1)
    assert report['problems']['outside of the source']['count'] == 1
    assert digests(source.parent / 'other') == before
    assert {path.name for path in source.parent.iterdir()} == {'other', 'out', 'source'}
    assert {path.name for path in out.iterdir()} == {
        *('conversion.json', 'data_set.py', 'train', 'train.json', 'val', 'val.json')
    }


def test_a_listed_image_that_is_missing_has_its_line_named(source, sentence):
    yolo_image(source, 'images/a.jpg')
    (source / 'train.txt').write_text('/of/another/images/a.jpg\nimages/a.jpg\nimages/b.jpg\n')
    (source / 'data.yaml').write_text('train: train.txt\nval: images\nnames: [a]\n')
    said = sentence('yolo')
    assert (
        '2 files are missing (/of/another/images/a.jpg: line 1 of train.txt, images/b.jpg' in said
    )


def test_lists_may_have_the_real_path_of_a_linked_source(source, tmp_path):
    yolo_image(source, 'images/a.jpg')
    (source / 'train.txt').write_text(f'{source}/images/a.jpg\n')
    (source / 'data.yaml').write_text('train: train.txt\nval: images\nnames: [a]\n')
    (tmp_path / 'link').symlink_to(source)
    assert run('yolo', tmp_path / 'link', tmp_path / 'out') == 0
    assert len(annotations(tmp_path / 'out')) == 1


def test_a_list_in_another_encoding_is_refused(source, sentence):
    yolo_image(source, 'images/ä.jpg')
    (source / 'train.txt').write_bytes('images/ä.jpg\n'.encode('latin-1'))
    (source / 'data.yaml').write_text('train: train.txt\nval: images\nnames: [a]\n')
    assert 'train.txt is no UTF-8 text (' in sentence('yolo')


@pytest.mark.parametrize('test', ['test/images', 'test.txt', 'empty'])
def test_a_test_split_that_is_not_there_is_left_out(source, converted, test):
    for number, split in enumerate(('train', 'valid')):
        yolo_image(source, f'{split}/images/a.jpg', number=number)
    (source / 'empty').mkdir()
    yaml = f'train: ../train/images\nval: ../valid/images\ntest: ../{test}\nnames: [a]\n'
    (source / 'data.yaml').write_text(yaml)
    report = converted('yolo')
    assert images(report) == dict(train=1, val=1)
    found = report['problems']['split without its images']
    assert found['examples'] == [f"data.yaml: test is '../{test}'"] and found['done'] == 'left out'


@pytest.mark.parametrize('data', [True, False])
def test_lists_of_darknet_are_the_splits(source, out, converted, data):
    for number in range(5):
        folder = 'obj_train_data' if number < 3 else 'obj_valid_data'
        yolo_image(source, f'{folder}/{number}.jpg', number=number)
    (source / 'obj.names').write_text('a\n')
    train, val = ('first', 'second') if data else ('train', 'valid')
    if data:
        (source / 'train.txt').write_text('data/obj_train_data/2.jpg\n')  # No list of obj.data
        (source / 'other.data').write_bytes(b'\xff')
        text = f'classes = 1\ntrain = data/{train}.txt\nvalid = data/{val}.txt\n'
        (source / 'obj.data').write_text(f'{text}names = data/obj.names\nbackup = backup/\n')
    listed = [f'data/obj_train_data/{number}.jpg\n' for number in (0, 1)]
    (source / f'{train}.txt').write_text(''.join(listed))
    listed = [f'data/obj_valid_data/{number}.jpg\n' for number in (3, 4)]
    (source / f'{val}.txt').write_text(''.join(listed))
    report = converted('yolo')
    assert (names_of(out, 'train'), names_of(out, 'val')) == (
        {'0.jpg', '1.jpg'},
        {'3.jpg', '4.jpg'},
    )
    assert report['problems']['in no list of a split']['examples'] == ['obj_train_data/2.jpg']


def test_a_label_file_is_no_list(source, converted):
    for number, name in enumerate(('train', 'b')):
        yolo_image(source, f'{name}.jpg', number=number)
    (source / 'classes.txt').write_text('a\n')
    (source / 'test.txt').write_text('notes\n')
    assert images(converted('yolo', '--split', '1')) == dict(train=2)


def voc_files(source, names, root='', suffix='.jpg'):
    for number, name in zip(count(len(root)), names):
        photo(source / f'{root}JPEGImages/{name}{suffix}', number)
        xml(source, f'{root}Annotations/{name}.xml', THING.format('cat'))


def voc_lists(source, root='', folder='Main', **lists):
    (source / f'{root}ImageSets/{folder}').mkdir(parents=True)
    for split, names in lists.items():
        (source / f'{root}ImageSets/{folder}/{split}.txt').write_text('\n'.join(names) + '\n')


@pytest.mark.parametrize('form', ['{}', '{}.jpg', 'JPEGImages/{}.jpg', '/of/another/{}.jpg'])
def test_lists_of_voc_have_folders(source, out, converted, form):
    names = dict(train=['a/0', 'a/1', 'a/2'], val=['b/0', 'b/1'])
    if form.startswith('/'):
        names = dict(train=['a/0', 'a/1', 'a/2'], val=['b/3', 'b/4'])
    voc_files(source, sum(names.values(), []))
    voc_lists(source, **{split: map(form.format, some) for split, some in names.items()})
    report = converted('voc')
    assert images(report) == dict(train=3, val=2) and not report['problems']
    found = [{name.removesuffix('.jpg') for name in names_of(out, split)} for split in names]
    expected = [{*map(short, some)} for some in names.values()]
    assert found == expected


def short(name):
    return name.rpartition('/')[2]


def test_each_root_of_voc_has_its_lists(source, out, converted):
    voc_files(source, ['0', '1'], 'first/')
    voc_files(source, ['0', '1'], 'second/')
    voc_lists(source, 'first/', train=['0', '1'])
    voc_lists(source, 'second/', val=['0'], train=['1'])
    converted('voc')
    assert names_of(out, 'val') == {'0.jpg'}
    train = {'first/JPEGImages/0.jpg', 'first/JPEGImages/1.jpg', 'second/JPEGImages/1.jpg'}
    assert names_of(out, 'train') == train


def test_lists_of_label_maps_have_folders(source, out, converted):
    names = dict(train=['a/0', 'a/1', 'a/2'], val=['b/0', 'b/1'])
    for number, name in enumerate(sum(names.values(), [])):
        photo(source / f'JPEGImages/{name}.jpg', number)
        label_map(source / f'SegmentationClass/{name}.png', [0, 1])
    photo(source / 'JPEGImages/c/9.jpg', 9)
    label_map(source / 'SegmentationClass/c/9.png', [0, 1])
    voc_lists(source, folder='Segmentation', **names)
    report = converted('masks')
    assert images(report) == dict(train=3, val=2)
    assert report['problems']['in no list of a split']['examples'] == ['JPEGImages/c/9.jpg']
    assert {path.name for path in (out / 'label/val').rglob('*.png')} == {'0.png', '1.png'}


def test_files_in_no_list_of_voc_are_left_out(source, converted):
    voc_files(source, ['0', '1', '2'])
    voc_lists(source, train=['0'], val=['1'])
    report = converted('voc')
    assert images(report) == dict(train=1, val=1)
    found = report['problems']['in no list of a split']
    assert found['examples'] == ['JPEGImages/2.jpg'] and found['count'] == 1


@pytest.mark.parametrize(
    'folders, annotated',
    [
        (('images/Train', 'images/Validation'), 'annotations/instances_{}.json'),
        (('train', 'valid'), 'annotations/{}.json'),
    ],
)
def test_equal_names_in_two_splits_of_coco(source, out, converted, folders, annotated):
    for number, folder in enumerate(folders):
        for name in range(2):
            photo(source / f'{folder}/{name}.jpg', 2 * number + name)
        box = dict(category_id=0, bbox=[1, 1, 5, 5 + number])
        split = folder.split('/')[-1]
        coco_file(source, annotated.format(split), ['0.jpg', '1.jpg'], [box])
    assert images(converted('coco')) == dict(train=2, val=2)
    for split, folder in zip(('train', 'val'), folders):
        assert digests(out / split) == digests(source / folder)
