import os

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS, DefaultScope
from PIL import Image

from allinone.errors import DataError
from allinone.io.image_files import check_upright
from allinone.io.images import (
    FORMATS,
    SUFFIXES,
    find_images,
    output_names,
    read_image,
    write_image,
)


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


def test_all_images_that_can_be_read_are_found_in_a_folder(tmp_path, image):
    """Each suffix of each format, written by OpenCV or Pillow, is found and read."""
    for known, suffixes in FORMATS.items():
        if cv2.haveImageWriter(known):
            colours = image if known != '.gif' else np.full_like(image, 90)
            done, data = cv2.imencode(known, colours)
            assert done
            for suffix in suffixes:
                (tmp_path / f'a{suffix}').write_bytes(data.tobytes())
    for suffix, kind in (('.PGM', 'L'), ('.Jfif', 'RGB'), ('.JP2', 'RGB'), ('.AVIF', 'RGB')):
        Image.fromarray(image).convert(kind).save(tmp_path / f'b{suffix}')
    notes = []
    found = find_images(tmp_path, notes.append)
    assert found == sorted(str(path) for path in tmp_path.iterdir()) and not notes
    assert len(found) == len(SUFFIXES) + 4 >= 29
    for path in found:
        assert read_image(path).shape == (40, 60, 3), path


def test_a_format_that_opencv_lacks_is_passed_over(tmp_path):
    for name in ('a.jpg', 'b.avif'):
        (tmp_path / name).write_bytes(b'x')
    notes = []
    suffixes = tuple(suffix for suffix in SUFFIXES if suffix != '.avif')
    assert find_images(tmp_path, notes.append, suffixes) == [str(tmp_path / 'a.jpg')]
    assert notes == [f'{tmp_path}: 1 file (.avif 1) is passed over']


def test_what_a_folder_holds_besides_is_said_once(tmp_path):
    names = ['a.jpg', 'b.HEIC', 'c.heic', 'note.txt', 'x.JSON', 'README', 'movie.mp4', 'v.mp4.part']
    system = ['.hidden.txt', '.DS_Store', 'Thumbs.db', 'desktop.ini']
    for name in names + system:
        (tmp_path / name).write_bytes(b'x')
    for name in ('sub', 'folder.jpg', '.git'):
        (tmp_path / name).mkdir()
    notes = []
    assert find_images(tmp_path, notes.append) == [str(tmp_path / 'a.jpg')]
    assert notes == [
        f'{tmp_path}: 7 files (.heic 2, .json 1, .mp4 1, .part 1, .txt 1, no suffix 1) are passed '
        'over',
        f"{tmp_path}: 2 subfolders are passed over; give a pattern such as '{tmp_path}/**/*.jpg' "
        'for their images',
    ]
    (tmp_path / 'z.zip').write_bytes(b'x')
    notes.clear()
    find_images(tmp_path, notes.append)
    assert ': 8 files (.heic 2, .json 1, .mp4 1, .part 1, .txt 1, .zip 1, others 1) are' in notes[0]
    with pytest.raises(DataError, match=r'folder.jpg is a folder without images: it has no files;'):
        find_images(tmp_path / 'folder.jpg')
    os.remove(tmp_path / 'a.jpg')
    with pytest.raises(
        DataError, match=r'images: it has 8 files \(.*\) and 2 subfolder\(s\); suff'
    ):
        find_images(tmp_path)


@pytest.mark.parametrize('suffix', ['.avif', '.webp', '.jfif', '.tif'])
def test_all_formats_are_turned_by_their_exif_data(tmp_path, suffix):
    corner = np.zeros((32, 48, 3), np.uint8)
    corner[:16, :16] = 255
    # {EXIF orientation: corner in which the upper left one is shown}
    for tag, (y, x) in {1: (0, 0), 3: (-1, -1), 6: (0, -1), 8: (-1, 0), 2: (0, -1)}.items():
        exif = Image.Exif()
        exif[0x0112] = tag
        Image.fromarray(corner).save(tmp_path / f'a{suffix}', exif=exif)
        found = read_image(tmp_path / f'a{suffix}')
        assert found.shape == ((48, 32, 3) if tag in (6, 8) else (32, 48, 3)), tag
        bright = {
            place for place in ((0, 0), (0, -1), (-1, 0), (-1, -1)) if found[place].min() > 200
        }
        assert bright == {(y, x)}, tag


def test_an_avif_that_training_would_not_turn_is_refused(tmp_path, image):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / 'a.avif', exif=exif)
    with pytest.raises(DataError, match='a.avif is an AVIF image with an EXIF orientation'):
        check_upright(tmp_path / 'a.avif')
    Image.fromarray(image).save(tmp_path / 'a.avif')
    check_upright(tmp_path / 'a.avif')


def test_an_image_too_large_for_its_format_is_named(tmp_path):
    with pytest.raises(DataError, match='a.jpg cannot be encoded: 65536 x 1'):
        write_image(tmp_path / 'a.jpg', np.zeros((1, 65536, 3), np.uint8))


def test_a_failed_write_leaves_nothing(tmp_path, image):
    (tmp_path / 'a.png').mkdir()
    with pytest.raises(IsADirectoryError):
        write_image(tmp_path / 'a.png', image)
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']


def test_names_that_are_no_utf8_have_results_of_their_own():
    paths = [os.fsdecode(b'x/a\xff.jpg'), os.fsdecode(b'y/a\xff.jpg')]
    assert len(set(output_names(paths).values())) == 2


def test_names_of_addresses_have_no_query():
    paths = [
        'https://a/b/street.jpg?width=3&path=c/d.png',
        'http://a/view#part.x',
        'HTTP://a/',
        f'http://a/{"x" * 300}.jpg',
    ]
    assert list(output_names(paths).values()) == ['street', 'view', 'address', 'x' * 80]
    same = output_names(['http://a/c.jpg?id=1', 'http://a/c.jpg?id=2'])
    assert len(set(same.values())) == 2 and all(name.startswith('c-') for name in same.values())


def test_images_with_one_stem_get_names_of_their_own():
    paths = ['x/a.jpg', 'y/a.jpg', 'x/a.png', 'x/b.jpg', 'x/b.jpg']
    names = output_names(paths)
    assert names['x/b.jpg'] == 'b'
    assert len(set(names.values())) == 4
    assert names == output_names(paths[::-1])
