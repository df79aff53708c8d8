"""Classes of training, validation and test data, compared by name before the first step."""

import json

import pytest
from conftest import single
from mmengine.registry import DefaultScope
from mmpretrain.datasets import CustomDataset
from PIL import Image

from allinone.data.class_names import class_lists_of_config, require_same_classes
from allinone.errors import ConfigError
from allinone.registry import RUNNERS
from allinone.tasks import Classification, Detection

DETECTION = Detection()


def folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        Image.new('RGB', (4, 4)).save(root / name / '0.png')
    return str(root)


def coco_config(path, order, classes=('car', 'bus')):
    categories = [dict(id=number, name=name) for number, name in enumerate(order)]
    path.write_text(json.dumps(dict(images=[], annotations=[], categories=categories)))
    return dict(
        type='mmdet.CocoDataset',
        _scope_='mmdet',
        ann_file=str(path),
        metainfo=dict(classes=classes),
        pipeline=[dict(type='LoadImageFromFile')],
    )


def test_folders_number_the_classes_of_a_split(tmp_path):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        train = CustomDataset(data_prefix=folders(tmp_path / 'train', 'bus', 'car', 'van'))
        val = CustomDataset(data_prefix=folders(tmp_path / 'val', 'bus', 'van'))
    class_lists = Classification().class_lists
    lists = dict(train=class_lists(train), val=class_lists(val))
    assert lists['train']['class folders'] == ['bus', 'car', 'van']
    with pytest.raises(ConfigError, match=r"^val numbers .*'van'\], but train as \['bus', 'car'"):
        require_same_classes(lists)


def test_folders_are_compared_also_where_the_config_names_the_classes(tmp_path):
    metainfo = dict(classes=('A', 'B'))
    lists = {
        split: class_lists_of_config(
            dict(
                type='mmpretrain.CustomDataset',
                _scope_='mmpretrain',
                metainfo=metainfo,
                data_prefix=folders(tmp_path / split, *names),
            ),
            Classification(),
        )
        for split, names in dict(train=('bus', 'car'), test=('bus', 'van')).items()
    }
    assert lists['train']['metainfo.classes'] == ['A', 'B']
    with pytest.raises(ConfigError, match='^test numbers its classes by class folders'):
        require_same_classes(lists)


def test_a_test_set_is_compared_without_being_loaded(tmp_path):
    train = {'metainfo.classes': ['car', 'bus']}
    cfg = coco_config(tmp_path / 'same.json', ('tree', 'car', 'bus'))
    same = class_lists_of_config(cfg, DETECTION)
    require_same_classes({'train': train, 'test': same})
    other = class_lists_of_config(coco_config(tmp_path / 'other.json', ('bus', 'car')), DETECTION)
    with pytest.raises(ConfigError, match=r'by categories as .*write the categories of its'):
        require_same_classes({'train': train, 'test': other})


def test_a_test_set_that_is_not_there_yet_is_no_error(tmp_path):
    cfg = coco_config(tmp_path / 'later.json', ())
    (tmp_path / 'later.json').unlink()
    assert class_lists_of_config(cfg, DETECTION) == {'metainfo.classes': ['car', 'bus']}
    lacking = dict(cfg, type='allinone.CocoFileDataset', classes_from_file='no.json')
    assert class_lists_of_config(lacking, DETECTION) == {}


@pytest.mark.parametrize('content', ['{', '{}', '{"categories": [{"id": 1}]}', '[]'])
def test_a_damaged_test_set_does_not_stop_a_training(tmp_path, content):
    cfg = coco_config(tmp_path / 'test.json', ())
    (tmp_path / 'test.json').write_text(content)
    assert class_lists_of_config(cfg, DETECTION) == {'metainfo.classes': ['car', 'bus']}


def test_the_order_of_a_file_counts_only_where_it_numbers_the_labels(tmp_path):
    cfg = dict(coco_config(tmp_path / 'test.json', ('bus', 'car')), type='mmdet.LVISV1Dataset')
    assert 'categories' not in class_lists_of_config(cfg, DETECTION)


@pytest.mark.parametrize('with_label', [True, False])
def test_images_to_be_labelled_are_compared_with_nothing(tmp_path, with_label):
    if not with_label:
        folders(tmp_path / 'test', 'monday', 'tuesday')
    (tmp_path / 'test').mkdir(exist_ok=True)
    cfg = dict(
        type='mmpretrain.CustomDataset',
        _scope_='mmpretrain',
        data_prefix=str(tmp_path / 'test'),
        with_label=with_label,
    )
    assert class_lists_of_config(cfg, Classification()) == {}


def test_numbers_in_the_place_of_names_are_not_compared():
    class Unnamed:
        metainfo = dict(classes=('0', '1', '2'))

    class_lists = Detection().class_lists
    assert class_lists(Unnamed()) == class_lists(object()) == {}
    require_same_classes({'train': class_lists(Unnamed()), 'val': {'metainfo.classes': ['a']}})


ORDER = ('building', 'sky', 'road', 'pavement', 'tree', 'vehicle', 'sign')


@pytest.mark.parametrize('stage', ['val', 'test'])
def test_splits_of_other_orders_are_refused_before_the_first_step(toy_root, tmp_path, stage):
    cfg = single('seg', 'mIoU', tmp_path / 'work')
    dataset = dict(cfg.val_dataloader.seg.dataset, metainfo=dict(classes=ORDER))
    loader = dict(cfg.val_dataloader.seg, dataset=dataset)
    cfg[f'{stage}_dataloader'] = dict(seg=loader)
    with pytest.raises(ConfigError) as error:
        RUNNERS.build(cfg).train()
    for names in (ORDER, ('sky', 'building', *ORDER[2:])):
        assert str(list(names)) in str(error.value)
    assert f'{stage}_dataloader.seg' in str(error.value)
    assert not list(tmp_path.rglob('*.pth'))


def test_a_task_without_a_number_of_classes_may_have_others_in_each_split(
    toy_root, tmp_path, monkeypatch
):
    """Identities of training and of validation differ by design."""
    cfg = single('seg', 'mIoU', tmp_path / 'work')
    dataset = dict(cfg.val_dataloader.seg.dataset, metainfo=dict(classes=ORDER))
    cfg.test_dataloader = dict(seg=dict(cfg.val_dataloader.seg, dataset=dataset))
    loop = RUNNERS.build(cfg).train_loop
    with pytest.raises(ConfigError, match='test_dataloader.seg numbers'):
        loop._compare_classes()
    monkeypatch.setattr('allinone.tasks.TaskKind.num_classes', lambda self, model: None)
    loop._compare_classes()
