"""Weights that a training starts with: upstream checkpoints, for one task or several."""

import copy
import logging
import re
import types
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from conftest import build_model, classification, joined, run_tool, tiny, write_config
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from torch.utils.data import Dataset

from allinone.checkpoint.loading import read_checkpoint
from allinone.checkpoint.sources import metainfo_of
from allinone.config.check import check_config
from allinone.errors import CheckpointError, ConfigError
from allinone.training.checkpoint_classes import _rows
from allinone.training.start_weights import load_start

TASKS = ('cls', 'det', 'seg')


@pytest.fixture
def log(caplog):
    """Lines of mmengine's log, which does not reach pytest by itself."""
    logger = MMLogger.get_instance('start_weights', logger_name='start_weights')
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger.name):
        yield caplog
    logger.removeHandler(caplog.handler)


def lines(log, level=logging.INFO):
    return [record.getMessage() for record in log.records if record.levelno >= level]


@pytest.fixture(scope='module')
def other(toy_root, tmp_path_factory):
    """The toy model with other weights, and upstream checkpoints of its tasks: model, folder."""
    folder = tmp_path_factory.mktemp('upstream')
    model = build_model(tiny(folder / 'work'))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    for task in TASKS:
        torch.save(dict(state_dict=upstream(model.state_dict(), task)), folder / f'{task}.pth')
        state = upstream(model.state_dict(), task)
        state = {k: v + 1 if k.startswith('backbone.') else v for k, v in state.items()}
        torch.save(dict(state_dict=state), folder / f'{task}_moved.pth')
    return model, folder


def upstream(state, task):
    prefix = f'tasks.{task}.'
    return {k: v for k, v in state.items() if k.startswith('backbone.')} | {
        k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)
    }


@pytest.fixture
def model(toy_root, tmp_path):
    return build_model(tiny(tmp_path / 'work'))


def started(model, load_from, datasets=types.MappingProxyType({}), **options):
    """The parts that a start changed, and whether each is that of the other model."""
    before = copy.deepcopy(model.state_dict())
    load_start(model, load_from, datasets, **options)
    after = model.state_dict()
    return {
        '.'.join(name.split('.')[: 1 if name.startswith('backbone') else 2])
        for name in after
        if not torch.equal(before[name], after[name])
    }


def same(model, other, part, shift=0):
    state, expected = model.state_dict(), other.state_dict()
    names = [name for name in state if name.startswith(f'{part}.')]
    return bool(names) and all(torch.equal(state[n], expected[n] + shift) for n in names)


def test_one_checkpoint_each(model, other, log):
    source, folder = other
    changed = started(model, dict(det=f'{folder}/det.pth', seg=f'{folder}/seg.pth'))
    assert changed == {'backbone', 'tasks.det', 'tasks.seg'}
    assert all(same(model, source, part) for part in changed)
    count = len([name for name in model.state_dict() if name.startswith('tasks.det.')])
    text = lines(log)
    assert f'load_from: task det has {count} of {count} tensors of {folder}/det.pth' in text
    assert lines(log, logging.WARNING) == [
        'load_from: task cls keeps its initial weights; no checkpoint is given'
    ]


@pytest.mark.parametrize(
    'more, shift', [(dict(backbone='seg'), 1), (dict(backbone='cls'), 0), (dict(backbone=...), 1)]
)
def test_which_backbone_is_said(model, other, more, shift):
    source, folder = other
    if more['backbone'] is ...:
        more = dict(backbone=f'{folder}/det_moved.pth')
    sources = dict(cls=f'{folder}/cls.pth', seg=f'{folder}/seg_moved.pth')
    assert started(model, sources | more) == {'backbone', 'tasks.cls', 'tasks.seg'}
    assert same(model, source, 'backbone', shift) and same(model, source, 'tasks.cls')


def test_two_backbones_that_differ_are_refused(model, other):
    _, folder = other
    sources = dict(det=f'{folder}/det.pth', seg=f'{folder}/seg_moved.pth')
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ConfigError) as error:
        started(model, sources)
    text = str(error.value)
    assert f"load_from.det='{folder}/det.pth' and load_from.seg='{folder}/seg_moved.pth'" in text
    assert "add backbone='det' or backbone='seg' to load_from" in text
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize('task', TASKS)
def test_a_text_is_for_the_task_that_it_fits(model, other, log, task):
    source, folder = other
    assert started(model, f'{folder}/{task}.pth') == {'backbone', f'tasks.{task}'}
    assert same(model, source, 'backbone') and same(model, source, f'tasks.{task}')
    assert any(f'task {task} has ' in line for line in lines(log))


def test_a_text_that_fits_two_tasks_alike_gives_the_backbone(other, tmp_path, log):
    source, folder = other
    cfg = tiny(tmp_path / 'work')
    cfg.model.tasks.cls2 = cfg.model.tasks.cls
    model = build_model(cfg)
    assert started(model, f'{folder}/cls.pth') == {'backbone'}
    (line, *_) = lines(log, logging.WARNING)
    assert 'fits the tasks cls, cls2 alike' in line and "load_from=dict(cls='" in line
    assert started(model, dict(cls2=f'{folder}/cls.pth')) == {'tasks.cls2'}


def test_joint_checkpoints_and_bare_backbones(model, other, tmp_path):
    source, folder = other
    state = source.state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'joint.pth')
    bare = {k.removeprefix('backbone.'): v for k, v in state.items() if k.startswith('backbone.')}
    torch.save(bare, tmp_path / 'bare.pth')
    assert started(copy.deepcopy(model), dict(seg=f'{tmp_path}/joint.pth')) == {
        'backbone',
        'tasks.seg',
    }
    assert started(copy.deepcopy(model), f'{tmp_path}/bare.pth') == {'backbone'}
    assert started(model, dict(backbone=f'{tmp_path}/bare.pth')) == {'backbone'}
    assert same(model, source, 'backbone')
    state = {k: v for k, v in state.items() if not k.startswith('tasks.cls.')}
    torch.save(dict(state_dict=state), tmp_path / 'two.pth')
    with pytest.raises(CheckpointError, match=r"tasks \['det', 'seg'\], of which none is 'cls'"):
        started(model, dict(cls=f'{tmp_path}/two.pth'))


def test_what_does_not_fit_is_refused(model, other, tmp_path):
    _, folder = other
    torch.save({'backbone.layer.weight': torch.zeros(3)}, tmp_path / 'odd.pth')
    with pytest.raises(ConfigError, match=r'load_from\.backbone=.*none of its 1 tensors of a back'):
        started(model, dict(backbone=f'{tmp_path}/odd.pth'))
    with pytest.raises(CheckpointError, match=r'load_from\.det=.*has nothing for the task'):
        started(model, dict(cls=f'{folder}/cls.pth', det=f'{tmp_path}/odd.pth'))
    with pytest.raises(CheckpointError, match='no such checkpoint file'):
        started(model, dict(det=f'{tmp_path}/none.pth'))


def test_heads_of_another_backbone_are_loaded_and_it_is_said(model, other, tmp_path, log):
    source, _ = other
    state = upstream(source.state_dict(), 'det')
    state = {k.replace('backbone.', 'backbone.layers.'): v for k, v in state.items()}
    torch.save(dict(state_dict=state), tmp_path / 'other.pth')
    assert started(model, dict(det=f'{tmp_path}/other.pth')) == {'tasks.det'}
    assert same(model, source, 'tasks.det')
    assert lines(log, logging.WARNING)[0] == (
        'load_from: backbone keeps its initial weights; no checkpoint has one that fits'
    )


@pytest.mark.parametrize(
    'value, says',
    [
        (3, 'load_from is 3; give a checkpoint, or'),
        ({}, 'load_from is {}; give'),
        (dict(dett='a.pth'), r"load_from names \['dett'\]; name 'backbone' or some of"),
        (dict(det='a.pth', backbone='seg'), r"load_from\.backbone is 'seg', a task whose checkp"),
        (dict(det=None), r'load_from\.det is None; give the path, the URL'),
    ],
)
def test_a_load_from_of_another_form_is_refused(toy_cfg, value, says):
    toy_cfg.load_from = value
    with pytest.raises(ConfigError, match=says):
        check_config(toy_cfg)


def test_only_one_checkpoint_is_resumed(toy_cfg):
    toy_cfg.load_from, toy_cfg.resume = dict(det='a.pth'), True
    with pytest.raises(ConfigError, match='resume is True and load_from is .*name it with --res'):
        check_config(toy_cfg)
    toy_cfg.resume = 'auto'
    check_config(toy_cfg)


class Named(Dataset):
    def __init__(self, *classes):
        self.metainfo = dict(classes=classes)


def test_rows_by_name_and_by_shape(model, other, tmp_path, log):
    """Of upstream checkpoints in each of the places where they tell names."""
    source, folder = other
    state = upstream(source.state_dict(), 'seg')
    names = ['car', 'sky', 'road', 'a', 'b', 'c', 'd', 'e', 'f']
    last = 'decode_head.conv_seg'
    state[f'{last}.weight'] = torch.arange(9.0).reshape(9, 1, 1, 1).expand(9, 32, 1, 1).clone()
    state[f'{last}.bias'] = torch.arange(9.0)
    ours = ('road', 'fog', 'sky', 'car', 'hill', 'c', 'tree')
    before = model.tasks['seg'].decode_head.conv_seg.bias.detach().clone()
    for number, meta in enumerate(
        [
            dict(dataset_meta=dict(classes=names)),
            dict(dataset_meta=dict(CLASSES=tuple(names))),
            dict(CLASSES=names),
        ]
    ):
        torch.save(dict(state_dict=state, meta=meta), tmp_path / f'{number}.pth')
        net = copy.deepcopy(model)
        data = dict(seg=('train_dataloader.seg', Named(*ours)))
        load_start(net, dict(seg=f'{tmp_path}/{number}.pth'), data)
        found = net.state_dict()[f'tasks.seg.{last}.bias']
        expected = torch.tensor([2, before[1], 1, 0, before[4], 5, before[6]])
        assert torch.equal(found, expected)
    (line,) = [text for text in lines(log, logging.WARNING) if 'by name' in text][:1]
    assert 'it has rows of the head for 4 of 7, and fog, hill, tree begin anew' in line
    torch.save(dict(state_dict=state), tmp_path / 'unnamed.pth')
    log.clear()
    load_start(model, dict(seg=f'{tmp_path}/unnamed.pth'), data)
    assert torch.equal(model.tasks['seg'].decode_head.conv_seg.bias, before)
    assert '2 of another shape: tasks.seg.decode_head.conv_seg.bias ((9,) instead of (7,))' in str(
        lines(log, logging.WARNING)
    )
    assert metainfo_of(dict(meta='?', state_dict={})) == {}


@pytest.mark.parametrize(
    'ours, theirs, boxes, expected',
    [
        ((3, 3), (2, 2), False, [(0, 1), (2, 0)]),
        ((3, 4), (2, 3), False, [(0, 1), (2, 0), (3, 2)]),  # background
        ((3, 6), (2, 4), False, [(0, 1), (2, 0), (3, 3), (5, 2)]),  # two anchors
        ((3, 12), (2, 8), True, [(0, 4), (1, 5), (2, 6), (3, 7), (8, 0), (9, 1), (10, 2), (11, 3)]),
        ((1, 2), (80, 81), False, [(0, 5), (1, 80)]),
        ((3, 5), (2, 2), False, None),
        ((3, 4), (2, 4), True, None),  # boxes of no class
    ],
)
def test_rows_of_classes(ours, theirs, boxes, expected):
    pairs = [(0, 5)] if theirs[0] == 80 else [(0, 1), (2, 0)]
    found = _rows(pairs, ours, theirs, boxes)
    assert (None if found is None else [*map(tuple, found.tolist())]) == expected


def test_frozen_parts_need_their_checkpoint(other, tmp_path):
    source, folder = other
    cfg = tiny(tmp_path / 'work')
    cfg.model.frozen = ('backbone', 'det')
    model = build_model(cfg)
    assert started(model, dict(det=f'{folder}/det.pth')) == {'backbone', 'tasks.det'}
    with pytest.raises(CheckpointError, match=r"lacks all weights of the tasks \['det'\]; give lo"):
        started(model, dict(seg=f'{folder}/seg.pth'))


def sharded_start(folder, cfg):
    from torch.distributed.tensor import DTensor

    from allinone.models.fsdp import AllInOneFSDP

    model = AllInOneFSDP(build_model(cfg)).module
    assert isinstance(model.tasks['seg'].decode_head.conv_seg.weight, DTensor)
    data = dict(seg=('train_dataloader.seg', Named(*'abcdefg')))
    load_start(model, dict(det=f'{folder}/det.pth', seg=f'{folder}/named.pth'), data, lazily=True)
    return {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).detach().numpy()
        for name, value in model.state_dict().items()
        if 'conv_seg' in name or 'conv_cls' in name or 'backbone.conv1' in name
    }


def test_sharded_models_get_the_same(other, tmp_path):
    source, folder = other
    state = upstream(source.state_dict(), 'seg')
    torch.save(dict(state_dict=state, meta=dict(CLASSES=list('gfedcba'))), folder / 'named.pth')
    cfg = tiny(tmp_path / 'work')
    with joined(lambda rank: sharded_start(folder, cfg), tmp_path) as (_, answers):
        found = answers()
    for answer in found:
        assert len(answer) > 4
        for name, value in answer.items():
            expected = source.state_dict()[name].numpy()
            assert (value == (expected[::-1] if 'conv_seg' in name else expected)).all(), name


def official(library, path, folder, **meta):
    """A checkpoint with random weights in a library's own form: its config, file and weights."""
    configs = Path(find_spec(library).origin).parent / '.mim/configs'
    cfg = Config.fromfile(configs / path)
    cfg.model.backbone.pop('init_cfg', None)
    with DefaultScope.overwrite_default_scope(library):
        net = MODELS.build(copy.deepcopy(cfg.model))
    state = net.state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.uniform_(0.01, 0.02)
    torch.save(dict(state_dict=state, meta=meta), folder / f'{library}.pth')
    return cfg.model, folder / f'{library}.pth', state


def in_scope(library, cfg):
    return ConfigDict(cfg, type=f'{library}.{cfg.type}')


def test_official_checkpoints_of_two_libraries_start_two_tasks(toy_root, tmp_path, capsys):
    """RTMDet with 80 classes and SegFormer with 150, of which some have the names of the data."""
    coco = ['person', 'vehicle', 'dog', 'sign', *(f'c{i}' for i in range(76))]
    ade = [*(f'a{i}' for i in range(140)), 'tree', 'sky', *(f'b{i}' for i in range(8))]
    rtmdet, det_file, det_state = official(
        'mmdet',
        'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        tmp_path,
        dataset_meta=dict(classes=tuple(coco), palette=[(0, 0, 0)]),
    )
    segformer, seg_file, seg_state = official(
        'mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', tmp_path, CLASSES=ade
    )
    cfg = tiny(tmp_path / 'work', experiment_name=tmp_path.name, **{'train_cfg.val_interval': 9})
    cfg.train_cfg.update(max_iters=1, dry_run=False)
    cfg.optim_wrapper.optimizer.lr = 1e-12  # What is saved is what was loaded.
    cfg.optim_wrapper.optimizer.weight_decay = 0.0
    cfg.optim_wrapper.pop('paramwise_cfg')
    cfg.model.backbone = in_scope('mmseg', segformer.backbone)
    for key in ('backbone', 'data_preprocessor'):
        rtmdet.pop(key), segformer.pop(key)
    segformer.pop('pretrained')
    for norm in (rtmdet.neck.norm_cfg, rtmdet.bbox_head.norm_cfg, segformer.decode_head.norm_cfg):
        norm.type = 'BN'
    rtmdet.neck.in_channels = [64, 160, 256]  # of SegFormer's backbone
    rtmdet.bbox_head.num_classes = 3
    segformer.decode_head.num_classes = 7
    cfg.model.tasks = dict(
        det=dict(in_scope('mmdet', rtmdet), feature_indices=(1, 2, 3)),
        seg=dict(
            in_scope('mmseg', segformer),
            data_preprocessor=dict(size_divisor=32, pad_val=0, seg_pad_val=255),
        ),
    )
    for stage in ('train', 'val', 'test'):
        for key in ('dataloader', 'evaluator'):
            if f'{stage}_{key}' in cfg:
                cfg[f'{stage}_{key}'].pop('cls', None)
        cfg[f'{stage}_cfg'].pop('score', None)
    cfg.default_hooks.checkpoint.pop('save_best')
    cfg.load_from = dict(det=str(det_file), seg=str(seg_file))
    assert run_tool('train', write_config(cfg, tmp_path / 'config.py')) == 0
    out = capsys.readouterr().out
    saved = read_checkpoint(tmp_path / 'work/iter_1.pth')['state_dict']
    counts = dict.fromkeys(('backbone', 'det', 'seg'), 0)
    rows = {'bbox_head.rtm_cls': [1, None, 3], 'decode_head.conv_seg': [141, *[None] * 3, 140]}
    for name, value in saved.items():
        part = name.split('.')[1 if name.startswith('tasks.') else 0]
        theirs = name.removeprefix(f'tasks.{part}.')
        given = (det_state if part == 'det' else seg_state).get(theirs)
        if 'num_batches' in name or 'running_' in name or given is None:
            continue  # A step changes statistics.
        layer = '.'.join(theirs.split('.')[:2])
        if layer in rows:
            for row, origin in enumerate(rows[layer]):
                equal = origin is not None and torch.allclose(
                    value[row], given[origin], rtol=0, atol=1e-9
                )
                assert equal == (origin is not None), (name, row)
        elif given.shape == value.shape:
            torch.testing.assert_close(value, given, rtol=0, atol=1e-9)
            counts[part] += 1
        else:
            assert theirs.startswith('neck.'), name
    assert counts['backbone'] > 150 and counts['det'] > 40 and counts['seg'] > 10, counts
    assert f'load_from: the backbone is that of {seg_file}; {det_file} has one of another' in out
    assert re.search(rf'load_from: backbone has (\d+) of \1 tensors of {seg_file}', out)
    assert re.search(rf'load_from: task seg has (\d+) of \1 tensors of {seg_file}', out)
    assert re.search(
        rf'load_from: task det has \d+ of \d+ tensors of {det_file}; \d+ of another shape', out
    )
    assert re.search(r'by name it has rows of the head for 2 of 3, and pedestrian begin anew', out)


def test_a_pretrained_classifier_starts_the_average_too_and_the_run_resumes(
    toy_root, tmp_path, capsys
):
    names = [*(f'x{i}' for i in range(998)), 'dusk_quiet', 'day_busy']
    mobilenet, file, given = official(
        'mmpretrain', 'mobilenet_v2/mobilenet-v2_8xb32_in1k.py', tmp_path, CLASSES=names
    )
    cfg = classification(tmp_path / 'work', **{'train_cfg.max_iters': 1})
    cfg.train_cfg.dry_run = False
    cfg.optim_wrapper.optimizer.update(lr=1e-12, weight_decay=0.0)
    cfg.model.backbone = in_scope('mmpretrain', mobilenet.pop('backbone'))
    mobilenet.head.num_classes, mobilenet.head.topk = 8, (1,)
    cfg.model.tasks.cls = in_scope('mmpretrain', mobilenet)
    cfg.custom_hooks = [dict(type='EMAHook')]
    cfg.load_from = str(file)  # The only task that it fits
    config = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('train', config) == 0
    out = capsys.readouterr().out
    assert re.search(rf'load_from: backbone has (\d+) of \1 tensors of {file}', out)
    assert 'by name it has rows of the head for 2 of 8' in out
    saved = read_checkpoint(tmp_path / 'work/iter_1.pth')
    average = {k.removeprefix('module.'): v for k, v in saved['ema_state_dict'].items()}
    for state in (saved['state_dict'], average):
        head = state['tasks.cls.head.fc.weight'], given['head.fc.weight']
        for row, origin in ((1, 999), (4, 998)):  # day_busy and dusk_quiet
            torch.testing.assert_close(head[0][row], head[1][origin], rtol=0, atol=1e-9)
        assert not torch.allclose(head[0][0], head[1][0], rtol=0, atol=1e-3)
        for name, value in given.items():
            if name.startswith('backbone.') and name.endswith('.weight'):
                torch.testing.assert_close(state[name], value, rtol=0, atol=1e-9)
    cfg.load_from = dict(cls='moved/elsewhere.pth')
    cfg.train_cfg.max_iters = 2
    config = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('train', config, '--resume') == 0
    assert (tmp_path / 'work/iter_2.pth').exists()
    cfg.train_cfg.max_iters = 3
    config = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('train', config, '--resume', tmp_path / 'work/iter_2.pth') == 0
    assert 'elsewhere' not in capsys.readouterr().err
