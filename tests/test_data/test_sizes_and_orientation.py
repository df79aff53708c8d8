"""Images as they are shown, in checks, pipelines and inference."""

import json

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from PIL import Image, ImageOps

from allinone.data.checks import check_dataset
from allinone.errors import DataError
from allinone.io.image_files import check_upright, shown_size
from allinone.io.images import read_image
from allinone.tasks import label_maps

WIDTH, HEIGHT = 60, 40


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('allinone')


def tagged(path, orientation):
    """An image whose quarters have four colours, with an EXIF orientation."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:], pixels[20:, :30] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_inference_reads_an_image_as_it_is_shown(tmp_path, suffix, orientation):
    path = tmp_path / f'a.{suffix}'
    tagged(path, orientation)
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image).convert('RGB')).astype(int)
    found = read_image(path)[..., ::-1].astype(int)
    assert found.shape == shown.shape and np.abs(found - shown).mean() < 8
    assert shown_size(path) == shown.shape[1::-1]


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif'])
def test_training_takes_what_opencv_turns(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    tagged(path, 1)
    check_upright(path)
    tagged(path, 3)
    if suffix == 'webp':
        with pytest.raises(DataError, match='WebP image with an EXIF orientation, .*; save it up'):
            check_upright(path)
    else:
        check_upright(path)


def boxes_of(folder, width, height, suffix='jpg', orientation=1):
    tagged(folder / f'a.{suffix}', orientation)
    content = dict(
        images=[dict(id=1, file_name=f'a.{suffix}', width=width, height=height)],
        categories=[dict(id=1, name='car')],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[1, 1, 9, 9], area=81, iscrowd=0)],
    )
    (folder / 'a.json').write_text(json.dumps(content))
    return CocoDataset(
        ann_file=str(folder / 'a.json'),
        data_prefix=dict(img=str(folder)),
        metainfo=dict(classes=('car',)),
        serialize_data=False,
    )


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'tif'])
def test_sizes_of_a_coco_file_are_compared_with_the_images(tmp_path, suffix):
    check_dataset(boxes_of(tmp_path, 60, 40, suffix), 1)
    check_dataset(boxes_of(tmp_path, 40, 60, suffix, orientation=6), 1)
    for width, height, orientation, words in (
        (120, 80, 1, 'it is 60 x 40; its boxes would be elsewhere'),
        (61, 40, 1, 'it is 60 x 40; its boxes'),
        (60, 40, 8, 'it is 40 x 60 as its EXIF orientation turns it; its boxes'),
    ):
        with pytest.raises(DataError, match=f'is {width} x {height}, but {words}'):
            check_dataset(boxes_of(tmp_path, width, height, suffix, orientation), 1)


def masks(folder, values, classes=('road', 'lane'), palette=False, **loading):
    """A data set of one image whose label map has these values in turn."""
    Image.new('RGB', (6, 4)).save(folder / 'a.jpg')
    label_map = Image.fromarray(np.resize(np.array(values, np.uint8), (4, 6)))
    if palette:
        label_map = label_map.convert('P')
        label_map.putpalette([200, 10, 10, 10, 200, 10] + [9] * 762)
    label_map.save(folder / 'a.png')
    return BaseSegDataset(
        data_prefix=dict(img_path=str(folder), seg_map_path=str(folder)),
        img_suffix='.jpg',
        seg_map_suffix='.png',
        metainfo=dict(classes=classes),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmseg.LoadAnnotations', **loading),
        ],
        serialize_data=False,
    )


@pytest.mark.parametrize('palette', [False, True])
def test_label_maps_are_checked_as_the_pipeline_reads_them(tmp_path, palette):
    check_dataset(masks(tmp_path, (0, 1), palette=palette), 2)
    dataset = masks(tmp_path, (0, 1), palette=palette, imdecode_backend='cv2')
    if palette:
        with pytest.raises(DataError, match='palette image, which the pipeline reads as colours'):
            check_dataset(dataset, 2)
    else:
        check_dataset(dataset, 2)


@pytest.mark.parametrize(
    'values, absent',
    [((0, 1), None), ((0, 255), 'lane'), ((255,), 'road, lane'), ((1, 255), 'road')],
)
def test_a_class_without_a_pixel_is_named_before_training(tmp_path, monkeypatch, values, absent):
    said = []
    monkeypatch.setattr(label_maps, 'print_log', lambda text, *_: said.append(text))
    check_dataset(masks(tmp_path, values), 2)
    words = [] if absent is None else [f'{tmp_path} has no sample of class {absent}: no pixel']
    assert said == words
