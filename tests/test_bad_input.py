"""Whatever the user got wrong is one sentence at the start, with nothing half-written."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, TOY_CONFIG, build_model, literal, tiny
from mmengine.registry import DefaultScope
from PIL import Image

from allinone.apis.run import run
from allinone.cli.programs import demo
from allinone.cli.programs.class_weights import print_class_weights
from allinone.cli.programs.demo import run_demo
from allinone.config.loading import load_config
from allinone.data.loaders import TaskLoaders, build_loader
from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.evaluation.score import combined_score
from allinone.io.outputs import require_writable
from allinone.registry import RUNNERS
from allinone.training.api import train
from allinone.training.signals import Stopped

NUM_CLASSES = dict(cls=8, det=3, seg=7)


@pytest.fixture
def toy(toy_root, tmp_path, monkeypatch):
    """A copy of the toy data to break."""
    shutil.copytree(toy_root / 'toy', tmp_path / 'data/toy')
    monkeypatch.setenv('ALLINONE_DATA', str(tmp_path / 'data'))
    return tmp_path / 'data/toy'


@pytest.fixture
def cfg(toy, tmp_path):
    # mmengine keeps one message hub and log a name; the default name changes once a second.
    return tiny(tmp_path / 'work', experiment_name=tmp_path.name)


def write(cfg, path):
    path.write_text(literal(cfg))
    return str(path)


@pytest.fixture
def start(cfg, tmp_path, capsys):
    """Run the program on ``cfg``: its exit status and what it wrote to stdout and stderr."""

    def started():
        status = run(
            'train',
            argparse.Namespace(
                config=write(cfg, tmp_path / 'config.py'),
                work_dir=None,
                resume=None,
                amp=False,
                seed=None,
                cfg_options=None,
                launcher='none',
            ),
        )
        return status, *capsys.readouterr()

    return started


@pytest.fixture
def refused(start, tmp_path):
    """The one sentence with which the program refuses ``cfg``."""

    def sentence():
        status, _, error = start()
        assert status == 2
        assert error.startswith('error: ') and error.count('\n') == 1, error
        assert not list(tmp_path.rglob('*.pth'))
        return error.removeprefix('error: ').strip()

    return sentence


def only(cfg, *tasks, validate=False):
    """Leave the other tasks out."""
    for stage in ('train', 'val', 'test'):
        for key in ('dataloader', 'evaluator'):
            if f'{stage}_{key}' in cfg:
                cfg[f'{stage}_{key}'] = {t: cfg[f'{stage}_{key}'][t] for t in tasks}
        if 'score' in cfg[f'{stage}_cfg']:
            del cfg[f'{stage}_cfg'].score
    cfg.model.tasks = {task: cfg.model.tasks[task] for task in tasks}
    cfg.default_hooks.checkpoint.pop('save_best')
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None


def load(cfg, task, stage='train'):
    key = f'{stage}_dataloader'
    with DefaultScope.overwrite_default_scope('allinone'):
        return build_loader(
            f'{key}.{task}', task, cfg[key][task], 0, NUM_CLASSES[task], stage == 'train', True
        )


def data_error(cfg, task, stage='train', kind=DataError):
    """The message of building a loader, which begins with its config key."""
    with pytest.raises(kind) as error:
        load(cfg, task, stage)
    text = str(error.value)
    assert text.startswith(f'{stage}_dataloader.{task}') and '\n' not in text
    return text


def model_error(cfg):
    with pytest.raises(ConfigError) as error:
        build_model(cfg)
    assert '\n' not in str(error.value)
    return str(error.value)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# 1


@pytest.mark.parametrize(
    'task, missing',
    [('cls', 'cls/train.txt'), ('det', 'det/train.json'), ('seg', 'seg/images/train')],
)
def test_a_missing_data_root_is_named(cfg, toy, task, missing):
    shutil.rmtree(toy)
    assert re.search(
        rf'^train_dataloader.{task}.dataset: {toy / missing}\S* cannot be read: No such file or '
        rf'directory; there is no data set {toy}: make it with: python tools/make_toy_data.py',
        data_error(cfg, task),
    )


def test_the_program_refuses_a_missing_data_root(toy, refused):
    shutil.rmtree(toy)
    sentence = refused()
    assert str(toy / 'cls/train.txt') in sentence
    assert 'ALLINONE_DATA' in sentence and 'tools/make_toy_data.py' in sentence


@pytest.mark.parametrize('task, missing', [('cls', 'train.txt'), ('det', 'train.json')])
def test_a_missing_annotation_file_is_named(cfg, toy, task, missing):
    (toy / task / missing).unlink()
    assert f'{toy / task / missing} cannot be read: No such file' in data_error(cfg, task)


def test_a_damaged_annotation_file_is_named(cfg, toy):
    path = toy / 'det/train.json'
    path.write_text(path.read_text()[:500])
    assert f"the annotation file is damaged (ann_file='{path}'" in data_error(cfg, 'det')
    (toy / 'cls/train.txt').write_bytes(b'\xff\xfe\x00 1')
    assert f"ann_file='{toy}/cls/train.txt'" in data_error(cfg, 'cls')


def drop(key, of):
    return lambda content: content[of][0].pop(key)


@pytest.mark.parametrize(
    'change, says',
    [
        (lambda content: content.pop('categories'), "KeyError: 'categories'"),
        (drop('bbox', 'annotations'), "KeyError: 'bbox'"),
        (drop('file_name', 'images'), "KeyError: 'file_name'"),
        (lambda content: content['annotations'][0].update(bbox=['1', 2, 3, 4]), 'TypeError: '),
    ],
)
def test_a_damaged_coco_file_is_named(cfg, toy, change, says):
    edit(toy / 'det/train.json', change)
    text = data_error(cfg, 'det')
    assert f"the data set cannot be read with ann_file='{toy}/det/train.json'" in text
    assert says in text and text.endswith('; mend the annotations, or these keys')


def test_a_box_that_is_no_number_is_named(cfg, toy):
    path = toy / 'det/train.json'
    edit(
        path,
        lambda content: content['annotations'][0].update(id=7777, bbox=[float('nan'), 1, 9, 9]),
    )
    assert f'{path}: the box with id 7777 has bbox [nan, 1, 9, 9]; give numbers' in data_error(
        cfg, 'det'
    )


def test_two_coco_pictures_with_one_id_are_named(cfg, toy):
    path = toy / 'det/train.json'
    edit(path, lambda content: content['images'][1].update(id=content['images'][0]['id']))
    assert f'{path}: 2 pictures have the id 1; give each its own' in data_error(cfg, 'det')


@pytest.mark.parametrize('task, folder', [('cls', 'cls/train'), ('seg', 'seg/label/train')])
def test_a_missing_folder_is_named(cfg, toy, task, folder):
    shutil.rmtree(toy / folder)
    assert f'the folder {toy}/{folder} does not exist; check data_root' in data_error(cfg, task)


# 2


def test_the_program_refuses_a_line_without_a_label(toy, refused):
    with open(toy / 'cls/train.txt', 'a') as file:
        file.write('00017.png\n')
    assert f"{toy}/cls/train.txt, line 17 is '00017.png'" in refused()


# 3


def test_a_class_number_outside_the_head(cfg, toy):
    path = toy / 'cls/train.txt'
    path.write_text(path.read_text().replace('00003.png 2', '00003.png 8'))
    text = data_error(cfg, 'cls')
    assert f'{toy}/cls/train/00003.png has label 8' in text and 'num_classes=8' in text


def test_the_program_checks_the_validation_set_before_training(toy, cfg, refused):
    """A label pixel outside the head."""
    only(cfg, 'seg', validate=True)
    path = toy / 'seg/label/val/00002.png'
    pixels = np.asarray(Image.open(path)).copy()
    pixels[5, 7] = 7
    Image.fromarray(pixels).save(path)
    text = refused()
    assert f'val_dataloader.seg.dataset: {path} has label 7' in text and 'num_classes=7' in text


def test_a_category_that_the_file_does_not_have(cfg, toy):
    path = toy / 'det/train.json'
    edit(path, lambda content: content['annotations'][0].update(category_id=11))
    assert f'{path}: 1 boxes have category_id 11' in data_error(cfg, 'det')


def test_categories_that_are_not_the_classes(cfg, toy):
    path = toy / 'det/train.json'
    edit(path, lambda content: content['categories'][1].update(name='person'))
    text = data_error(cfg, 'det')
    assert f'metainfo.classes has pedestrian, which {path} does not have' in text
    assert "['vehicle', 'person', 'sign']" in text


def test_classes_that_are_not_the_heads(cfg):
    cfg.train_dataloader.det.dataset.metainfo.classes = ('vehicle', 'pedestrian')
    text = data_error(cfg, 'det')
    assert 'metainfo.classes has 2 names' in text and 'num_classes=3' in text


# 4


def test_a_coco_file_with_a_picture_missing(cfg, toy):
    (toy / 'det/train/00004.jpg').unlink()
    assert f'1 of 16 files are missing in {toy}/det/train: 00004.jpg' in data_error(cfg, 'det')


# 5


def test_a_label_map_of_another_size(cfg, toy):
    path = toy / 'seg/label/train/00003.png'
    Image.open(path).resize((128, 96), Image.Resampling.NEAREST).save(path)
    text = data_error(cfg, 'seg')
    assert f'{path} is 128 x 96' in text
    assert f'{toy}/seg/images/train/00003.jpg is 256 x 192' in text


def test_a_picture_without_a_label_map(cfg, toy):
    (toy / 'seg/label/train/00003.png').unlink()
    assert f'1 of 16 files are missing in {toy}/seg/label/train: 00003.png' in data_error(
        cfg, 'seg'
    )


def test_a_label_map_without_a_picture(cfg, toy):
    (toy / 'seg/images/train/00003.jpg').unlink()
    text = data_error(cfg, 'seg')
    assert f'1 label maps in {toy}/seg/label/train have no .jpg picture' in text
    assert '00003.png' in text


# 6


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def no_picture(path):
    path.write_text('<html>404</html>')


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize(
    'task, name, spoil, says',
    [
        ('det', 'det/train/00005.jpg', cut, 'is truncated'),
        ('seg', 'seg/images/train/00005.jpg', no_picture, 'is not a readable picture'),
        ('cls', 'cls/train/00005.png', cut, 'is truncated'),
    ],
)
def test_a_broken_picture_met_in_training_is_named(cfg, toy, workers, task, name, spoil, says):
    spoil(toy / name)
    cfg.train_dataloader[task].update(num_workers=workers, batch_size=16)
    with pytest.raises(DataError) as error:
        TaskLoaders({task: load(cfg, task)}).next(task)
    assert str(error.value).startswith(f'task {task}: {toy / name} {says}')
    assert str(error.value).endswith(f'train_dataloader.{task}.skip_corrupt=True')
    assert '\n' not in str(error.value)


def test_a_broken_picture_met_in_validation_by_a_worker_is_named(cfg, toy):
    cut(toy / 'det/val/00005.jpg')
    cfg.val_dataloader.det.num_workers = 1
    says = rf'^task det: {toy}/det/val/00005.jpg is truncated \(\d+ bytes\); repair or remove the file$'
    with pytest.raises(DataError, match=says):
        list(TaskLoaders({'det': load(cfg, 'det', 'val')}))


def test_a_broken_label_map_is_found_at_the_start(cfg, toy):
    cut(toy / 'seg/label/train/00005.png')
    assert f'{toy}/seg/label/train/00005.png is not a readable label map' in data_error(cfg, 'seg')


def test_the_tool_stops_with_one_sentence_for_a_workers_broken_picture(cfg, toy, tmp_path):
    only(cfg, 'det')
    cut(toy / 'det/train/00005.jpg')
    cfg.train_dataloader.det.update(num_workers=1, batch_size=8)
    done = subprocess.run(
        [sys.executable, 'tools/train.py', write(cfg, tmp_path / 'config.py')],
        cwd=ROOT,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert 'Traceback' not in done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert errors == done.stderr.splitlines()[-1:]
    assert errors[0].startswith(f'error: task det: {toy}/det/train/00005.jpg is truncated')
    assert not list(tmp_path.rglob('*.pth'))


@pytest.mark.parametrize('broken', [1, 2])
def test_skip_corrupt_trains_on_up_to_one_percent(cfg, toy, start, tmp_path, broken):
    only(cfg, 'cls')
    for number in range(1, broken + 1):
        no_picture(toy / f'cls/train/{number:05}.png')
    cfg.train_dataloader.cls.update(skip_corrupt=True, num_workers=broken - 1)
    cfg.default_hooks.checkpoint.interval = 4
    status, out, error = start()
    first = f'task cls: skipped (1 so far): {toy}/cls/train/0000'
    if broken == 1:  # of 16: one is allowed however small the set
        assert status == 0 and out.count(first) == 1 and 'skipped (2' not in out
        assert (tmp_path / 'work/iter_4.pth').is_file()
    else:
        assert status == 2 and not list(tmp_path.rglob('*.pth'))
        assert 'task cls: 2 of 16 pictures cannot be read, more than the 1 %' in error
        assert error.count('\n') == 1


def test_workers_count_skipped_pictures_together(cfg, toy, capfd):
    cut(toy / 'cls/train/00001.png')
    cfg.train_dataloader.cls.update(skip_corrupt=True, num_workers=2, batch_size=1)
    loaders = TaskLoaders({'cls': load(cfg, 'cls')})
    for _ in range(3 * 16):  # Each worker draws the broken one.
        loaders.next('cls')
    loaders.close()
    assert ''.join(capfd.readouterr()).count('task cls: skipped') == 1
    assert int(loaders.loaders['cls'].dataset.corrupt.sum()) == 1


def test_skip_corrupt_is_for_training(cfg):
    cfg.val_dataloader.cls.skip_corrupt = True
    assert 'val_dataloader.cls.skip_corrupt=True' in data_error(cfg, 'cls', 'val', ConfigError)


# 7


def test_an_empty_data_set(cfg, toy):
    (toy / 'cls/train.txt').write_text('\n')
    empty = 'the data set is empty; check its files and filter_cfg'
    assert f"{empty} (ann_file='{toy}/cls/train.txt'" in data_error(cfg, 'cls')
    for folder in ('images', 'label'):
        shutil.rmtree(toy / 'seg' / folder / 'train')
        (toy / 'seg' / folder / 'train').mkdir()
    text = data_error(cfg, 'seg')
    assert empty in text and f'{toy}/seg/images/train' in text
    cfg.train_dataloader.det.dataset.filter_cfg = dict(min_size=1000)
    assert empty in data_error(cfg, 'det')
    edit(toy / 'det/val.json', lambda content: content.update(images=[], annotations=[]))
    assert f"'{toy}/det/val.json'" in data_error(cfg, 'det', 'val')


# 8 and 11


def without(key):
    def change(cfg):
        *path, last = key.split('.')
        for name in path:
            cfg = cfg[name]
        cfg.pop(last)

    return change


def put(key, value):
    return lambda cfg: cfg.merge_from_dict({key: value})


SEG = dict(batch_size=1)


@pytest.mark.parametrize(
    'change, says',
    [
        (
            put('train_dataloader.depth', SEG),
            "train_dataloader has ['depth'], which model.tasks does not have (['cls', 'det', 'seg'])",
        ),
        (
            put('val_dataloader.depth', SEG),
            "val_dataloader has ['depth'], which model.tasks does not",
        ),
        (
            put('val_evaluator.depth', SEG),
            "val_evaluator has ['depth'], which model.tasks does not",
        ),
        (without('train_dataloader.seg'), "model.tasks has ['seg'], but train_dataloader does not"),
        (
            without('model.tasks.seg'),
            "train_dataloader has ['seg'], which model.tasks does not have",
        ),
        (without('val_evaluator.seg'), "val_dataloader has ['seg'], but val_evaluator does not"),
        (without('val_dataloader.seg'), "val_evaluator has ['seg'], but val_dataloader does not"),
        (without('val_evaluator'), 'the config has val_dataloader, val_cfg but not val_evaluator'),
        (
            put('train_dataloader.cls', 8),
            'train_dataloader.cls is 8; give the config of a dataloader',
        ),
        (put('balncer', dict(type='FixedWeights')), "has 'balncer'; do you mean 'model.balancer'?"),
        (
            put('balancer', dict(type='FixedWeights')),
            "has 'balancer' at the top, where nothing reads it; move it to model.balancer",
        ),
        (put('train_datalaoder', {}), "has 'train_datalaoder'; do you mean 'train_dataloader'?"),
        (put('train_cfg.max_iter', 5), "train_cfg has no key 'max_iter'; do you mean 'max_iters'?"),
        (
            put('train_cfg.val_intervall', 5),
            "train_cfg has no key 'val_intervall'; do you mean 'val_",
        ),
        (
            put('custom_hooks', [dict(type='EMAHook', begin_iter=5)]),
            'custom_hooks.0.begin_iter is 5, but training ends at train_cfg.max_iters=4; begin',
        ),
        (
            put('custom_hooks', [dict(type='EMAHook', begin_epoch=2)]),
            'custom_hooks.0.begin_epoch is 2, but training counts steps, not epochs; give begin_',
        ),
        (
            put('custom_hooks', [dict(type='EMAHook', begin_iter='5')]),
            "custom_hooks.0.begin_iter is '5'; give a whole number of at least 0",
        ),
        (put('val_cfg.scores', {}), "val_cfg has no key 'scores'; do you mean 'score'?"),
        (put('train_cfg.type', 'MultiTaskLoop'), "train_cfg.type is 'MultiTaskLoop'"),
        (without('train_cfg.type'), "train_cfg has no type; use 'MultiTaskTrainLoop'"),
        (
            put('train_dataloader.det.batchsize', 4),
            "train_dataloader.det has no key 'batchsize'; do you mean 'batch_size'?",
        ),
        (
            put('val_dataloader.det.zzz', 4),
            "val_dataloader.det has no key 'zzz'; its keys are ['bat",
        ),
        (
            put('train_cfg.schedule.type', 'RoundRobbin'),
            "train_cfg.schedule.type is 'RoundRobbin'; the choices are ['",
        ),
        (
            put('train_cfg.schedule', dict(_delete_=True, kind='EveryTask')),
            'train_cfg.schedule.type is None',
        ),
        (put('model.tasks', None), 'model.tasks is None; give {name: model config}'),
        (put('model', 'AllInOne'), "model is 'AllInOne'; give dict(type='AllInOne', ...)"),
        (put('train_cfg.max_iters', 0), 'train_cfg.max_iters is 0; give a whole number of at'),
        (put('train_cfg.max_iters', 'x'), "train_cfg.max_iters is 'x'; give a whole number of at"),
        (put('train_cfg.val_interval', 0), 'train_cfg.val_interval is 0; give a whole number'),
        (
            put('optim_wrapper.optimizer.type', 'AdmW'),
            "optim_wrapper.optimizer.type is 'AdmW', which is no optimizer; do you mean 'AdamW'?",
        ),
        (put('optim_wrapper.optimizer.lr', '1e-x'), "optim_wrapper.optimizer.lr is '1e-x'; give a"),
        (put('optim_wrapper.optimizer', None), 'optim_wrapper.optimizer is None; give dict(type'),
        (
            put('optim_wrapper.clip_grad.maxnorm', 1),
            "optim_wrapper.clip_grad has no key 'maxnorm'; do you mean 'max_norm'?",
        ),
        (
            put('optim_wrapper.clip_grad.type', 'nrom'),
            "optim_wrapper.clip_grad.type is 'nrom'; the choices are ['norm', 'value']",
        ),
        (
            put('optim_wrapper.paramwise_cfg.norm_decay_mul', 0),
            "optim_wrapper.paramwise_cfg has no key 'norm_decay_mul'; do you mean 'norm_decay_mult'",
        ),
        (
            put('optim_wrapper.paramwise_cfg.custom_keys', dict(backbone=dict(lr_mul=0.1))),
            "optim_wrapper.paramwise_cfg.custom_keys.backbone has no key 'lr_mul'; do you mean 'lr_m",
        ),
        (
            put('default_hooks.chekpoint', dict(type='CheckpointHook')),
            "default_hooks has 'chekpoint'; do you mean 'checkpoint'?",
        ),
        (
            put('default_hooks.checkpoint.intervall', 5),
            "default_hooks.checkpoint has no key 'intervall'; do you mean 'interval'?",
        ),
        (
            put('optim_wrapper.paramwise_cfg.norm_decay_mult', 'no'),
            "optim_wrapper.paramwise_cfg.norm_decay_mult is 'no'; give a number of at least 0",
        ),
        (
            put('optim_wrapper.paramwise_cfg.custom_keys', dict(backbone=dict(lr_mult='x'))),
            "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult is 'x'; give a number of",
        ),
        (
            put('model.tasks.det.test_cfg.score_thrr', 0.1),
            "model.tasks.det.test_cfg has no key 'score_thrr'; do you mean 'score_thr'?",
        ),
        (
            put('model.tasks.det.test_cfg.nms.iou_treshold', 0.1),
            "model.tasks.det.test_cfg.nms has no key 'iou_treshold'; do you mean 'iou_threshold'?",
        ),
        (
            put('model.tasks.det.test_cfg.nms.type', 'nmms'),
            "model.tasks.det.test_cfg.nms.type is 'nmms', which mmcv does not have; use 'nms' or",
        ),
        (put('randomness.sed', 1), "randomness has no key 'sed'; do you mean 'seed'?"),
        (put('randomness.seed', 'abc'), "randomness.seed is 'abc'; give a whole number of at"),
        (put('env_cfg.cudnn_benchmrk', True), "env_cfg has no key 'cudnn_benchmrk'; do you mean"),
        (put('log_processor.by_epok', True), "log_processor has no key 'by_epok'; do you mean"),
        (
            put('runner_type', 'MultiDatasetRuner'),
            "runner_type is 'MultiDatasetRuner', which is no runner; use 'MultiDatasetRunner'",
        ),
    ],
)
def test_the_program_refuses_keys_and_tasks_that_do_not_agree(cfg, refused, tmp_path, change, says):
    change(cfg)
    assert says in refused()
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    'change, says',
    [
        (
            put('visualizer.type', 'Visualzer'),
            "^visualizer.type is 'Visualzer', which no visualizer of .*; do you mean 'Visualizer'",
        ),
        (
            put('default_hooks.logger.intervall', 5),
            "^default_hooks.logger has no key 'intervall'; do you mean 'interval'[?]$",
        ),
        (
            put('default_hooks.checkpoint.type', 'ChekpointHook'),
            "^default_hooks.checkpoint.type is 'ChekpointHook', which no hook of .*; do you mean",
        ),
        (
            put('custom_hooks', [dict(type='EMAHook', momentm=1)]),
            "^custom_hooks.0 has no key 'momentm'; check its spelling$",
        ),
        (
            put('optim_wrapper.optimizer.learning_rate', 1),
            "^optim_wrapper.optimizer has no key 'learning_rate'",
        ),
        (
            put('optim_wrapper.clip_grd', 1),
            "^optim_wrapper has no key 'clip_grd'; do you mean 'clip_grad'[?]$",
        ),
        (
            put('optim_wrapper.type', 'OptimWraper'),
            "^optim_wrapper.type is 'OptimWraper', .*; do you mean 'OptimWrapper'[?]$",
        ),
        (
            put('param_scheduler.0.start_facto', 1),
            "^param_scheduler.0 has no key 'start_facto'; do you mean 'start_factor'[?]$",
        ),
        (
            put('param_scheduler.0.type', 'LinearLRR'),
            "^param_scheduler.0.type is 'LinearLRR', .*; do you mean 'LinearLR'[?]$",
        ),
        (
            put('train_cfg.schedule.weigths', 1),
            '^train_cfg.schedule.weigths is 1, but EveryTask has no such option; its options are',
        ),
        (
            put('val_evaluator.cls.type', 'mmpretrain.Acuracy'),
            "^val_evaluator.cls.type is 'mmpretrain.Acuracy', .*; do you mean 'mmpretrain.Accuracy",
        ),
        (
            put('val_evaluator.cls.topkk', 1),
            "^val_evaluator.cls has no key 'topkk'; do you mean 'topk'[?]$",
        ),
        (
            put('default_hooks.checkpoint.save_best', 'cls/top2'),
            r"^default_hooks.checkpoint.save_best names 'cls/top2', but val_evaluator.cls gives "
            r"\['top1', 'top5'\]$",
        ),
        (
            put('default_hooks.checkpoint.save_best', 'score'),
            "^default_hooks.checkpoint.save_best is 'score', but val_cfg has no score; give its",
        ),
    ],
)
def test_the_program_names_the_place_of_a_misspelt_key_or_type(cfg, refused, change, says):
    only(cfg, 'cls', validate=True)
    change(cfg)
    assert re.search(says, refused())


def balanced(**balancer):
    return lambda cfg: cfg.model.update(balancer=balancer)


def scheduled(**schedule):
    return lambda cfg: cfg.train_cfg.update(schedule=schedule)


def follows(metric):
    def change(cfg):
        cfg.val_evaluator.cls = dict(type='mmpretrain.SingleLabelMetric', items=['f1-score'])
        balanced(type='CoBa', metrics={metric: 0.01})(cfg)

    return change


@pytest.mark.parametrize(
    'change, says',
    [
        (
            balanced(type='PCGrd'),
            r"^model.balancer.type is 'PCGrd'; the choices are \['AlignedMTL', .*'UPGrad'",
        ),
        (
            balanced(type='FixedWeights', weights=dict(cls=-1)),
            r'^model\.balancer\.weights.*cls.* is -1; give a number of at least 0',
        ),
        (
            balanced(type='FixedWeights', weights=dict(cls=0)),
            r'^model\.balancer\.weights is .*cls.*0',
        ),
        (
            balanced(type='FixedWeights', weights=dict(depth=1)),
            r"^model\.balancer\.weights is \{'depth': 1\.0\}, but model\.tasks does not have \['depth'\]",
        ),
        (balanced(type='GradNorm', alpha=-1), r'^model\.balancer\.alpha is -1; give a number'),
        (
            balanced(type='DynamicWeightAverage', temperature=0),
            r'^model\.balancer\.temperature is 0; give a number',
        ),
        (
            scheduled(type='Temperature', temperature=0),
            r'^train_cfg\.schedule\.temperature is 0; give a number',
        ),
        (
            balanced(type='CoBa', metrics={'cls/top2': 0.01}),
            r"^model\.balancer\.metrics names 'cls/top2', but val_evaluator\.cls gives .*'top1'",
        ),
        (
            follows('cls/top1'),
            r"^model\.balancer\.metrics names 'cls/top1', but val_evaluator\.cls gives "
            r"\['f1-score'\]$",
        ),
    ],
)
def test_the_program_refuses_what_a_balancer_cannot_be(cfg, refused, change, says):
    only(cfg, 'cls', validate=True)
    change(cfg)
    sentence = refused()
    assert re.search(says, sentence), sentence


def test_the_program_refuses_a_schedule_that_a_method_cannot_follow(cfg, refused):
    balanced(type='PCGrad')(cfg)
    scheduled(type='RoundRobin')(cfg)
    assert "'RoundRobin', one task a step, but model.balancer.type 'PCGrad'" in refused()


def test_a_kpi_that_validation_gives_is_legal(cfg, start):
    only(cfg, 'cls', validate=True)
    follows('cls/f1-score')(cfg)
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    assert start()[0] == 0


def test_save_best_of_a_figure_that_validation_gives_is_legal(cfg, start):
    only(cfg, 'cls', validate=True)
    cfg.default_hooks.checkpoint.save_best = ['cls/top1', 'cls/top5']
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    assert start()[0] == 0


def test_a_launcher_that_did_not_start_the_program(cfg, tmp_path, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    cfg.launcher = 'pytorch'
    with pytest.raises(ConfigError, match="^--launcher is 'pytorch', but RANK is not set"):
        train(cfg)
    assert not (tmp_path / 'work').exists()


def test_a_work_dir_that_cannot_be_made(cfg, refused, tmp_path):
    (tmp_path / 'file').write_text('')
    cfg.work_dir = str(tmp_path / 'file/work')
    assert refused() == (
        f"work_dir is '{tmp_path}/file/work', which cannot be made: Not a directory; give another"
    )


def test_a_refused_run_leaves_an_earlier_ones_checkpoints(cfg, toy, start, tmp_path):
    """Else a typo, mended, and ``--resume`` start from nothing."""
    only(cfg, 'cls')
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'default_hooks.checkpoint.interval': 1})
    assert start()[0] == 0
    (toy / 'cls/train.txt').unlink()
    assert start()[0] == 2
    assert (tmp_path / 'work/iter_1.pth').is_file() and not list(tmp_path.glob('work/earlier_*'))


@pytest.mark.parametrize(
    'option, says',
    [
        (
            'max_iters=3',
            "--cfg-options has 'max_iters', but max_iters is a variable of {config}, used up when "
            'the file is read; set the keys that are made of it',
        ),
        ('zebra.x=1', "--cfg-options has 'zebra.x', which nothing reads; check its spelling"),
        (
            'trian_cfg.max_iters=3',
            "--cfg-options has 'trian_cfg.max_iters', which nothing reads; do you mean 'train_cfg'?",
        ),
        ('train_cfg', "--cfg-options has 'train_cfg'; give KEY=VALUE"),
        (
            'param_scheduler.7.end=1',
            "--cfg-options has 'param_scheduler.7.end', which does not fit {config}: Index 7 exceeds",
        ),
    ],
)
def test_an_option_that_changes_nothing_is_refused(tmp_path, option, says):
    config = tmp_path / 'config.py'
    config.write_text(
        'max_iters = 9\ntrain_cfg = dict(max_iters=max_iters)\nparam_scheduler = []\n'
    )
    with pytest.raises(ConfigError) as error:
        load_config(str(config), [option])
    assert str(error.value).startswith(says.format(config=config))


def test_a_config_that_fails_is_one_sentence(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text('custom_imports = dict(imports=["nowhere_at_all"])\n')
    with pytest.raises(ConfigError) as error:
        load_config(str(config))
    assert str(error.value).startswith(f'{config} cannot be read: ImportError: ')
    assert '\n' not in str(error.value)


def test_known_schedules_are_listed(cfg, refused):
    cfg.train_cfg.schedule.type = 'RoundRobbin'
    assert "'EveryTask'" in refused()


def test_a_configs_own_variables_are_legal(cfg):
    from allinone.config.check import check_config

    cfg.model.balancer = cfg.balancer = dict(type='FixedWeights')
    cfg.max_iters = cfg.classes = cfg.img_size = 4
    check_config(cfg)


def test_the_program_refuses_a_misspelt_key_of_the_model(cfg, refused):
    cfg.model.balncer = dict(type='FixedWeights')
    text = refused()
    assert text == "model has no key 'balncer'; do you mean 'balancer'?"


@pytest.mark.parametrize(
    'change, says',
    [
        (
            put('model.balancer', dict(type='FixdWeights')),
            r"^model.balancer.type is 'FixdWeights'; the choices are \[.*'FixedWeights'",
        ),
        (
            put('model.balancer', dict(type='FixedWeights', weight=[1, 1, 1])),
            r"^model.balancer.weight is \[1, 1, 1\], but FixedWeights has no such option; .*'weights'",
        ),
        (
            put('model.tasks.cls.haed', {}),
            "^model.tasks.cls has no key 'haed'; do you mean 'head'[?]$",
        ),
        (
            put('model.tasks.det.bbox_hed', {}),
            "^model.tasks.det has no key 'bbox_hed'; do you mean 'bbox_head'[?]$",
        ),
        (
            put('model.tasks.det.bbox_head.stacked_conv', 1),
            "^model.tasks.det.bbox_head has no key 'stacked_conv'; do you mean 'stacked_convs'[?]$",
        ),
        (
            put('model.tasks.cls.head.num_clases', 8),
            "^model.tasks.cls.head has no key 'num_clases'; do you mean 'num_classes'[?]$",
        ),
        (
            put('model.tasks.seg.data_preprocessor.size_divsor', 8),
            "^model.tasks.seg.data_preprocessor has no key 'size_divsor'; do you mean 'size_div",
        ),
        (
            put('model.tasks.cls.head.type', 'LinearHead'),
            "^model.tasks.cls.head.type is 'LinearHead', which no model of mmpretrain is; do you mean",
        ),
        (
            put('model.tasks.det.type', 'mmdet.FCSO'),
            "^model.tasks.det.type is 'mmdet.FCSO', which no model of mmdet is; do you mean 'mmdet.FCOS'",
        ),
        (
            put('model.tasks.cls.head.loss.type', 'Zebra'),
            "^model.tasks.cls.head.loss.type is 'Zebra', .*; check its spelling, or import",
        ),
        (
            put('model.backbone.widen_facto', 1),
            "^model.backbone has no key 'widen_facto'; do you mean 'widen_f",
        ),
        (
            put('model.data_preprocessor.maen', [0, 0, 0]),
            "^model.data_preprocessor has no key 'maen'; do you mean 'mean'[?]$",
        ),
        (
            without('model.tasks.cls.head.in_channels'),
            "^model.tasks.cls cannot be built: TypeError: .* argument: 'in_channels'$",
        ),
        (
            put('model.tasks.cls.type', 'ImageClassifier'),
            "^model.tasks.cls.type is 'ImageClassifier'; name the library",
        ),
    ],
)
def test_misspelt_parts_of_the_model_are_named(cfg, change, says):
    change(cfg)
    assert re.search(says, model_error(cfg))


def test_parts_of_the_data_set_are_named(cfg):
    cfg.train_dataloader.cls.dataset.ann_fil = 'train.txt'
    says = "train_dataloader.cls.dataset has no key 'ann_fil'; do you mean 'ann_file'?"
    assert data_error(cfg, 'cls', kind=ConfigError) == says
    del cfg.train_dataloader.cls.dataset['ann_fil']
    cfg.train_dataloader.cls.dataset.pipeline[1].probb = 0.5
    assert data_error(cfg, 'cls', kind=ConfigError).startswith(
        "train_dataloader.cls.dataset.pipeline.1 has no key 'probb'; do you mean 'prob'"
    )
    cfg.train_dataloader.cls.dataset.pipeline[1] = dict(type='RandomFlp')
    assert data_error(cfg, 'cls', kind=ConfigError) == (
        "train_dataloader.cls.dataset.pipeline.1.type is 'RandomFlp', which no transform of "
        "mmpretrain is; do you mean 'RandomFlip'?"
    )
    cfg.train_dataloader.seg.dataset.type = 'mmseg.BaseSegDatset'
    assert data_error(cfg, 'seg', kind=ConfigError) == (
        "train_dataloader.seg.dataset.type is 'mmseg.BaseSegDatset', which no dataset of mmseg is; "
        "do you mean 'mmseg.BaseSegDataset'?"
    )
    cfg.train_dataloader.seg.dataset = dict(
        type='mmseg.BaseSegDataset', pipeline=[dict(type='LoadImagFromFile')]
    )
    assert "pipeline.0.type is 'LoadImagFromFile', which no" in data_error(
        cfg, 'seg', kind=ConfigError
    )
    cfg.train_dataloader.cls = dict(
        batch_size=1, dataset=tiny('unused').train_dataloader.cls.dataset, sampler=dict(type='Draw')
    )
    assert "train_dataloader.cls.sampler.type is 'Draw', which no data sampler" in data_error(
        cfg, 'cls', kind=ConfigError
    )
    del cfg.train_dataloader.det['dataset']
    assert 'train_dataloader.det.dataset is None' in data_error(cfg, 'det', kind=ConfigError)


@pytest.mark.parametrize(
    'option, place, says',
    [
        ('out', 'file/metrics.json', 'but nothing can be written in {root}/file: Not a directory'),
        ('out', '.', 'which is a folder; give the name of a file'),
        ('show_dir', 'file', 'but nothing can be written in {root}/file: Not a directory; give an'),
    ],
)
def test_a_place_where_nothing_can_be_written(tmp_path, capsys, option, place, says):
    (tmp_path / 'file').write_text('')
    args = dict(out=None, show_dir=None, checkpoint='none.pth', tasks=None, cfg_options=None)
    args |= dict(config=str(TOY_CONFIG), work_dir=str(tmp_path / 'work'), launcher='none')
    assert run('test', argparse.Namespace(**args | {option: str(tmp_path / place)})) == 2
    flag = option.replace('_', '-')
    error = capsys.readouterr().err
    assert f"error: --{flag} is '{tmp_path / place}', {says.format(root=tmp_path)}" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file']


def test_a_place_yet_to_be_made_is_left_unmade(tmp_path):
    require_writable('--out', str(tmp_path / 'new/deep/metrics.json'))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'change, says',
    [
        (dict(config='none.py'), 'none.py: no such config file'),
        (dict(data='{root}/file'), "--data is '{root}/file': {root}/file already exists and holds"),
        (dict(work_dir='{root}/file'), "--work-dir is '{root}/file', but nothing can be written"),
    ],
)
def test_the_demo_refuses_before_it_paints(tmp_path, monkeypatch, capsys, change, says):
    monkeypatch.setenv('ALLINONE_DATA', '')
    (tmp_path / 'file').write_text('')
    args = dict(config=str(TOY_CONFIG), data=f'{tmp_path}/toy', work_dir=f'{tmp_path}/work')
    args |= {key: value.format(root=tmp_path) for key, value in change.items()}
    assert run_demo(argparse.Namespace(**args)) == 2
    assert f'error: {says.format(root=tmp_path)}' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file']


def test_a_demo_that_is_stopped(toy, tmp_path, monkeypatch, capsys):
    """``tools/demo.py`` has no ``--resume``, which the training would name."""

    def train(cfg):
        raise Stopped(15, 'SIGTERM: stopped after step 3. Go on with: demo.py --resume')

    monkeypatch.setattr(demo, 'train', train)
    monkeypatch.setattr(demo, 'make_toy_data', lambda *args, **kwargs: None)
    args = dict(config=str(TOY_CONFIG), data=str(toy), work_dir=f'{tmp_path}/work')
    assert run_demo(argparse.Namespace(**args)) == 128 + 15
    assert capsys.readouterr().err.endswith('stopped; the same command begins the demo anew\n')


def test_class_weights_of_labels_outside_the_classes(toy, capsys):
    assert print_class_weights(str(TOY_CONFIG), 'seg') == 0
    for path in (toy / 'seg/label/train').iterdir():
        Image.fromarray(np.full((192, 256), 255, np.uint8)).save(path)
    assert print_class_weights(str(TOY_CONFIG), 'seg') == 2
    assert 'seg.dataset: its label maps have no pixel of any class' in capsys.readouterr().err
    Image.fromarray(np.full((192, 256), 9, np.uint8)).save(path)
    assert print_class_weights(str(TOY_CONFIG), 'seg') == 2
    assert f'{path} has label 9' in capsys.readouterr().err


@pytest.mark.parametrize('stage', ['train', 'val'])
@pytest.mark.parametrize(
    'change, says',
    [
        (
            lambda steps: steps[:-1],
            r"ends with \[.*'img', .*\], but models take 'inputs' and .*; end",
        ),
        (
            lambda steps: [steps[0], dict(type='Resize', scale='big'), steps[-1]],
            r'fails: task cls, sample \d+ \(.*/00001.png\): error: OpenCV.*; mend it',
        ),
    ],
)
def test_a_pipeline_that_cannot_work_is_found_at_the_start(cfg, stage, change, says):
    dataset = cfg[f'{stage}_dataloader'].cls.dataset
    dataset.pipeline = change(list(dataset.pipeline))
    text = data_error(cfg, 'cls', stage, ConfigError)
    assert re.search(rf'^{stage}_dataloader.cls.dataset.pipeline {says}', text)


def test_looking_at_a_pipeline_changes_no_random_numbers(cfg):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    load(cfg, 'cls')
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_transforms_that_remember_earlier_pictures_are_refused(cfg):
    """Also within others, and by their classes."""
    from mmdet.datasets.transforms import CachedMixUp

    dataset = cfg.train_dataloader.det.dataset
    plain = list(dataset.pipeline)
    for step, path, use in (
        (dict(type='CachedMosaic'), '', 'Mosaic'),
        (dict(type='RandomApply', transforms=[dict(type=CachedMixUp)]), '.transforms.0', 'MixUp'),
    ):
        dataset.pipeline = [*plain[:-1], step, plain[-1]]
        text = data_error(cfg, 'det', kind=ConfigError)
        assert text.startswith(
            f"train_dataloader.det.dataset.pipeline.{len(plain) - 1}{path}.type is 'Cached{use}', "
        )
        assert text.endswith(f"use {use!r} in the pipeline of type='mmdet.MultiImageMixDataset'")


def test_a_pipeline_that_is_no_list(cfg):
    cfg.train_dataloader.cls.dataset.pipeline = None
    assert data_error(cfg, 'cls', kind=ConfigError) == (
        'train_dataloader.cls.dataset: pipeline is None; give a list of transforms'
    )


def test_a_metric_that_reads_other_annotations_is_said(cfg, toy, start):
    only(cfg, 'det', validate=True)
    cfg.val_evaluator.det.ann_file = str(toy / 'det/train.json')
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    _, out, error = start()
    says = f'val_evaluator.det compares with the boxes of {toy}/det/train.json, but val_dataloader'
    assert f'{says}.det reads the pictures of {toy}/det/val.json' in out + error


def test_a_score_of_a_task_without_evaluator_is_found_before_training(cfg, refused):
    only(cfg, 'cls', validate=True)
    cfg.val_cfg.score = {'cls/top1': 1, 'seg/mIoU': 1}
    assert "val_cfg.score has 'seg/mIoU', but val_evaluator has only ['cls']" in refused()


def test_a_score_of_an_unknown_metric_is_named():
    with pytest.raises(
        ConfigError,
        match=r"^val_cfg.score names \['cls/top2'\], but the "
        r"evaluators gave \['cls/top1'\]$",
    ):
        combined_score({'cls/top1': 3.0}, {'cls/top2': 1}, 'val_cfg.score')


# 9 and 10


@pytest.mark.parametrize('features', [2, 'abc', (1.5,), ('0',), {}])
def test_features_that_are_no_numbers_of_maps(cfg, features):
    cfg.model.tasks.cls.features = features
    assert re.search(
        rf'^model.tasks.cls: features is {re.escape(repr(features))}; give .*, as in \(',
        model_error(cfg),
    )


@pytest.mark.parametrize('features', [(9,), (0, -1)])
def test_features_out_of_range(cfg, features):
    cfg.model.tasks.cls.features = features
    assert re.search(
        rf'^model.tasks.cls.features is {re.escape(str(features))}, but {features[-1]} is out of '
        r'range: model.backbone gives \d maps \(0: 16 channels at stride 4, ',
        model_error(cfg),
    )


@pytest.mark.parametrize(
    'change, says',
    [
        (
            put('model.tasks.det.neck.in_channels', [16, 64, 160]),
            'model.tasks.det.neck has in_channels=[16, 64, 160] and does not fit the maps it gets from '
            'the trunk (0: 16 channels at stride 8, 1: 48 channels at stride 16, 2: 160 channels',
        ),
        (
            put('model.tasks.det.neck.in_channels', [16, 48]),
            'model.tasks.det.neck has in_channels=[16, 48] and does not fit',
        ),
        (
            put('model.tasks.det.bbox_head.in_channels', 32),
            'model.tasks.det.bbox_head has in_channels=32 and does not fit the maps it gets from its '
            'neck (0: 48 channels at stride 8',
        ),
        (
            put('model.tasks.cls.head.in_channels', 128),
            'model.tasks.cls.head has in_channels=128 and does not fit the maps it gets from its neck '
            '(0: shape (1, ',
        ),
        (
            put('model.tasks.seg.decode_head.in_channels', [16, 16, 48, 96]),
            'model.tasks.seg.decode_head has in_channels=[16, 16, 48, 96] and does not fit the maps it '
            'gets from the trunk',
        ),
        (
            put(
                'model.tasks.seg.auxiliary_head',
                dict(type='FCNHead', in_channels=64, in_index=2, channels=8, num_classes=7),
            ),
            'model.tasks.seg.auxiliary_head has in_channels=64',
        ),
        (
            put('model.tasks.det.bbox_head.strides', [4, 8, 16]),
            'model.tasks.det: its head expects maps at strides [4, 8, 16], but its neck gives strides '
            '[8, 16, 32]',
        ),
        (
            put('model.tasks.det.neck.num_outs', 4),
            'model.tasks.det: its head expects maps at strides [8, 16, 32], but its neck gives strides '
            '[8, 16, 32, 64]',
        ),
    ],
)
def test_channels_and_strides_that_do_not_fit_the_trunk(cfg, change, says):
    change(cfg)
    assert says in model_error(cfg)


def test_the_program_refuses_features_that_do_not_fit(cfg, refused):
    cfg.model.tasks.det.features = (0, 1, 2)
    text = refused()
    assert 'model.tasks.det.neck has in_channels=[16, 48, 160]' in text
    assert 'model.tasks.det.features' in text


# 12


def test_pictures_without_any_box_are_trained_on(cfg, toy):
    only(cfg, 'det')
    edit(toy / 'det/train.json', lambda content: content.update(annotations=[]))
    cfg.train_cfg.max_iters = 2
    cfg.default_hooks.checkpoint.interval = 2
    runner = RUNNERS.build(cfg)
    runner.train()
    losses = runner.message_hub.get_scalar('train/det/loss').data[0]
    assert len(losses) == 2 and np.isfinite(losses).all() and (losses > 0).all()
    assert all(parameter.isfinite().all() for parameter in runner.model.parameters())


def test_a_class_absent_from_validation_is_said_and_left_out_of_the_mean(cfg, toy, start, tmp_path):
    val = toy / 'cls/val.txt'
    val.write_text(
        ''.join(line for line in val.read_text().splitlines(True) if line.split()[1] != '4')
    )
    edit(
        toy / 'det/val.json',
        lambda content: content.update(
            annotations=[box for box in content['annotations'] if box['category_id'] != 3]
        ),
    )
    for path in (toy / 'seg/label/val').iterdir():
        pixels = np.asarray(Image.open(path))
        Image.fromarray(np.where(pixels == 4, 255, pixels).astype(np.uint8)).save(path)
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    status, out, error = start()
    assert status == 0, error
    assert f'{val} has no sample of class dusk_quiet' in out
    assert f'{toy}/det/val.json has no sample of class sign' in out
    assert 'No box of class sign in the annotations evaluated' in out
    assert 'No pixel of class tree in the annotations evaluated' in out
    (scalars,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    metrics = json.loads(scalars.read_text().splitlines()[-1])
    for name in ('cls/top1', 'det/bbox_mAP', 'det/bbox_mAP_50', 'seg/mIoU', 'seg/mAcc', 'score'):
        assert np.isfinite(metrics[name]), name


def test_all_errors_are_of_one_family():
    """What the tools print as one sentence."""
    assert issubclass(DataError, AllInOneError) and issubclass(ConfigError, AllInOneError)
