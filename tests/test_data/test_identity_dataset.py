"""Identities in lists, folders and names, and on the packed samples."""

import cv2
import numpy as np
import pytest
from conftest import run_tool
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from allinone.config.data_sets import scoped_dataset
from allinone.data import IdentityDataset
from allinone.data.checks import check_dataset
from allinone.data.datasets import identity
from allinone.data.loaders import build_loader
from allinone.errors import ConfigError, DataError
from allinone.io.identity_lists import in_natural_order
from allinone.tasks import Classification

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


def write_images(folder, *names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 6, 3), number, np.uint8))


def write_list(path, text):
    path.write_text(text, encoding='utf-8', newline='')
    return str(path)


def rows(dataset, prefix=''):
    """``(path, identity, camera, label)`` of each image."""
    return [
        (info['img_path'].removeprefix(prefix), info['identity'], info['camera'], info['gt_label'])
        for info in map(dataset.get_data_info, range(len(dataset)))
    ]


@pytest.mark.parametrize(
    'text, expected',
    [
        ('a.jpg 7\nb.jpg 7\nc.jpg 10\n', [('a.jpg', '7', None, 0), ('b.jpg', '7', None, 0)]),
        ('a.jpg 10 c1\nb.jpg 9 c2\n', [('a.jpg', '10', 'c1', 1), ('b.jpg', '9', 'c2', 0)]),
        # Tabs, by which a path may have spaces; a camera may be missing
        ('my car.jpg\tred one\t\nb.jpg\tx\t3\n', [('my car.jpg', 'red one', None, 0)]),
        ('\ufeff# comment\r\n\r\n  \nd/a.jpg  Ann_Lee\r\n', [('d/a.jpg', 'Ann_Lee', None, 0)]),
        ('a\u2028b.jpg 1', [('a\u2028b.jpg', '1', None, 0)]),
    ],
)
def test_lists(tmp_path, text, expected):
    path = write_list(tmp_path / 'train.txt', text)
    dataset = IdentityDataset(path, data_prefix='images')
    assert rows(dataset, 'images/')[: len(expected)] == expected
    assert rows(IdentityDataset(path))[: len(expected)] == expected


def test_roots_and_prefixes_are_joined(tmp_path):
    write_list(tmp_path / 'train.txt', 'a.jpg 1\n/abs/b.jpg 2\n')
    dataset = IdentityDataset(
        'train.txt', data_root=str(tmp_path), data_prefix=dict(img_path='images')
    )
    assert [path for path, *_ in rows(dataset)] == [f'{tmp_path}/images/a.jpg', '/abs/b.jpg']


@pytest.mark.parametrize(
    'line', ['b.jpg', 'b.jpg 1 c1 more', 'b.jpg\t', '\t1', 'b.jpg\t1\tc1\tmore', 'my car.jpg 1 c2']
)
def test_a_line_of_other_fields_is_named(tmp_path, line):
    path = write_list(tmp_path / 'train.txt', f'a.jpg 1\n\n{line}\n')
    with pytest.raises(DataError) as error:
        IdentityDataset(path)
    assert str(error.value) == (
        f'{path}, line 3 is {line!r}; it must be "PATH IDENTITY" or "PATH IDENTITY CAMERA", with '
        'tabs between them if the path has spaces'
    )


def test_an_image_has_one_identity(tmp_path):
    path = write_list(tmp_path / 'train.txt', 'a.jpg 1\nb.jpg 1\na.jpg 2\n')
    with pytest.raises(DataError) as error:
        IdentityDataset(path)
    assert str(error.value) == (
        f"{path} lists a.jpg with the identities '1' and '2'; keep one of the lines"
    )


def test_a_list_without_images(tmp_path):
    path = write_list(tmp_path / 'train.txt', '# nothing\n')
    with pytest.raises(DataError, match=f'{path} lists no image; give lines "PATH IDENTITY"'):
        IdentityDataset(path)


def test_folders(tmp_path):
    write_images(tmp_path, 'p10/b.png', 'p10/a.JPG', 'p9/x/1.jpg', 'loose.jpg')
    (tmp_path / 'p9/Thumbs.db').write_text('')
    (tmp_path / 'empty').mkdir()
    dataset = IdentityDataset(data_prefix=str(tmp_path))
    assert rows(dataset, f'{tmp_path}/') == [
        ('p10/a.JPG', 'p10', None, 1),
        ('p10/b.png', 'p10', None, 1),
        ('p9/x/1.jpg', 'p9', None, 0),
    ]
    assert dataset.metainfo['classes'] == ('p9', 'p10')
    assert [dataset.get_cat_ids(index) for index in range(3)] == [[1], [1], [0]]


def test_names_of_market_and_veri(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(identity, 'print_log', lambda line, *_: logged.append(line))
    names = ['0002_c1s1_000451_03.jpg', '-1_c3s2_000001_00.jpg', '0000_c6s1_001976_01.jpg']
    names += ['0010_c012_00016450_0.jpg', '0002_c2_f0046182.jpg', '0010_c3.jpg']
    write_images(tmp_path, *names)
    (tmp_path / 'Thumbs.db').write_text('')
    options = dict(layout='market1501', data_prefix=str(tmp_path))
    expected = [
        ('0000_c6s1_001976_01.jpg', '0000', '6', 0),
        ('0002_c1s1_000451_03.jpg', '0002', '1', 1),
        ('0002_c2_f0046182.jpg', '0002', '2', 1),
        ('0010_c012_00016450_0.jpg', '0010', '012', 2),
        ('0010_c3.jpg', '0010', '3', 2),
    ]
    assert rows(IdentityDataset(**options, test_mode=True), f'{tmp_path}/') == expected
    assert not logged
    assert rows(IdentityDataset(**options), f'{tmp_path}/') == expected
    assert logged == [
        f'{tmp_path}: 1 images of 0000, which are distractors in Market-1501, are trained as one '
        'identity; remove them unless they are one'
    ]


def test_another_name_is_refused(tmp_path):
    write_images(tmp_path, '0002_c1s1_000451_03.jpg', '0003-c1.jpg')
    with pytest.raises(DataError) as error:
        IdentityDataset(layout='market1501', data_prefix=str(tmp_path))
    assert str(error.value) == (
        f'{tmp_path}/0003-c1.jpg is not named as in Market-1501, IDENTITY_cCAMERA, such as '
        "0002_c1s1_000451_03.jpg; rename it, give layout='folders', or give a list as ann_file"
    )


def test_layouts_that_find_nothing(tmp_path):
    write_images(tmp_path, '0002_c1s1_000451_03.jpg', '-1_c1s1_000401_03.jpg')
    with pytest.raises(DataError) as error:
        IdentityDataset(data_prefix=str(tmp_path))
    assert str(error.value) == (
        f'{tmp_path} has no images in folders by identity; check data_prefix, give '
        "layout='market1501', or give a list as ann_file"
    )
    (tmp_path / '0002_c1s1_000451_03.jpg').unlink()
    with pytest.raises(DataError, match="has no images with the names of market1501; .*'folders'"):
        IdentityDataset(layout='market1501', data_prefix=str(tmp_path))
    with pytest.raises(DataError, match="the folder '.*absent' of the images does not exist"):
        IdentityDataset(data_prefix=str(tmp_path / 'absent'))
    with pytest.raises(DataError, match="the folder '' of the images does not exist"):
        IdentityDataset()


def test_layout_is_one_and_not_beside_a_list():
    with pytest.raises(ConfigError, match="layout is 'folders', but ann_file='a.txt' lists the"):
        IdentityDataset('a.txt', layout='folders', lazy_init=True)
    with pytest.raises(ConfigError, match="layout is 'market'"):
        IdentityDataset(layout='market', lazy_init=True)


def test_numbers_are_in_their_order():
    assert in_natural_order(['10', '9', '010', 'b', 'a10b', 'a9b', '10', '']) == [
        *('', '9', '010', '10', 'a9b', 'a10b', 'b')
    ]


def test_given_identities_number_several_sets_alike(tmp_path):
    path = write_list(tmp_path / 'train.txt', 'a.jpg 3\nb.jpg 1\n')
    dataset = IdentityDataset(path, metainfo=dict(classes=['3', '2', '1']))
    assert [label for *_, label in rows(dataset)] == [0, 2]
    assert dataset.identities() == ['3', '2', '1'] == list(dataset.metainfo['classes'])
    with pytest.raises(DataError) as error:
        IdentityDataset(path, metainfo=dict(classes=['3', '2']))
    assert str(error.value) == (
        "b.jpg has the identity '1', which metainfo.classes lacks (2 identities); add it, or leave "
        'out metainfo.classes'
    )


def test_identities_are_known_before_loading(tmp_path):
    path = write_list(tmp_path / 'train.txt', 'a.jpg 12\nb.jpg 3\nc.jpg 3\n')
    dataset = IdentityDataset(path, lazy_init=True)
    assert dataset.identities() == ['3', '12'] and not dataset._fully_initialized
    assert 'classes' not in dataset.metainfo


def build(cfg):
    with DefaultScope.overwrite_default_scope('allinone'):
        return MMENGINE_DATASETS.build(scoped_dataset(cfg))


def listed(tmp_path, text='a.png 5 c1\nb.png 4\n', **options):
    write_images(tmp_path / 'images', *(line.split()[0] for line in text.splitlines()))
    return dict(
        type='allinone.IdentityDataset',
        _scope_='mmpretrain',
        ann_file=write_list(tmp_path / 'list.txt', text),
        data_prefix=str(tmp_path / 'images'),
        pipeline=PIPELINE,
        **options,
    )


def test_identity_and_camera_are_on_the_packed_sample(tmp_path):
    samples = [sample['data_samples'] for sample in build(listed(tmp_path))]
    assert all(isinstance(sample, DataSample) for sample in samples)
    assert [(sample.identity, sample.camera) for sample in samples] == [('5', 'c1'), ('4', None)]
    assert [sample.gt_label.tolist() for sample in samples] == [[1], [0]]
    assert {'identity', 'camera', 'img_path'} <= set(samples[0].metainfo_keys())


def test_each_view_of_an_image_has_its_identity(tmp_path):
    flips = [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)]
    views = dict(type='TestTimeAug', transforms=[flips, [PIPELINE[1]]])
    sample = build(dict(listed(tmp_path), pipeline=[PIPELINE[0], views]))[0]
    assert [view.identity for view in sample['data_samples']] == ['5', '5']


def test_identities_go_through_wrappers(tmp_path):
    cfg = listed(tmp_path)
    wrapped = build(
        dict(type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[cfg, cfg]))
    )
    assert len(wrapped) == 8
    assert [wrapped[index]['data_samples'].identity for index in range(5)] == [*'5454', '5']
    # One label would stand for two identities.
    other = listed(tmp_path / 'other', 'a.png 5\nb.png 6\n')
    with pytest.raises(ValueError, match='meta information'):
        build(dict(type='ConcatDataset', datasets=[cfg, other]))


def test_packs(tmp_path):
    write_images(tmp_path / 'images', '1/a.png', '2/b.png')
    assert run_tool('pack', tmp_path / 'images', '--out', tmp_path / 'images.pack') == 0
    cfg = dict(listed(tmp_path), data_prefix=f'pack://{tmp_path}/images.pack')
    found = build({key: value for key, value in cfg.items() if key != 'ann_file'})
    assert rows(found, f'pack://{tmp_path}/images.pack/') == [
        ('1/a.png', '1', None, 0),
        ('2/b.png', '2', None, 1),
    ]
    assert found[1]['data_samples'].identity == '2' and found[1]['inputs'].shape == (3, 8, 6)


def test_a_broken_image_is_skipped(tmp_path):
    text = ''.join(f'{number}.png {number % 2}\n' for number in range(4))
    cfg = listed(tmp_path, text)
    (tmp_path / 'images/2.png').write_bytes(b'no image')
    loader = build_loader(
        'train_dataloader.reid',
        'reid',
        dict(batch_size=2, num_workers=0, dataset=cfg, skip_corrupt=True),
        0,
        None,
        True,
        True,
    )
    samples = [loader.dataset[index]['data_samples'] for index in range(4)]
    assert samples[2].img_path != str(tmp_path / 'images/2.png')
    assert [sample.identity for sample in samples] == [
        str(int(sample.img_path[-5]) % 2) for sample in samples
    ]


def test_only_a_classifier_compares_the_number_of_identities(tmp_path):
    dataset = IdentityDataset(listed(tmp_path)['ann_file'], data_prefix=str(tmp_path / 'images'))
    check_dataset(dataset, 5)  # The kind of the data set
    with pytest.raises(DataError, match='metainfo.classes has 2 names, but the head .*=5'):
        check_dataset(dataset, 5, kind=Classification())


def test_missing_images_are_named(tmp_path):
    cfg = listed(tmp_path)
    (tmp_path / 'images/b.png').unlink()
    with pytest.raises(DataError, match=r'1 of 2 files are missing in .*images: b.png'):
        check_dataset(build(cfg), None)
