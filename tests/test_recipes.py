"""Every recipe for Track 1: built as it is; two joint steps and a validation on little data."""

import copy
import json
import re

import pytest
from conftest import ROOT, SHARED, run_tool
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from small_images import shrink
from track1_data import SIGNS, make_track1
from weights_table import files_of_weights

from allinone.checkpoint.loading import read_checkpoint
from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.data.loaders import build_loader
from allinone.registry import MODELS, RUNNERS

TASKS = ('cls', 'det', 'seg')
PAGE = (ROOT / 'docs/track1.md').read_text()
TRAFFIC_MINI = SHARED / 'data/traffic_mini'
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


def config_of(name):
    return str(ROOT / f'configs/track1/{name}_track1.py')


def recipe(name, work_dir, config=None):
    """A recipe with images a sixteenth as large, two steps, and few channels and layers."""
    cfg = load_config(config or config_of(name), work_dir=str(work_dir))
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


@pytest.mark.parametrize('name', NARROW)
def test_a_recipe_is_built_as_it_is(name, monkeypatch):
    """At full size, with the check of all channels and strides, and of the page's numbers."""
    monkeypatch.setattr('allinone.models.probe.print_log', lambda text, *_: pytest.fail(text))
    cfg = load_config(config_of(name))
    # On meta the check could not run: transformers read the sizes of maps from tensors.
    with DefaultScope.overwrite_default_scope('allinone'):
        model = MODELS.build(cfg.model)
    count = sum(parameter.numel() for parameter in model.parameters())
    row = re.search(rf'^\| `{re.escape(name)}_track1.py` .*$', PAGE, re.MULTILINE)[0]
    assert f' {count:,} ' in row


def test_the_page_names_the_weights_that_mmpretrain_has():
    wanted = {load_config(config_of(name)).model.backbone.init_cfg.checkpoint for name in NARROW}
    assert files_of_weights(PAGE) == {path.rsplit('/', 1)[1] for path in wanted}


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
    without_validation(cfg)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=2)
    runner = RUNNERS.build(cfg)
    runner.train()
    told = runner.train_dataloader.dataset.metainfo
    assert list(told['det']['classes']) == SIGNS[:4]
    assert list(told['seg']['classes']) == list(map(str, range(19)))


def submitted_and_tested(work_dir, root, tmp_path, capsys):
    """The submission of a run's last checkpoint, after its score is found to be that of testing."""
    config, checkpoint = work_dir / 'config.py', work_dir / 'iter_2.pth'
    out, metrics = tmp_path / 'submission.json', tmp_path / 'metrics.json'
    assert run_tool('submit', config, checkpoint, '--out', out, '--work-dir', tmp_path / 'a') == 0
    given = (config, checkpoint, '--out', metrics, '--work-dir', tmp_path / 'b')
    assert run_tool('test', *given) == 0
    capsys.readouterr()
    assert run_tool('submit', 'validate', out, '--ann', root) == 0
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
    return json.loads(out.read_text())


def test_a_submission_scores_as_testing_does(mobilenet, track1_root, tmp_path, capsys):
    content = submitted_and_tested(mobilenet, track1_root, tmp_path, capsys)
    assert len(content['cls']) == len(content['seg']) == 6 and content['dec']


def test_images_without_annotations_are_submitted(mobilenet, track1_root, tmp_path):
    """By the data sets that the page names; the predictions are those with annotations."""
    images = json.loads((track1_root / 'dec/val.json').read_text())
    del images['annotations']
    (tmp_path / 'images.json').write_text(json.dumps(images))
    cfg = recipe('mobilenetv2_fcos_fcn', tmp_path)
    given = cfg.test_dataloader
    plain = {task: unannotated(given[task].dataset.pipeline) for task in TASKS}
    given.cls.dataset = dict(
        type='mmpretrain.CustomDataset',
        data_prefix=str(track1_root / 'cls/val'),
        with_label=False,
        pipeline=plain['cls'],
    )
    given.det.dataset.update(ann_file=str(tmp_path / 'images.json'), pipeline=plain['det'])
    given.seg.dataset = dict(
        type='mmseg.BaseSegDataset',
        data_prefix=dict(img_path=str(track1_root / 'seg/images/val')),
        test_mode=True,
        pipeline=plain['seg'],
    )
    cfg.dump(str(tmp_path / 'plain.py'))
    contents = []
    for config in (tmp_path / 'plain.py', mobilenet / 'config.py'):
        out = tmp_path / 'submission.json'
        options = ('--out', out, '--work-dir', tmp_path / 'logs')
        assert run_tool('submit', config, mobilenet / 'iter_2.pth', *options) == 0
        assert run_tool('submit', 'validate', out, '--ann', track1_root) == 0
        contents.append(json.loads(out.read_text()))
    assert contents[0] == contents[1]


def unannotated(pipeline):
    return [step for step in pipeline if step.type != 'LoadAnnotations']


@pytest.mark.skipif(not TRAFFIC_MINI.exists(), reason='needs the shared data')
def test_traffic_mini_needs_its_root_and_numbers_of_classes(tmp_path, monkeypatch, capsys):
    """Real images of three sources, some of each; the weights are those that the config names."""
    root = some_of(TRAFFIC_MINI, tmp_path / 'root', 8)
    monkeypatch.setenv('TRACK1_ROOT', str(root))
    monkeypatch.setenv('ALLINONE_WEIGHTS', str(SHARED / 'weights'))
    work_dir = tmp_path / 'work'
    cfg = recipe('mobilenetv2_fcos_fcn', work_dir)
    whole = load_config(config_of('mobilenetv2_fcos_fcn'))
    cfg.model.backbone.init_cfg = whole.model.backbone.init_cfg
    cfg.merge_from_dict(
        {
            'model.tasks.cls.head.num_classes': 43,
            'model.tasks.det.bbox_head.num_classes': 4,
            'model.tasks.seg.decode_head.num_classes': 11,
        }
    )
    RUNNERS.build(cfg).train()
    cfg.dump(str(work_dir / 'config.py'))
    assert metrics_of(work_dir).keys() >= {'cls/top1', 'det/bbox_mAP_50', 'seg/mIoU', 'score'}
    content = submitted_and_tested(work_dir, root, tmp_path, capsys)
    assert len(content['cls']) == len(content['seg']) == 8 and content['dec']


def some_of(source, root, count):
    """A data set in Track 1's layout with so many of another's images a task and split."""
    for split in ('train', 'val'):
        for section in ('cls', 'dec'):
            (root / section).mkdir(parents=True, exist_ok=True)
            (root / section / split).symlink_to(source / section / split)
        lines = (source / f'cls/{split}.txt').read_text().splitlines()
        lines = lines[:: len(lines) // count][:count]
        (root / f'cls/{split}.txt').write_text('\n'.join(lines) + '\n')
        content = json.loads((source / f'dec/{split}.json').read_text())
        content['images'] = content['images'][:count]
        kept = {image['id'] for image in content['images']}
        content['annotations'] = [box for box in content['annotations'] if box['image_id'] in kept]
        (root / f'dec/{split}.json').write_text(json.dumps(content))
        for folder in (f'seg/images/{split}', f'seg/label/{split}'):
            (root / folder).mkdir(parents=True)
            for path in sorted((source / folder).iterdir())[:count]:
                (root / folder / path.name).symlink_to(path)
    return root


def switches():
    """The lines that the page's table of switches adds to a child config for training, by recipe.

    Two groups, of switches that do not exclude each other.
    """
    rows = re.findall(r'^\| [^|]+ \| `(\w+ = .+?)` \| [^|]+ \| [^|]+ \|$', PAGE, re.MULTILINE)
    lines = [line for line in rows if not line.startswith('test_dataloader')]
    assert len(lines) == 8
    # MobileNetV2 does not say how deep its layers are.
    second = ('LayerDecay', 'NormEqual', 'StochasticWeightAverage')
    groups = {'mobilenetv2_fcos_fcn': [], 'convnext-t_rtmdet_upernet': []}
    for line in lines:
        groups[list(groups)[any(word in line for word in second)]].append(line)
    return groups


@pytest.mark.parametrize('name, lines', switches().items(), ids=list(switches()))
def test_a_switch_is_a_line_of_a_child_config(track1_root, tmp_path, name, lines):
    """Each alone is a legal config; a step is taken with all of a group."""
    base = config_of(name)
    for number, line in enumerate(lines):
        alone, child = tmp_path / f'alone_{number}.py', tmp_path / f'child_{number}.py'
        alone.write_text(f"_base_ = '{config_of(name)}'\n{line}\n")
        check_config(load_config(str(alone)))
        child.write_text(f"_base_ = '{base}'\n{line}\n")
        base = str(child)
    check_config(load_config(base))
    cfg = recipe(name, tmp_path, base)
    without_validation(cfg)
    cfg.train_cfg.max_iters = 1
    for hook in cfg.custom_hooks:
        hook.begin_iter = 0
    runner = RUNNERS.build(cfg)
    runner.train()
    assert runner.iter == 1


def without_validation(cfg):
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg.pop(key)


def test_heads_warm_up_on_a_frozen_backbone(mobilenet, track1_root, tmp_path):
    cfg = recipe('mobilenetv2_fcos_fcn', tmp_path)
    cfg.load_from = str(mobilenet / 'iter_2.pth')
    cfg.merge_from_dict(
        {
            'model.frozen': ['backbone'],
            'model.balancer': dict(type='FixedWeights'),
            'model.clip_grad_per_task': None,
            'train_cfg.max_iters': 1,
        }
    )
    without_validation(cfg)
    runner = RUNNERS.build(cfg)
    runner.train()
    before = read_checkpoint(cfg.load_from)['state_dict']
    same = {key for key, value in runner.model.state_dict().items() if value.equal(before[key])}
    assert same >= {key for key in before if key.startswith('backbone.')}
    assert not any(
        key.endswith('conv_cls.weight') or key == 'tasks.cls.head.fc.weight' for key in same
    )


def test_views_of_test_time_augmentation_are_merged(mobilenet, track1_root, tmp_path):
    """Two equal views predict what one does, for each task."""
    plain, views = (recipe('mobilenetv2_fcos_fcn', tmp_path / name) for name in ('one', 'two'))
    for cfg in (plain, views):
        for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
            cfg.pop(key)
        cfg.pop('custom_hooks')
        without_validation(cfg)
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
