"""Forms that the formats of own data have, and what a sentence says where they are none."""

import json

import numpy as np
import pytest
from own_trees import coco_boxes, labelme_shape, yolo_lines
from PIL import Image
from test_own import run
from test_sets import digests
from trees import CASES, label_map, photo, write_json

from allinone.cli.convert import main, parse_args
from allinone.conversion.own.class_file import read_class_file
from allinone.conversion.own.config_lines import variable
from allinone.conversion.own.xml_files import parse
from allinone.conversion.polygons import circle, polygon_area
from allinone.errors import DataError


@pytest.fixture
def source(tmp_path):
    (tmp_path / 'source').mkdir()
    return tmp_path / 'source'


@pytest.fixture
def converted(source, tmp_path):
    """Converts the source; the report."""

    def report(key, *argv):
        assert run(key, source, tmp_path / 'out', *argv) == 0
        return json.loads((tmp_path / 'out/conversion.json').read_text())

    return report


@pytest.fixture
def sentence(source, tmp_path, capsys):
    """Converts the source, which is refused; the sentence."""

    def refused(key, *argv):
        assert run(key, source, tmp_path / 'out', *argv) == 1
        said = capsys.readouterr().err
        assert said.count('\n') == 1
        return said

    return refused


def annotations(out, split='train'):
    return json.loads((out / f'{split}.json').read_text())['annotations']


def images(report):
    return {split: counts['images'] for split, counts in report['splits'].items()}


def yolo_image(source, image, lines='0 0.5 0.5 0.25 0.25\n', number=0):
    photo(source / image, number)
    parts = ['labels' if part == 'images' else part for part in image.split('/')]
    labels = (source / '/'.join(parts)).with_suffix('.txt')
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text(lines)


def test_a_yolo_round_trip_is_exact_to_half_a_pixel(source, converted, tmp_path):
    rng = np.random.default_rng(0)
    expected = {}
    (source / 'images').mkdir()
    (source / 'labels').mkdir()
    for number in range(12):
        size = rng.integers(40, 3000, 2)
        left_top = rng.uniform(0, size - 20, (8, 2))
        right_bottom = rng.uniform(left_top + 2, size)
        boxes = [
            (int(label), *map(float, corners))
            for label, corners in zip(rng.integers(0, 7, 8), np.hstack([left_top, right_bottom]))
        ]
        image = Image.new('L', tuple(map(int, size)))
        exif = image.getexif()
        if number % 3 == 2:  # Turned: labels are of the image as it is shown.
            image, exif[0x0112] = Image.new('L', tuple(map(int, size[::-1]))), 6
        image.save(source / f'images/{number}.jpg', exif=exif)
        (source / f'labels/{number}.txt').write_text(yolo_lines(boxes, size))
        expected[f'{number}.jpg'] = boxes
    (source / 'classes.txt').write_text('\n'.join('abcdefg'))
    converted('yolo', '--split', '1')
    found = coco_boxes(tmp_path / 'out/train.json')
    assert {*found} == {*expected}
    errors = []
    for name, boxes in expected.items():
        assert [box[0] for box in found[name]] == [box[0] for box in boxes]
        errors.append(np.abs(np.array(found[name]) - np.array(boxes)).max())
    assert max(errors) < 0.5


@pytest.mark.parametrize(
    'yaml, layout',
    [
        ('train: [a/images, b/images]\nval: images', ('a/images', 'b/images', 'images')),
        ('train: ../train/images\nval: ../valid/images', ('train/images', 'valid/images')),
        ('path: .\ntrain: train.txt\nval: val.txt', ('images', 'images')),
        ('path: sub\ntrain: t\nval: v', ('sub/t', 'sub/v')),
    ],
)
def test_splits_of_a_yolo_file(source, converted, yaml, layout):
    for number, folder in enumerate(layout):
        yolo_image(source, f'{folder}/{number}.jpg', number=number)
    (source / 'train.txt').write_text('./images/0.jpg\n')
    (source / 'val.txt').write_text(f'{source}/images/1.jpg\n')
    (source / 'data.yaml').write_text(f'{yaml}\nnc: 2\nnames: [a, b]\n')
    assert images(converted('yolo')) == dict(train=len(layout) - 1, val=1)


def test_paths_of_this_machine_and_a_relative_source(source, tmp_path, monkeypatch):
    for number, name in enumerate(('train', 'val')):
        yolo_image(source, f'{name}/images/a.jpg', number=number)
    yaml = f'path: {source}\ntrain: train/images\nval: {source}/val/images\nnames: [a]\n'
    (source / 'data.yaml').write_text(yaml)
    monkeypatch.chdir(tmp_path)
    assert run('yolo', source.name, 'out') == 0
    assert names_of(tmp_path / 'out', 'val') == {'a.jpg'}


def test_polygons_of_yolo(source, converted, tmp_path):
    yolo_image(source, 'images/a.jpg', '1 0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5\n')
    (source / 'classes.txt').write_text('a\nb\n')
    assert converted('yolo', '--split', '1')['splits']['train']['masks'] == 1
    (found,) = annotations(tmp_path / 'out')
    assert found['bbox'] == [24, 16, 48, 16] and found['area'] == 48 * 16
    assert found['segmentation'] == [[24, 16, 72, 16, 72, 32, 24, 32]]
    assert 'out_masks = ' in (tmp_path / 'out/data_set.py').read_text()


def test_changed_labels_are_read_again(source, converted, tmp_path):
    yolo_image(source, 'images/a.jpg')
    (source / 'classes.txt').write_text('a\n')
    for width in (0.25, 0.5):
        (source / 'labels/a.txt').write_text(f'0 0.5 0.5 {width} 0.25\n')
        converted('yolo', '--split', '1')
        assert annotations(tmp_path / 'out')[0]['bbox'][2] == 96 * width


def test_key_points_of_yolo_are_counted(source, converted, tmp_path):
    yolo_image(source, 'images/a.jpg', '0 0.5 0.5 0.25 0.5 0.5 0.5 2 0.1 0.1 0\n')
    (source / 'data.yaml').write_text('train: images\nval: images\nnames: [a]\nkpt_shape: [2, 3]\n')
    report = converted('yolo')
    assert report['problems']['keypoints']['count'] == 2
    assert report['problems']['same content in two splits']['count'] == 1
    assert annotations(tmp_path / 'out')[0]['bbox'] == [36, 16, 24, 32]


def test_a_darknet_folder(source, converted):
    for number in range(2):
        yolo_image(source, f'obj_train_data/{number}.jpg', number=number)
    (source / 'obj.names').write_text('a\n')
    (source / 'train.txt').write_text('data/obj_train_data/0.jpg\ndata/obj_train_data/1.jpg\n')
    assert images(converted('yolo', '--split', '1')) == dict(train=2)


@pytest.mark.parametrize(
    'lines, words',
    [
        ('0 0.5 0.5 0.2\n', 'line 1 has 4 numbers, not 5 of a box'),
        ('\n0 0.5 0.5 0.2 0.2 0.9\n', 'line 2 has 6 numbers, not 5 of a box'),
        ('0 48 32 20 20\n', 'line 1 has 48, no fraction of the size'),
        ('0.5 0.5 0.5 0.2 0.2\n', 'line 1 has the class 0.5, no whole number'),
        ('cat 0.5 0.5 0.2 0.2\n', "line 1 has 'cat 0.5 0.5 0.2 0.2', which are no numbers"),
    ],
)
def test_lines_that_yolo_has_not(source, sentence, lines, words):
    yolo_image(source, 'images/a.jpg', lines)
    (source / 'classes.txt').write_text('a\n')
    assert words in sentence('yolo', '--split', '1')


@pytest.mark.parametrize(
    'yaml, words',
    [
        ('names: [a\n', 'is no YAML'),
        (
            'train: images\nnames: {0: a, 2: b}\n',
            'names has the numbers [0, 2]; number the classes',
        ),
        ('train: images\nnames: [a, a]\n', "names the class 'a' twice; give each its own name"),
        ('train: images\nnames: [a]\nnc: 2\n', 'nc is 2, names has 1; make them equal'),
        ('train: photos\nnames: [a]\n', "train is 'photos', which"),
        ('train: labels\nnames: [a]\n', "train is 'labels', which has no image; correct it"),
        ('names: [a]\n', 'has neither train nor val'),
        ('val: images\nnames: [a]\n', 'has only val, nothing to train on'),
        ('train: images\nnames: [a]\n', 'has no validation split; give --split 0.8'),
    ],
)
def test_yolo_files_that_are_wrong(source, sentence, yaml, words):
    yolo_image(source, 'images/a.jpg')
    (source / 'data.yaml').write_text(yaml)
    assert words in sentence('yolo')


def test_names_are_given_once(source, sentence, tmp_path):
    yolo_image(source, 'images/a.jpg')
    (source / 'data.yaml').write_text('train: images\nval: images\nnames: [a]\n')
    (tmp_path / 'c').write_text('a\n')
    said = sentence('yolo', '--classes', str(tmp_path / 'c'))
    assert 'data.yaml names the classes; change them there, and leave out --classes' in said


def test_images_without_any_label_file_are_refused(source, sentence):
    photo(source / 'images/a.jpg', 1)
    (source / 'classes.txt').write_text('a\n')
    assert 'has no label file for any of its images, such as labels/a.txt' in sentence('yolo')


def clips(source):
    for clip in range(10):
        for frame in range(3):
            yolo_image(source, f'images/clip{clip}/f{frame}.jpg', number=10 * clip + frame)
    (source / 'classes.txt').write_text('a\n')


def names_of(out, split):
    content = json.loads((out / f'{split}.json').read_text())
    return {image['file_name'] for image in content['images']}


@pytest.mark.parametrize('group', [r'clip(\d+)', 'folder'])
def test_images_of_a_group_are_in_one_split(source, converted, tmp_path, group):
    clips(source)
    assert images(converted('yolo', '--split', '.8', '--group', group)) == dict(train=24, val=6)
    train, val = (
        {n.split('/')[0] for n in names_of(tmp_path / 'out', s)} for s in ('train', 'val')
    )
    assert len(train) == 8 and len(val) == 2 and not train & val


def test_a_split_follows_its_seed(source, tmp_path):
    clips(source)
    found = {}
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        argv = ('--split', '.8', '--seed', str(seed))
        assert run('yolo', source, tmp_path / name, *argv) == 0
        found[name] = names_of(tmp_path / name, 'val')
    assert found['a'] == found['b'] != found['c'] and len(found['a']) == 6
    one = {p.name for p in (tmp_path / 'a').iterdir()} - {'conversion.json', 'data_set.py'}
    assert one == {'train', 'val', 'train.json', 'val.json'}


def test_other_options_need_another_folder(source, converted, sentence):
    clips(source)
    converted('yolo', '--split', '.8')
    said = sentence('yolo', '--split', '.7')
    assert "holds yolo {'split': '0.8', 'seed': '0'}, not yolo {'split': '0.7'" in said
    assert said.endswith('choose another folder\n')


@pytest.mark.parametrize(
    'argv, words',
    [
        ((), 'has no validation split; give --split 0.8'),
        (('--split', '2'), '--split is 2; give the share'),
        (('--split', '.8', '--group', 'x'), "--group 'x' matches no name"),
        (('--split', '.8', '--group', 'images'), '--group images finds a single group (30 images)'),
    ],
)
def test_splits_that_cannot_be(source, sentence, argv, words):
    clips(source)
    assert words in sentence('yolo', *argv)


def test_images_outside_of_the_split_folders_are_refused(source, sentence):
    for name in ('train', 'val', 'more'):
        yolo_image(source, f'images/{name}/a.jpg')
    (source / 'classes.txt').write_text('a\n')
    assert '1 images in none of them, such as images/more/a.jpg; move' in sentence('yolo')


def test_a_test_split_is_tested(source, converted, tmp_path):
    for number, name in enumerate(('train', 'val', 'test')):
        yolo_image(source, f'{name}/images/a.jpg', number=number)
    (source / 'classes.txt').write_text('a\n')
    assert images(converted('yolo')) == dict(train=1, val=1, test=1)
    text = (tmp_path / 'out/data_set.py').read_text()
    assert text.count("_root + 'test.json'") == 2 and 'test_dataloader' in text


def test_without_a_validation_split_the_test_validates(source, converted, tmp_path):
    for number, name in enumerate(('train', 'test')):
        photo(source / f'{name}/a/{number}.jpg', number)
        photo(source / f'{name}/b/{number}.jpg', number + 5)
    assert images(converted('folders', '--split', '1')) == dict(train=2, test=2)
    text = (tmp_path / 'out/data_set.py').read_text()
    assert 'val_dataloader' in text and 'test_dataloader' not in text


def test_each_class_is_split(source, converted, tmp_path):
    for number in range(15):
        photo(source / f'{"rare" if number < 5 else "usual"}/{number}.jpg', number)
    report = converted('folders', '--split', '.8')
    assert report['splits']['val']['classes'] == dict(rare=1, usual=2)
    listed = (tmp_path / 'out/val.txt').read_text().split('\n')
    assert sum(line.startswith('rare/') and line.endswith(' 0') for line in listed) == 1


def xml(source, name, things, size=(96, 64)):
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_text(
        f'<annotation><filename>x.jpg</filename><size><width>{size[0]}</width><height>{size[1]}'
        f'</height></size>{things}</annotation>'
    )


THING = (
    '<object><name>{}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>96</xmax><ymax>64</ymax>'
    '</bndbox></object>'
)


def test_labelimg_writes_beside_the_images(source, converted, tmp_path):
    for number, name in enumerate(('a', 'b')):
        photo(source / f'{name}.png', number)
        xml(source, f'{name}.xml', THING.format('cat'))
    assert images(converted('voc', '--split', '1')) == dict(train=2)
    assert [item['bbox'] for item in annotations(tmp_path / 'out')] == [[0, 0, 96, 64]] * 2


@pytest.mark.parametrize(
    'things, size, words',
    [
        (
            THING.format('cat'),
            (192, 128),
            'of another size than their annotations say (a.png: [192',
        ),
        (THING.format(''), (96, 64), 'a.xml: it has an object without a name'),
        (THING.format('x').replace('xmax', 'x'), (96, 64), "an object 'x' has no bndbox/xmax"),
    ],
)
def test_xml_files_that_do_not_fit(source, sentence, things, size, words):
    photo(source / 'a.png', 1)
    photo(source / 'b.png', 2)
    xml(source, 'a.xml', things, size)
    xml(source, 'b.xml', THING.format('cat'))
    assert words in sentence('voc', '--split', '1')


def test_an_xml_file_without_its_image_is_named(source, sentence):
    xml(source, 'Annotations/a.xml', THING.format('cat'))
    said = sentence('voc', '--split', '1')
    assert '1 files are missing (x.jpg: Annotations/a.xml has its labels)' in said


def test_entities_are_refused(tmp_path):
    file = tmp_path / 'a.xml'
    for text in ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', '<a>', ''):
        file.write_text(text)
        with pytest.raises(ValueError):
            parse(file)
    file.write_text('<a><b x="1">text &amp; more</b></a>')
    assert parse(file).findtext('b') == 'text & more'


@pytest.mark.parametrize('key', ['coco', 'voc'])
def test_the_published_layout_has_its_own_converter(tmp_path, capsys, key):
    CASES[key].make(tmp_path / 'download')
    argv = [key, str(tmp_path / 'download'), str(tmp_path / 'out'), '--quiet']
    assert main(parse_args([*argv, '--split', '.8'])) == 1
    assert 'so it is the published data set' in capsys.readouterr().err
    assert main(parse_args([*argv, '--partial'])) == 0
    assert 'A config' not in capsys.readouterr().out
    assert not (tmp_path / 'out/data_set.py').exists()


def labelme_file(source, name, shapes, **more):
    content = dict(version='5', flags={}, shapes=shapes, imagePath=f'..\\x\\{name}.jpg')
    content |= dict(imageData=None, imageHeight=64, imageWidth=96)
    write_json(source / f'{name}.json', content | more)


def test_shapes_of_labelme(source, converted, tmp_path):
    photo(source / 'a.jpg', 1)
    shapes = [
        labelme_shape('box', [[30, 20], [10, 5]], 'rectangle'),
        labelme_shape('ball', [[40, 30], [50, 30]], 'circle'),
        labelme_shape('part', [[0, 0], [4, 0], [4, 4]], group=3),
        labelme_shape('part', [[8, 8], [12, 8], [12, 12]], group=3),
        labelme_shape('part', [[20, 20], [24, 20], [24, 24]]),
        labelme_shape('line', [[1, 1], [2, 2]], 'line'),
        labelme_shape('__ignore__', [[0, 0], [4, 0], [4, 4]]),
    ]
    labelme_file(source, 'a', shapes)
    report = converted('labelme', '--split', '1')
    assert report['splits']['train']['classes'] == dict(ball=1, box=1, part=2)
    assert report['problems']['shape without an area']['examples'] == ['a.json: line']
    box, ball, parts, part = annotations(tmp_path / 'out')
    assert box['bbox'] == [10, 5, 20, 15] and 'segmentation' not in box
    assert np.allclose(ball['bbox'], [30, 20, 20, 20]) and abs(ball['area'] - np.pi * 100) < 2
    assert parts['bbox'] == [0, 0, 12, 12] and parts['area'] == 16
    assert parts['segmentation'] == [[0, 0, 4, 0, 4, 4], [8, 8, 12, 8, 12, 12]]
    assert part['bbox'] == [20, 20, 4, 4]
    assert polygon_area(circle(0, 0, 1)) == pytest.approx(np.pi, abs=0.02)
    assert run('labelme', source, tmp_path / 'maps', '--split', '1', '--as', 'masks') == 0
    drawn = np.asarray(Image.open(tmp_path / 'maps/label/train/a.png'))
    assert drawn[3, 1] == 0 and drawn[1, 3] == 255 and drawn[30, 40] == 1 and drawn[10, 20] == 2


@pytest.mark.parametrize(
    'shape, words',
    [
        (dict(shape_type='polygon', label='a'), "a.json: a shape has no 'points', or a wrong one"),
        (labelme_shape('a', [[0, 0], [1, 1]], 'spline'), "known shape_type, but 'spline'"),
    ],
)
def test_shapes_that_labelme_has_not(source, sentence, shape, words):
    photo(source / 'a.jpg', 1)
    labelme_file(source, 'a', [shape])
    labelme_file(source, 'b', [labelme_shape('b', [[0, 0], [4, 0], [4, 4]])])
    said = sentence('labelme', '--split', '1')
    assert words in said and '../x/b.jpg: b.json has its labels' in said


CVAT = (
    '<annotations><version>1.1</version><meta><task><id>1</id><name>{task}</name><labels><label>'
    '<name>a</name></label><label><name>b</name></label></labels></task></meta>{images}</annotations>'
)


def test_shapes_of_cvat(source, converted, tmp_path):
    shapes = (
        '<polygon label="b" points="1.0,2.0;11.0,2.0;11.0,12.0" z_order="0"/>'
        '<box label="a" xtl="40" ytl="20" xbr="60" ybr="30" rotation="90.0"/>'
        '<ellipse label="a" cx="50" cy="30" rx="10" ry="5"/>'
        '<mask label="a" rle="1,2" left="3" top="4" width="5" height="6"/>'
        '<points label="a" points="1,2"/><tag label="b"/>'
    )
    for task, name in (('train', 'a'), ('val', 'b')):
        photo(source / f'{task} export/images/deep/{name}.jpg', len(task))
        image = f'<image id="0" name="deep/{name}.jpg" width="96" height="64">{shapes}</image>'
        (source / f'{task} export/annotations.xml').write_text(CVAT.format(task=task, images=image))
    report = converted('cvat')
    assert images(report) == dict(train=1, val=1)
    assert report['problems']['rotated box']['count'] == 2
    assert report['problems']['mask of pixels']['count'] == 2
    assert report['problems']['shape without an area']['count'] == 4
    polygon, turned, ellipse, mask = annotations(tmp_path / 'out')
    assert polygon['bbox'] == [1, 2, 10, 10] and polygon['area'] == 50
    assert polygon['category_id'] == 2
    assert np.allclose(turned['bbox'], [45, 15, 10, 20]) and 'segmentation' not in turned
    assert np.allclose(ellipse['bbox'], [40, 25, 20, 10]) and mask['bbox'] == [3, 4, 5, 6]


def test_a_video_of_cvat_is_refused(source, sentence):
    (source / 'a.xml').write_text(CVAT.format(task='x', images='<track id="0" label="a"></track>'))
    assert 'is "CVAT for video", with tracks; export the task as' in sentence('cvat')


def coco_file(source, path, names, boxes=(), categories=('a', 'b')):
    listed = [dict(id=n, file_name=name, width=96, height=64) for n, name in enumerate(names)]
    items = [dict(id=n, image_id=0, **box) for n, box in enumerate(boxes)]
    kinds = [dict(id=n, name=name) for n, name in enumerate(categories)]
    write_json(source / path, dict(images=listed, annotations=items, categories=kinds))


POLYGON = [[1, 1, 9, 1, 9, 9]]


def test_coco_of_label_studio(source, converted, tmp_path):
    photo(source / 'images/1a-b c.jpg', 1)
    boxes = [dict(category_id=1, segmentation=POLYGON, area=32, iscrowd=0, ignore=0)]
    rle = dict(size=[64, 96], counts=[10, 4, 6130])
    boxes += [dict(category_id=0, bbox=[0, 0, 4, 4], segmentation=rle, iscrowd=1, ignore=1)]
    coco_file(source, 'result.json', ['..\\media\\upload\\1a-b c.jpg'], boxes)
    converted('coco', '--split', '1')
    first, second = annotations(tmp_path / 'out')
    assert first['bbox'] == [1, 1, 8, 8] and first['segmentation'] == POLYGON
    assert second['segmentation'] == rle and second['area'] == 4
    assert second['iscrowd'] == 1 and second['ignore'] == 1 and second['category_id'] == 1


def test_categories_are_found_by_name(source, converted, tmp_path):
    for split, order in (('train', ('b', 'a', 'c')), ('val', ('a', 'b'))):
        photo(source / f'images/{split}/x.jpg', len(split))
        box = dict(category_id=0, bbox=[1, 1, 5, 5])
        coco_file(source, f'annotations/instances_{split}.json', ['x.jpg'], [box], order)
        write_json(
            source / f'annotations/captions_{split}.json', dict(images=[dict(file_name='x')])
        )
    report = converted('coco')
    assert [*report['splits']['val']['classes'].items()] == [('b', 0), ('a', 1), ('c', 0)]
    assert report['splits']['train']['classes'] == dict(b=1, a=0, c=0)


@pytest.mark.parametrize(
    'files, words',
    [
        (dict(a=['no.jpg']), '1 files are missing (no.jpg: a.json lists it)'),
        (dict(a=['x.jpg', '/of/another/y.jpg']), 'missing (/of/another/y.jpg: a.json lists it)'),
        (
            dict(a=['x.jpg'], b=['x.jpg']),
            'several annotation files for no split: a.json and b.json',
        ),
    ],
)
def test_coco_files_that_do_not_fit(source, sentence, files, words):
    photo(source / 'x.jpg', 1)
    for name, images in files.items():
        coco_file(source, f'{name}.json', images, [dict(category_id=0, bbox=[1, 1, 5, 5])])
    assert words in sentence('coco', '--split', '1')


def test_boxes_of_unlisted_images_and_double_categories_are_refused(source, sentence):
    photo(source / 'x.jpg', 1)
    coco_file(source, 'a.json', ['x.jpg'], categories=('a', 'a'))
    assert "names the class 'a' twice" in sentence('coco', '--split', '1')
    coco_file(source, 'a.json', ['x.jpg'])
    content = json.loads((source / 'a.json').read_text())
    content['annotations'] = [dict(id=1, image_id=9, category_id=0, bbox=[1, 1, 2, 2])]
    write_json(source / 'a.json', content)
    assert 'annotations of 1 images that it does not list, such as image_id 9' in sentence('coco')


def test_folders_of_one_class_are_refused(source, sentence):
    photo(source / 'cat/a.jpg', 1)
    assert "has the single class 'cat'; give the folder above" in sentence('folders')


def test_splits_beside_other_folders_are_refused(source, sentence):
    for number, name in enumerate(('train/a', 'train/b', 'val/a', 'docs/photos')):
        photo(source / f'{name}/1.jpg', number)
    said = sentence('folders')
    assert 'has train with folders of classes, beside docs; move what is no split' in said


def test_a_class_may_be_called_train(source, converted):
    for number, name in enumerate(('train', 'bus')):
        photo(source / f'{name}/1.jpg', number)
        photo(source / f'{name}/2.jpg', number + 5)
    report = converted('folders', '--split', '1')
    assert report['splits']['train']['classes'] == dict(bus=2, train=2)


def test_values_without_a_class_file_are_the_classes(source, converted, tmp_path):
    photo(source / 'images/a.jpg', 1)
    label_map(source / 'labels/a.png', [0, 7, 255, 40])
    report = converted('masks', '--split', '1')
    assert [*report['splits']['train']['classes']] == ['0', '7', '40']
    assert {*np.unique(Image.open(tmp_path / 'out/label/train/a.png'))} == {0, 1, 2, 255}


def test_masks_of_one_object_need_a_class_file(source, sentence, converted, tmp_path):
    photo(source / 'images/a.jpg', 1)
    label_map(source / 'labels/a.png', [0, 255])
    assert 'have only the values [0, 255], and 255 is ignored' in sentence('masks', '--split', '1')
    (tmp_path / 'c.csv').write_text('name,value\nbackground,0\nobject,255\n')
    converted('masks', '--split', '1', '--classes', str(tmp_path / 'c.csv'))
    assert {*np.unique(Image.open(tmp_path / 'out/label/train/a.png'))} == {0, 1}


def test_label_maps_beside_their_images(source, converted, tmp_path):
    for split in ('train', 'valid'):
        photo(source / f'{split}/a.jpg', len(split))
        label_map(source / f'{split}/a_mask.png', [0, 1])
        (source / f'{split}/_classes.csv').write_text('Pixel Value, Class\n0, back\n1, wood\n')
    report = converted('masks')
    assert images(report) == dict(train=1, val=1)
    assert [*report['splits']['train']['classes']] == ['back', 'wood']


def test_colours_need_names_and_maps_need_images(source, sentence):
    photo(source / 'images/a.jpg', 1)
    label_map(source / 'labels/a.png', [(0, 0, 0), (9, 9, 9)])
    assert 'has the mode RGB, whose colours need names' in sentence('masks', '--split', '1')
    (source / 'classes.txt').write_text('a,0,0,0\nb,9,9,9\n')
    label_map(source / 'labels/b.png', [(0, 0, 0)])
    assert '1 files are missing (image of labels/b.png)' in sentence('masks', '--split', '1')


@pytest.mark.parametrize(
    'text, expected',
    [
        ('a\nb, c\n', (('a', 'b, c'), None, None)),
        ('name\nclass\n', (('name', 'class'), None, None)),
        ('a,4\nb,2\n__ignore__,9\n', (('a', 'b'), {4: 0, 2: 1, 9: 255}, None)),
        ('r,g,b,name\n1,2,3,a\n4,5,6,a\n', (('a',), None, {(1, 2, 3): 0, (4, 5, 6): 0})),
        ('a:1,2,3::\nb:4,5,6:x:y\n', (('a', 'b'), None, {(1, 2, 3): 0, (4, 5, 6): 1})),
    ],
)
def test_forms_of_class_files(tmp_path, text, expected):
    (tmp_path / 'c').write_text(text)
    assert read_class_file(tmp_path / 'c') == expected


@pytest.mark.parametrize(
    'text, words',
    [
        ('\n', 'names no class; write one a line'),
        ('a\na\n', "names the class 'a' twice"),
        ('a,1\nb\n', "'b' has 0 numbers, other lines 1"),
        ('a,1\nb,1\n', 'has (1,) twice'),
        ('a,300\n', 'write numbers from 0 to 255'),
        ('a,b,1\n', "has the line 'a,b,1'"),
    ],
)
def test_class_files_that_are_wrong(tmp_path, text, words):
    (tmp_path / 'c').write_text(text)
    with pytest.raises(DataError) as error:
        read_class_file(tmp_path / 'c')
    assert words in str(error.value)


def test_names_of_variables():
    found = [variable(name) for name in ('birds', 'my birds!', '2 cats', 'data', 'class', '***')]
    assert found == ['birds', 'my_birds', 'own_2_cats', 'own_data', 'own_class', 'own']


def test_names_with_a_line_break_are_refused(source, sentence):
    photo(source / 'a/x\ny.jpg', 1)
    assert 'has a line break, so no list of images can hold it; rename it' in sentence('folders')


def test_hidden_files_are_passed_over(source, converted):
    for name in ('a/1.jpg', 'b/2.jpg', '.cache/x/3.jpg', '__MACOSX/a/4.jpg', 'a/._1.jpg'):
        photo(source / name, len(name))
    before = digests(source)
    assert images(converted('folders', '--split', '1')) == dict(train=2)
    assert digests(source) == before
