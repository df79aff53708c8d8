"""Checks of data sets before the first step, on tiny sets of the three libraries."""

import json

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset, BaseSegDataset
from PIL import Image

from allinone.data.checks import check_dataset
from allinone.data.datasets.image_list import ImageListDataset
from allinone.errors import DataError
from allinone.tasks import coco_checks as coco_files
from allinone.tasks import labels

CLASSES = ('car', 'sign', 'tree')


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('allinone')


@pytest.fixture
def said(monkeypatch):
    lines = []
    for module in (coco_files, labels):
        monkeypatch.setattr(module, 'print_log', lambda text, *_: lines.append(text))
    return lines


def image(path, size=(6, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size).save(path, **options)


def image_list(root, labels, classes=CLASSES):
    lines = []
    for number, label in enumerate(labels):
        image(root / f'train/{number}.png')
        lines.append(f'{number}.png {label}\n')
    (root / 'train.txt').write_text(''.join(lines))
    return ImageListDataset(
        ann_file=str(root / 'train.txt'),
        data_prefix=str(root / 'train'),
        metainfo=dict(classes=classes),
        serialize_data=False,
    )


def coco(
    root,
    boxes=((1, 1), (1, 2), (2, 3)),
    categories=((1, 'car'), (2, 'sign'), (3, 'tree')),
    images=2,
    **options,
):
    """``boxes``: (image id, category id)."""
    for number in range(1, images + 1):
        image(root / f'train/{number}.jpg')
    content = dict(
        images=[dict(id=n, file_name=f'{n}.jpg', width=6, height=4) for n in range(1, images + 1)],
        annotations=[
            dict(id=n, image_id=image, category_id=category, bbox=[0, 0, 2, 2], area=4, iscrowd=0)
            for n, (image, category) in enumerate(boxes, 1)
        ],
        categories=[dict(id=number, name=name) for number, name in categories],
    )
    (root / 'train.json').write_text(json.dumps(content))
    return CocoDataset(
        ann_file=str(root / 'train.json'),
        data_prefix=dict(img=f'{root}/train/'),
        serialize_data=False,
        **{'metainfo': dict(classes=CLASSES), **options},
    )


def label_map(root, values=(0, 1, 2, 255), name='a', **options):
    pixels = np.resize(np.array(values), (4, 6))
    (root / 'label').mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint16 if max(values) > 255 else np.uint8)).save(
        root / f'label/{name}.png'
    )
    image(root / f'images/{name}.jpg')
    return segments(root, **options)


def segments(root, kind=BaseSegDataset, **options):
    return kind(
        data_prefix=dict(img_path=f'{root}/images', seg_map_path=f'{root}/label'),
        serialize_data=False,
        **{'metainfo': dict(classes=CLASSES), **options},
    )


def message(dataset, num_classes=3, **options):
    with pytest.raises(DataError) as error:
        check_dataset(dataset, num_classes, **options)
    text = str(error.value)
    assert '\n' not in text
    return text


def test_sound_sets_of_the_three_libraries_pass(tmp_path, said):
    check_dataset(image_list(tmp_path / 'cls', [0, 1, 2]), 3)
    check_dataset(coco(tmp_path / 'det'), 3)
    (tmp_path / 'seg').mkdir()
    check_dataset(label_map(tmp_path / 'seg'), 3)
    assert said == []


def test_labels_outside_the_head_are_named(tmp_path):
    text = message(image_list(tmp_path, [0, 3, 1]))
    assert text == (
        f'{tmp_path}/train/1.png has label 3, but the head of the task has '
        'num_classes=3; labels are 0 to 2'
    )
    # A head whose classes nobody can tell takes any label.
    check_dataset(image_list(tmp_path, [0, 3, 1]), None)


def test_class_names_that_do_not_fit_the_head_are_counted(tmp_path):
    assert 'metainfo.classes has 3 names, but the head of the task has num_classes=4' in message(
        image_list(tmp_path, [0]), 4
    )


def test_classes_without_a_sample_are_legal_and_logged(tmp_path, said):
    check_dataset(image_list(tmp_path / 'cls', [0, 0]), 3)
    check_dataset(coco(tmp_path / 'det', [(1, 1), (2, 3)]), 3)
    assert said == [
        f'{tmp_path}/cls/train.txt has no sample of class sign, tree',
        f'{tmp_path}/det/train.json has no sample of class sign',
    ]


def test_images_without_boxes_are_legal(tmp_path):
    check_dataset(coco(tmp_path, []), 3)


def test_missing_files_are_counted_and_named(tmp_path):
    dataset = coco(tmp_path, images=6)
    for number in (2, 3, 4, 5):
        (tmp_path / f'train/{number}.jpg').unlink()
    assert message(dataset).startswith(
        f'4 of 6 files are missing in {tmp_path}/train: 2.jpg, 3.jpg, 4.jpg and 1 more'
    )
    for name in ('1.jpg', '6.jpg'):
        (tmp_path / 'train' / name).unlink()
    (tmp_path / 'train').rmdir()
    assert f'the folder {tmp_path}/train does not exist' in message(dataset)


def test_a_box_of_no_category_is_found(tmp_path):
    """mmdet drops such boxes in silence."""
    text = message(coco(tmp_path, [(1, 1), (2, 9), (2, 9)]))
    assert f'{tmp_path}/train.json: 2 boxes have category_id 9' in text and '[1, 2, 3]' in text


@pytest.mark.parametrize(
    'first, says',
    [((1, 'car'), 'the id 1 2 times'), ((9, 'car'), "the name 'car' 2 times")],
)
def test_a_category_is_listed_once(tmp_path, first, says):
    """pycocotools gives its number twice, which shifts the labels of all categories after it."""
    text = message(coco(tmp_path, categories=(first, (1, 'car'), (2, 'sign'), (3, 'tree'))))
    assert says in text and f"'car' (id {first[0]}), 'car' (id 1)" in text


def test_what_takes_no_part_may_be_listed_twice(tmp_path):
    categories = ((1, 'car'), (2, 'sign'), (3, 'tree'), (4, 'dog'), (5, 'dog'))
    check_dataset(coco(tmp_path, categories=categories), 3)


def test_categories_must_be_the_classes(tmp_path):
    """mmdet numbers the categories that it knows by their order in the file."""
    text = message(coco(tmp_path, categories=((1, 'car'), (2, 'sgin'), (3, 'tree'))))
    assert f'has sign, which {tmp_path}/train.json does not have' in text and "'sgin'" in text
    text = message(coco(tmp_path, categories=((2, 'sign'), (1, 'car'), (3, 'tree'))))
    assert "in the order ['sign', 'car', 'tree']" in text
    assert 'or, if the files of all splits have this order, metainfo.classes of all splits' in text
    more = dict(
        boxes=[(1, 1), (2, 4)], categories=((1, 'car'), (2, 'sign'), (3, 'tree'), (4, 'dog'))
    )
    text = message(coco(tmp_path, **more))
    assert 'has boxes of dog' in text and 'metainfo.ignore_classes' in text
    check_dataset(
        coco(tmp_path, **more, metainfo=dict(classes=CLASSES, ignore_classes=('dog',))), 3
    )
    # A category that is not used does not matter.
    check_dataset(coco(tmp_path, **dict(more, boxes=[(1, 1)])), 3)


def test_wrapped_and_joined_sets_are_checked_part_by_part(tmp_path):
    bad, good = coco(tmp_path / 'bad', [(1, 9)]), coco(tmp_path / 'good')
    for dataset in (RepeatDataset(bad, 2), ConcatDataset([good, bad])):
        assert 'category_id 9' in message(dataset)
    for dataset in (RepeatDataset(good, 2), ConcatDataset([good, good])):
        check_dataset(dataset, 3)


def test_sets_that_say_nothing_of_themselves_are_left_alone():
    check_dataset([1, 2, 3], 3)


@pytest.mark.parametrize('values, found', [((0, 3), 3), ((0, 254), 254), ((1, 300), 300)])
def test_label_pixels_outside_the_head_are_named(tmp_path, values, found):
    assert message(label_map(tmp_path, values)) == (
        f'{tmp_path}/label/a.png has label {found}, but the head of the task has num_classes=3; '
        'labels are 0 to 2, and 255 for ignored'
    )


def test_the_ignored_label_is_the_data_sets(tmp_path):
    check_dataset(label_map(tmp_path, (0, 7), ignore_index=7), 3)


def test_reduce_zero_label_counts_from_one(tmp_path):
    check_dataset(label_map(tmp_path, (0, 1, 3, 255), reduce_zero_label=True), 3)
    assert 'has label 4' in message(label_map(tmp_path, (0, 4), reduce_zero_label=True))


def test_a_choice_of_classes_is_mapped_after_reducing(tmp_path):
    """ADE20K: ``building`` is 2 in the file, 1 after reducing, 0 of the chosen classes."""
    chosen = dict(
        kind=ADE20KDataset, reduce_zero_label=True, metainfo=dict(classes=('building', 'sky'))
    )
    check_dataset(label_map(tmp_path, (0, 1, 2, 3, 150), **chosen), 2)
    assert 'has label 200' in message(label_map(tmp_path, (2, 200), **chosen), 2)


def test_label_maps_of_another_size_are_named(tmp_path):
    label_map(tmp_path)
    image(tmp_path / 'images/a.jpg', (4, 6))
    assert message(segments(tmp_path)) == (
        f'{tmp_path}/label/a.png is 6 x 4, but its image {tmp_path}/images/a.jpg is 4 x 6; '
        'make them of one size'
    )


def test_sizes_are_compared_as_the_image_is_shown(tmp_path):
    """OpenCV turns an image upright by its Exif tag; the label map is drawn on what one sees."""
    label_map(tmp_path)
    turned = Image.Exif()
    turned[0x0112] = 6
    image(tmp_path / 'images/a.jpg', (4, 6), exif=turned)
    check_dataset(segments(tmp_path), 3)
    image(tmp_path / 'images/a.jpg', (6, 4), exif=turned)
    assert 'is 4 x 6' in message(segments(tmp_path))


def test_a_image_as_label_map_is_refused(tmp_path):
    label_map(tmp_path)
    image(tmp_path / 'label/a.png')
    assert 'label/a.png has 3 channels; a label map has one' in message(segments(tmp_path))


def test_a_image_without_label_map_and_the_reverse(tmp_path):
    label_map(tmp_path)
    image(tmp_path / 'images/b.jpg')
    assert f'missing in {tmp_path}/label: b.png' in message(segments(tmp_path))
    label_map(tmp_path, name='b')
    (tmp_path / 'images/a.jpg').unlink()
    assert message(segments(tmp_path)).startswith(
        f'1 label maps in {tmp_path}/label have no .jpg image in {tmp_path}/images: a.png'
    )


def test_a_part_of_a_set_may_leave_label_maps_out(tmp_path):
    label_map(tmp_path)
    check_dataset(label_map(tmp_path, name='b', indices=1), 3)


def test_an_unreadable_label_map_is_named_or_left_to_skip_corrupt(tmp_path):
    dataset = label_map(tmp_path)
    path = tmp_path / 'label/a.png'
    path.write_bytes(path.read_bytes()[:-30])
    assert message(dataset).startswith(f'{path} is not a readable label map: ')
    check_dataset(dataset, 3, skip_corrupt=True)


def test_boxes_that_take_no_part_are_counted(tmp_path, said):
    dataset, path = coco(tmp_path), tmp_path / 'train.json'
    content = json.loads(path.read_text())
    for number, (x, y, image) in enumerate([(6, 1, 1), (-2, 0, 1), (-1, 0, 1), (0, 0, 9)], 100):
        box = dict(id=number, image_id=image, category_id=1, bbox=[x, y, 2, 2], area=4, iscrowd=0)
        content['annotations'].append(box)
    content['annotations'][-2]['bbox'][2] = 0.5
    content['annotations'][-3]['bbox'][0] = -1  # One of its two columns is inside.
    path.write_text(json.dumps(content))
    check_dataset(dataset, 3)
    assert said == [
        f'{path}: 1 of 7 boxes have an image_id that no image has, and take no part',
        f'{path}: 2 of 7 boxes are smaller than a pixel or outside of their image, '
        'and take no part',
    ]


def test_a_set_without_any_box_is_said(tmp_path, said):
    check_dataset(coco(tmp_path, boxes=()), 3)
    assert said == [f'{tmp_path}/train.json has no box at all']


def test_a_set_of_no_file_is_named_by_its_class(said):
    class Unlisted:
        metainfo = dict(classes=('a', 'b'))

        def __len__(self):
            return 1

        def get_data_info(self, index):
            return dict(img_path='s3://x/1.jpg', gt_label=0)

    check_dataset(Unlisted(), 2)
    assert said == ['Unlisted has no sample of class b']
