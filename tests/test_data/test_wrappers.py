"""Data sets in wrappers and concatenations are built and checked as those without."""

import json

import pytest
from bad_input import only
from mmengine.dataset import RepeatDataset

from allinone.config.data_sets import innermost, scoped_dataset
from allinone.data.class_names import splits_of, splits_of_config
from allinone.data.loaders import build_loader
from allinone.errors import ConfigError, DataError
from allinone.inference.records import dataset_metainfo
from allinone.tasks import Classification
from allinone.tasks.wrapped import wrapped_data_sets

CLASSES = dict(cls=8, det=3, seg=7)
REPEATS = dict(times=2)
BALANCED = dict(oversample_thr=0.5)


def build(cfg, task, dataset, stage='train'):
    cfg[f'{stage}_dataloader'][task].dataset = dataset
    loader = cfg[f'{stage}_dataloader'][task]
    key = f'{stage}_dataloader.{task}'
    return build_loader(key, task, loader, 0, CLASSES[task], stage == 'train', True)


def plain(cfg, task, stage='train'):
    return cfg[f'{stage}_dataloader'][task].dataset.to_dict()


@pytest.mark.parametrize(
    'task, kind, options',
    [
        ('det', 'RepeatDataset', REPEATS),
        ('det', 'mmdet.RepeatDataset', REPEATS),
        ('det', 'mmengine.RepeatDataset', REPEATS),
        ('det', 'mmseg.RepeatDataset', REPEATS),
        ('det', RepeatDataset, REPEATS),
        ('det', 'RepeatDataset', dict(REPEATS, _scope_='mmdet')),
        ('det', 'ClassBalancedDataset', BALANCED),
        ('det', 'mmdet.ClassBalancedDataset', BALANCED),
        ('cls', 'RepeatDataset', REPEATS),
        ('cls', 'mmpretrain.RepeatDataset', REPEATS),
        ('cls', 'mmpretrain.KFoldDataset', dict(num_splits=4)),
        ('seg', 'mmseg.RepeatDataset', REPEATS),
        ('seg', 'mmdet.RepeatDataset', REPEATS),
    ],
)
def test_a_wrapper_in_any_spelling(cfg, task, kind, options):
    inner = plain(cfg, task)
    alone = build(cfg, task, inner)
    loader = build(cfg, task, dict(type=kind, dataset=inner, **options))
    (part,) = wrapped_data_sets(loader.dataset)
    assert type(part).__name__ == inner['type'].rpartition('.')[2]
    whole = len(alone.dataset)
    if 'times' in options:
        assert len(loader.dataset) == 2 * whole
    elif 'num_splits' in options:
        assert len(loader.dataset) == whole - whole // 4
    else:
        assert len(loader.dataset) >= whole
    assert loader.dataset[0]['inputs'].shape == alone.dataset[0]['inputs'].shape


@pytest.mark.parametrize('kind', ['ConcatDataset', 'mmengine.ConcatDataset', 'mmdet.ConcatDataset'])
@pytest.mark.parametrize('task', ['cls', 'det', 'seg'])
def test_a_concatenation_of_a_wrapper_and_a_data_set(cfg, task, kind):
    inner = plain(cfg, task)
    repeated = dict(type='mmengine.RepeatDataset', times=2, dataset=inner)
    loader = build(cfg, task, dict(type=kind, datasets=[inner, repeated]))
    assert len(loader.dataset) == 3 * len(build(cfg, task, inner).dataset)
    assert len(list(wrapped_data_sets(loader.dataset))) == 2


def test_a_prefix_that_a_library_inherits_from_mmengine_is_no_error(cfg):
    inner = plain(cfg, 'det')
    inner['pipeline'][0] = dict(type='mmdet.LoadImageFromFile')
    inner['pipeline'].insert(
        2, dict(type='mmdet.RandomChoice', transforms=[[dict(type='Pad', size_divisor=32)]])
    )
    assert build(cfg, 'det', inner).dataset[0]['inputs'].shape[-1] % 32 == 0


def test_a_type_of_another_library_is_suggested(cfg):
    inner = plain(cfg, 'det')
    for name, meant in (
        ('PackSegInputs', 'mmseg.PackSegInputs'),
        ('mmdet.PackInputs', 'mmpretrain.PackInputs'),
        ('mmdet.PackDetInput', 'mmdet.PackDetInputs'),
    ):
        inner['pipeline'][-1] = dict(type=name)
        with pytest.raises(ConfigError, match=f'type is {name!r}, .*; do you mean {meant!r}\\?$'):
            build(cfg, 'det', inner)


@pytest.mark.parametrize('around', ['RepeatDataset', 'mmdet.ConcatDataset'])
def test_what_is_wrapped_is_checked(cfg, toy, around):
    content = json.loads((toy / 'det/train.json').read_text())
    content['annotations'][0]['category_id'] = 99
    (toy / 'det/train.json').write_text(json.dumps(content))
    inner = plain(cfg, 'det')
    options = dict(datasets=[inner]) if 'Concat' in around else dict(dataset=inner, times=2)
    with pytest.raises(DataError, match='1 boxes have category_id 99, which is not among'):
        build(cfg, 'det', dict(type=around, **options))


def test_a_wrapped_segmentation_set_without_names_gets_numbers(cfg):
    inner = plain(cfg, 'seg')
    del inner['metainfo']
    loader = build(cfg, 'seg', dict(type='RepeatDataset', times=2, dataset=inner))
    assert loader.dataset.metainfo['classes'] == tuple(map(str, range(7)))


def test_folders_inside_a_wrapper_are_compared(tmp_path):
    from PIL import Image

    for name in ('bus', 'car'):
        (tmp_path / name).mkdir()
        Image.new('RGB', (4, 4)).save(tmp_path / name / '0.png')
    inner = dict(type='mmpretrain.CustomDataset', data_prefix=str(tmp_path))
    cfg = dict(type='RepeatDataset', times=2, dataset=inner)
    two = dict(type='ConcatDataset', datasets=[inner, cfg])
    kind, lists = Classification(), {'class folders': ['bus', 'car']}
    assert splits_of_config('test', cfg, kind) == {'test': lists}
    assert splits_of_config('test', two, kind) == {
        'data set 0 of test': lists,
        'data set 1 of test': lists,
    }
    loader = build_loader(
        'x',
        'x',
        dict(
            batch_size=1,
            num_workers=0,
            dataset=dict(
                cfg,
                dataset=dict(
                    inner, pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]
                ),
            ),
        ),
        0,
        2,
        True,
        True,
    )
    assert splits_of('train', loader.dataset, kind)['train'].items() >= lists.items()


def test_scopes_of_wrapped_data_sets():
    coco = dict(type='mmdet.CocoDataset')
    own = dict(type='allinone.CocoFileDataset')
    wrapped = scoped_dataset(
        dict(
            type='ConcatDataset',
            datasets=[coco, dict(type='mmseg.MultiImageMixDataset', dataset=own)],
        )
    )
    assert wrapped == dict(
        type='ConcatDataset',
        datasets=[
            dict(coco, _scope_='mmdet'),
            # A data set of this suite has the transforms of the wrapper's library.
            dict(type='mmseg.MultiImageMixDataset', _scope_='mmseg', dataset=own),
        ],
    )
    assert list(innermost(wrapped)) == [('mmdet', dict(coco, _scope_='mmdet')), ('mmseg', own)]


def test_classes_of_a_concatenation_are_found_for_inference(cfg):
    inner = plain(cfg, 'det', 'test')
    cfg.test_dataloader.det.dataset = dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=1, dataset=inner)]
    )
    assert dataset_metainfo(cfg, 'det')['classes'] == ('vehicle', 'pedestrian', 'sign')


def test_a_validation_of_a_concatenation(cfg, launch, toy, tmp_path):
    only(cfg, 'det', validate=True)
    content = json.loads((toy / 'det/val.json').read_text())
    halves = []
    for name, images in (('a', content['images'][::2]), ('b', content['images'][1::2])):
        ids = {image['id'] for image in images}
        boxes = [box for box in content['annotations'] if box['image_id'] in ids]
        (toy / f'det/{name}.json').write_text(
            json.dumps(dict(content, images=images, annotations=boxes))
        )
        halves.append(plain(cfg, 'det', 'val') | dict(ann_file=str(toy / f'det/{name}.json')))
    cfg.val_dataloader.det.dataset = dict(type='ConcatDataset', datasets=halves)
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    status, _, error = launch()
    assert status == 0, error
    log = ''.join(path.read_text() for path in tmp_path.rglob('work/**/*.log'))
    # All images of the metric's file
    assert 'det/bbox_mAP' in log and 'are evaluated' not in log


def test_a_validation_that_repeats_images_is_refused(cfg, refused):
    only(cfg, 'det', validate=True)
    inner = plain(cfg, 'det', 'val')
    count = len(build(cfg, 'det', inner, 'val').dataset)
    cfg.val_dataloader.det.dataset = dict(type='RepeatDataset', times=2, dataset=inner)
    assert refused() == (
        f'val_evaluator.det: its data set gives {2 * count} images, of which {count} are '
        'different, and boxes of an image that comes again would count as false ones; evaluate '
        'each image once, without RepeatDataset and the like'
    )
