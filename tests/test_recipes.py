"""Every recipe for Track 1: two joint steps and a validation on a made-up data set."""

import copy
import json

import pytest
from conftest import ROOT, run_tool
from mmengine.config import ConfigDict
from track1_data import SIGNS, make_track1

from allinone.apis.run import load_config
from allinone.engine.dataloaders import build_loader
from allinone.registry import RUNNERS

SIZES = {'scale', 'scales', 'img_scale', 'crop_size', 'border', 'size'}
TASKS = ('cls', 'det', 'seg')
FEW_LAYERS = {
    'model.tasks.det.num_queries': 20,
    'model.tasks.det.encoder.num_layers': 1,
    'model.tasks.det.decoder.num_layers': 1,
}
NARROW = {
    'mobilenetv2_fcos_fcn': {'model.tasks.det.test_cfg.score_thr': 0.005},
    'convnext-t_rtmdet_upernet': {
        'model.backbone.arch': dict(
            _delete_=True, depths=[1, 1, 3, 1], channels=[32, 64, 128, 256]
        ),
        'model.tasks.cls.head.in_channels': 256,
        'model.tasks.det.neck.in_channels': [64, 128, 256],
        'model.tasks.seg.decode_head.in_channels': [32, 64, 128, 256],
        'model.tasks.seg.decode_head.channels': 64,
        'model.tasks.seg.auxiliary_head.in_channels': 128,
        'model.tasks.seg.auxiliary_head.channels': 32,
    },
    'vit-b_dino_setr': {
        **FEW_LAYERS,
        'model.backbone.arch': dict(
            _delete_=True,
            embed_dims=32,
            num_layers=4,
            num_heads=2,
            feedforward_channels=64,
            global_attn_indexes=[1, 3],
        ),
        'model.backbone.img_size': 64,
        'model.backbone.window_size': 2,
        'model.backbone.out_indices': (0, 1, 2, 3),
        # The others average exponentially.
        'custom_hooks': [
            dict(type='EMAHook', ema_type='StochasticWeightAverage', begin_iter=1, priority=49)
        ],
        'model.tasks.cls.head.in_channels': 32,
        'model.tasks.det.neck.in_channels': 32,
        'model.tasks.seg.decode_head.in_channels': 32,
        'model.tasks.seg.decode_head.channels': 32,
        **{
            f'model.tasks.seg.auxiliary_head.{i}.{key}': 32
            for i in range(3)
            for key in ('in_channels', 'channels')
        },
    },
    'swin-l_dino_mask2former': {
        **FEW_LAYERS,
        'model.backbone.arch': dict(
            _delete_=True, embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8]
        ),
        'model.backbone.img_size': 64,
        'model.backbone.window_size': 2,
        'model.tasks.cls.head.in_channels': 128,
        'model.tasks.det.neck.in_channels': [16, 32, 64, 128],
        'model.tasks.seg.decode_head.in_channels': [16, 32, 64, 128],
        'model.tasks.seg.decode_head.num_queries': 10,
        'model.tasks.seg.decode_head.pixel_decoder.encoder.num_layers': 1,
        'model.tasks.seg.decode_head.transformer_decoder.num_layers': 1,
        'model.tasks.seg.decode_head.train_cfg.num_points': 64,
    },
}


@pytest.fixture(scope='module')
def track1_root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = make_track1(tmp_path_factory.mktemp('track1'))
        patch.setenv('TRACK1_ROOT', str(root))
        yield root


def recipe(name, work_dir):
    """A recipe with pictures a sixteenth as large, two steps, and few channels and layers."""
    cfg = load_config(str(ROOT / f'configs/track1/{name}_track1.py'), work_dir=str(work_dir))
    cfg.merge_from_dict(
        {
            **copy.deepcopy(NARROW[name]),
            'model.backbone.init_cfg': None,
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 2,
            'default_hooks.checkpoint.interval': 2,
            'default_hooks.logger.interval': 1,
            'experiment_name': f'{name}_{work_dir.name}',
        }
    )
    for stage in ('train', 'val', 'test'):
        for loader in cfg[f'{stage}_dataloader'].values():
            loader.update(batch_size=2, num_workers=0)
            shrink(loader)
        if stage != 'test':
            cfg[f'{stage}_dataloader'].cls.batch_size = 3
    shrink(cfg.model.tasks.seg.data_preprocessor)
    return cfg


def shrink(part):
    """Divide the sizes of pictures in a config by 16, rounded up to multiples of 16."""
    for key, value in list(part.items() if isinstance(part, dict) else enumerate(part)):
        if key in SIZES:
            part[key] = smaller(value)
        elif isinstance(value, (dict, list)):
            shrink(value)


def smaller(size):
    if isinstance(size, (list, tuple)):
        return type(size)(map(smaller, size))
    return -(-size // 256) * 16 if size > 0 else size // 16


def metrics_of(work_dir):
    lines = [
        json.loads(line)
        for file in work_dir.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    return [line for line in lines if 'score' in line][-1]


@pytest.fixture(scope='module')
def mobilenet(track1_root, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('mobilenet')
    cfg = recipe('mobilenetv2_fcos_fcn', work_dir)
    RUNNERS.build(cfg).train()
    cfg.dump(str(work_dir / 'config.py'))
    return work_dir


@pytest.mark.parametrize('name', [name for name in NARROW if 'mobilenet' not in name])
def test_a_recipe_trains_and_validates(track1_root, tmp_path, name):
    runner = RUNNERS.build(recipe(name, tmp_path))
    runner.train()
    assert runner.iter == 2
    assert runner.train_dataloader.batches == dict.fromkeys(runner.model.tasks, 2)
    assert metrics_of(tmp_path).keys() >= {'cls/top1', 'det/bbox_mAP_50', 'seg/mIoU', 'score'}


def test_all_recipes_are_tried():
    names = {path.name.removesuffix('_track1.py') for path in (ROOT / 'configs/track1').glob('*')}
    assert names - {'__pycache__'} == set(NARROW)


def test_only_the_root_and_the_numbers_of_classes_differ_for_other_data(
    track1_root, tmp_path, monkeypatch
):
    """As on the command line; names of classes are those of the boxes' file, or numbers."""
    root = make_track1(tmp_path / 'other')
    for split in ('train', 'val'):
        path = root / f'dec/{split}.json'
        content = json.loads(path.read_text())
        for box in content['annotations']:
            box['category_id'] = box['category_id'] % 4 + 1
        content['categories'] = content['categories'][:4]
        path.write_text(json.dumps(content))
        lines = [f'{number:05}.jpg {number % 43}\n' for number in range(6)]
        (root / f'cls/{split}.txt').write_text(''.join(lines))
    monkeypatch.setenv('TRACK1_ROOT', str(root))
    cfg = recipe('mobilenetv2_fcos_fcn', tmp_path / 'work')
    cfg.merge_from_dict(
        {'model.tasks.cls.head.num_classes': 43, 'model.tasks.det.bbox_head.num_classes': 4}
    )
    cfg.train_cfg.val_interval = 100
    cfg.pop('val_dataloader'), cfg.pop('val_cfg'), cfg.pop('val_evaluator')
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=2)
    runner = RUNNERS.build(cfg)
    runner.train()
    told = runner.train_dataloader.dataset.metainfo
    assert list(told['det']['classes']) == SIGNS[:4]
    assert list(told['seg']['classes']) == list(map(str, range(19)))


def test_a_submission_scores_as_testing_does(mobilenet, track1_root, tmp_path, capsys):
    config, checkpoint = mobilenet / 'config.py', mobilenet / 'iter_2.pth'
    out, metrics = tmp_path / 'submission.json', tmp_path / 'metrics.json'
    assert run_tool('submit', config, checkpoint, '--out', out, '--work-dir', tmp_path / 'a') == 0
    given = (config, checkpoint, '--out', metrics, '--work-dir', tmp_path / 'b')
    assert run_tool('test', *given) == 0
    capsys.readouterr()
    assert run_tool('submit', 'validate', out, '--ann', track1_root) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {
        f'{row[0]}/{row[1]}': float(row[2])
        for row in table
        if len(row) == 3 and row[2][0] in '0123456789'
    }
    expected = json.loads(metrics.read_text())
    for ours, theirs in {
        'cls/top1': 'cls/top1',
        'dec/bbox_mAP': 'det/bbox_mAP',
        'dec/bbox_mAP_50': 'det/bbox_mAP_50',
        'seg/mIoU': 'seg/mIoU',
        'seg/aAcc': 'seg/aAcc',
        'all/score': 'score',
    }.items():
        assert found[ours] == pytest.approx(expected[theirs], abs=6e-5), ours
    content = json.loads(out.read_text())
    assert len(content['cls']) == len(content['seg']) == 6 and content['dec']


def test_views_of_test_time_augmentation_are_merged(mobilenet, track1_root, tmp_path):
    """Two equal views predict what one does, for each task."""
    plain, views = (recipe('mobilenetv2_fcos_fcn', tmp_path / name) for name in ('one', 'two'))
    for cfg in (plain, views):
        for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
            cfg.pop(key)
        for key in ('val_dataloader', 'val_cfg', 'val_evaluator', 'custom_hooks'):
            cfg.pop(key)
        cfg.load_from = str(mobilenet / 'iter_2.pth')
        for loader in cfg.test_dataloader.values():
            loader.batch_size = 1
    for task in TASKS:
        dataset = views.test_dataloader[task].dataset
        *before, pack = dataset.pipeline
        pack.pop('meta_keys', None)
        if task == 'det':
            pack.meta_keys = views.track1.det.tta_pipeline[-1].transforms[-1][0].meta_keys
        flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=0.0)]
        dataset.pipeline = [
            *before,
            ConfigDict(type='TestTimeAug', transforms=[flips, [pack]]),
        ]
    one, two = (RUNNERS.build(cfg).test() for cfg in (plain, views))
    assert {name: one[name] for name in two} == pytest.approx(two, abs=1e-3)


def test_test_time_augmentation_is_a_line_a_task(track1_root, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(
        f"_base_ = '{ROOT}/configs/track1/mobilenetv2_fcos_fcn_track1.py'\n"
        'test_dataloader = dict('
        + ', '.join(
            f'{task}=dict(dataset=dict(pipeline={{{{_base_.track1.{task}.tta_pipeline}}}}))'
            for task in TASKS
        )
        + ')\n'
    )
    cfg = load_config(str(child))
    counts = {}
    for task, loader in cfg.test_dataloader.items():
        loader.num_workers = 0
        shrink(loader)
        numbers = cfg.track1[task].num_classes
        built = build_loader(f'test_dataloader.{task}', task, loader, 0, numbers, False, True)
        sample = built.dataset[0]
        counts[task] = len(sample['inputs']), len(sample['data_samples'])
        assert any(view.metainfo['flip'] for view in sample['data_samples']) == (task != 'det')
    assert counts == dict(cls=(4, 4), det=(3, 3), seg=(6, 6))
