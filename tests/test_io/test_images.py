import numpy as np
import pytest
from mmengine.registry import TRANSFORMS, DefaultScope
from PIL import Image

from allinone.errors import DataError
from allinone.io.images import find_images, output_names, read_image, write_image


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def test_a_written_image_is_read_back_as_bgr(tmp_path, image):
    write_image(tmp_path / 'new' / 'a.png', image)
    assert (read_image(tmp_path / 'new/a.png') == image[..., ::-1]).all()
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a.png']


def test_exif_rotation_is_honoured(tmp_path, image):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(image).save(tmp_path / 'a.jpg', exif=exif)
    assert read_image(tmp_path / 'a.jpg').shape == (60, 40, 3)


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
def test_exif_rotation_is_honoured_in_training(tmp_path, image, scope):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / 'a.jpg', exif=exif)
    with DefaultScope.overwrite_default_scope(scope):
        load = TRANSFORMS.build(dict(type='LoadImageFromFile'))
    found = load(dict(img_path=str(tmp_path / 'a.jpg')))
    assert (found['img'] == read_image(tmp_path / 'a.jpg')).all()
    assert found['ori_shape'] == (60, 40)


def test_what_is_too_large_is_not_decoded(tmp_path, image, monkeypatch):
    write_image(tmp_path / 'a.png', image)
    assert read_image(tmp_path / 'a.png', 40 * 60).shape == (40, 60, 3)
    monkeypatch.setattr('mmcv.imread', None)
    with pytest.raises(
        DataError, match='a.png is too large: 60 x 40 pixels; scale it to at most 2,399'
    ):
        read_image(tmp_path / 'a.png', 40 * 60 - 1)


def test_files_of_a_pattern(tmp_path):
    for name in ('a.jpg', 'b.jpg', 'c.png', '[1].jpg'):
        (tmp_path / name).write_bytes(b'x')
    (tmp_path / 'd.jpg').mkdir()
    assert find_images(tmp_path / '?.jpg') == [str(tmp_path / 'a.jpg'), str(tmp_path / 'b.jpg')]
    # A file that is there is no pattern.
    assert find_images(tmp_path / '[1].jpg') == [str(tmp_path / '[1].jpg')]
    with pytest.raises(DataError, match='x.* matches no file'):
        find_images(tmp_path / 'x*')


@pytest.mark.parametrize(
    'damage, sentence',
    [
        (lambda data: data[:-200], 'truncated'),
        (lambda data: b'', 'empty'),
        (lambda data: b'not an image', 'not a readable image'),
    ],
)
def test_a_broken_file_is_named(tmp_path, image, damage, sentence):
    path = tmp_path / 'broken.jpg'
    write_image(path, image)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f'broken.jpg.*{sentence}'):
        read_image(path)


def test_images_of_a_folder_by_name(tmp_path, image):
    for name in ('b.jpg', 'a.PNG', '.hidden.png', 'note.txt'):
        (tmp_path / name).write_bytes(b'x')
    (tmp_path / 'sub').mkdir()
    assert find_images(tmp_path) == [str(tmp_path / 'a.PNG'), str(tmp_path / 'b.jpg')]
    with pytest.raises(DataError, match='sub.*without images'):
        find_images(tmp_path / 'sub')
    with pytest.raises(DataError, match='gone.jpg: no such'):
        find_images(tmp_path / 'gone.jpg')


def test_images_with_one_stem_get_names_of_their_own():
    paths = ['x/a.jpg', 'y/a.jpg', 'x/a.png', 'x/b.jpg', 'x/b.jpg']
    names = output_names(paths)
    assert names['x/b.jpg'] == 'b'
    assert len(set(names.values())) == 4
    assert names == output_names(paths[::-1])
