"""Tools on a config whose source serves three tasks from the same images."""

import json

import numpy as np
import pytest
import torch
from conftest import build_model, run_tool, write_config
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, DefaultScope
from shared_config import shared_cfg
from shared_data import LANED

from allinone.config.check import check_config
from allinone.inference.preprocess import find_pipeline
from allinone.inference.records import dataset_metainfo

# As in the shared pipeline, whose boxes choose mmdet
LOAD = dict(type='LoadImageFromFile', _scope_='mmdet')
RESIZE = dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=True, _scope_='mmdet')


@pytest.fixture(scope='module')
def joint(tmp_path_factory):
    """A config, its file, and a checkpoint of an initialised model."""
    folder = tmp_path_factory.mktemp('shared')
    cfg = shared_cfg(folder / 'data', folder / 'work')
    model = build_model(cfg)
    checkpoint = folder / 'model.pth'
    metainfo = {task: dataset_metainfo(cfg, task) for task in cfg.model.tasks}
    meta = dict(cfg=cfg.pretty_text, dataset_meta=metainfo)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), checkpoint)
    return cfg, write_config(cfg, folder / 'config.py'), checkpoint


def test_the_pipeline_of_a_task_alone(joint):
    cfg, _, _ = joint
    found = find_pipeline(cfg, 'lane')
    assert found.key == 'test_dataloader.street.dataset.pipeline' and found.scope == 'allinone'
    lanes = [dict(type='mmseg.LoadAnnotations'), dict(type='mmseg.PackSegInputs')]
    assert list(found.steps) == [LOAD, RESIZE, *lanes]
    boxes = [dict(type='mmdet.LoadAnnotations', with_bbox=True), dict(type='mmdet.PackDetInputs')]
    assert list(find_pipeline(cfg, 'det').steps) == [LOAD, RESIZE, *boxes]


def test_options_of_the_shared_transforms_are_those_of_the_task(joint):
    cfg, _, _ = joint
    steps = cfg.test_dataloader.street.dataset.pipeline
    before = dict(steps[2]), dict(steps[3])
    steps[2].update(with_mask=True, options=dict(lane=dict(imdecode_backend='cv2')))
    steps[3].update(meta_keys=('img_path',))
    try:
        lanes, boxes = (list(find_pipeline(cfg, task).steps)[2:] for task in ('lane', 'det'))
    finally:
        for step, content in zip(steps[2:], before, strict=True):
            step.clear()
            step.update(content)
    keys = dict(meta_keys=('img_path',))
    assert lanes[0] == dict(type='mmseg.LoadAnnotations', imdecode_backend='cv2')
    assert lanes[1] == dict(type='mmseg.PackSegInputs', **keys)
    assert boxes[0] == dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)
    assert boxes[1] == dict(type='mmdet.PackDetInputs', **keys)


def test_prediction_as_tested_from_a_checkpoint_alone(joint, tmp_path):
    cfg, _, checkpoint = joint
    image = f'{cfg.test_dataloader.street.dataset.labels.lane.data_prefix.img_path}/03.png'
    assert run_tool('infer', checkpoint, image, '--out', tmp_path, '--as-tested') == 0
    (line,) = (tmp_path / 'predictions.jsonl').read_text().splitlines()
    record = json.loads(line)
    found = record.get('predictions', record)
    assert {'cls', 'det', 'seg', 'lane'} <= set(found)


def test_extracted_tasks_share_their_images_still(joint, tmp_path):
    _, config, checkpoint = joint
    tasks = ['--tasks', 'det', 'lane', '--out', tmp_path / 'two']
    assert run_tool('extract', config, checkpoint, *tasks) == 0
    cfg = Config.fromfile(str(tmp_path / 'two/config.py'))
    check_config(cfg)
    assert list(cfg.train_dataloader) == ['street']
    assert list(cfg.train_dataloader.street.dataset.labels) == ['det', 'lane']


def test_an_extracted_task_has_a_pipeline_of_its_library(joint, tmp_path):
    _, config, checkpoint = joint
    assert run_tool('extract', config, checkpoint, '--tasks', 'lane', '--out', tmp_path) == 0
    cfg = Config.fromfile(str(tmp_path / 'upstream_config.py'))
    loader = cfg.test_dataloader
    assert loader.dataset.type == 'mmseg.BaseSegDataset' and 'tasks' not in loader
    assert loader.dataset.test_mode and loader.dataset.metainfo.classes == ('other', 'lane')
    types = [step.type for step in loader.dataset.pipeline]
    library = ['mmseg.LoadAnnotations', 'mmseg.PackSegInputs']
    assert types == ['mmengine.LoadImageFromFile', 'mmdet.Resize', *library]
    with DefaultScope.overwrite_default_scope('mmseg'):
        built = [type(TRANSFORMS.build(step)) for step in loader.dataset.pipeline]
    modules = [kind.__module__.split('.')[0] for kind in built]
    assert modules == ['mmcv', 'mmdet', 'mmseg', 'mmseg']


def test_affinity_is_of_labelled_images(joint, tmp_path):
    _, config, checkpoint = joint
    out = tmp_path / 'affinity.json'
    arguments = (config, checkpoint, '--steps', 1, '--device', 'cpu', '--out', out)
    assert run_tool('analyze', 'affinity', *arguments) == 0
    found = json.loads(out.read_text())
    assert found['tasks'] == ['cls', 'det', 'seg', 'lane']
    assert np.diag(found['affinity']).min() > 0  # A step for a task lowers its own loss.


def test_class_weights_are_of_the_labels_of_the_task(joint, capsys):
    from allinone.cli.programs.class_weights import count_pixels, print_class_weights

    cfg, config, _ = joint
    folder = cfg.train_dataloader.street.dataset.labels.lane.data_prefix.seg_map_path
    infos = [dict(seg_map_path=f'{folder}/{number:02d}.png') for number in LANED]
    pixels = count_pixels(infos, 2)
    assert print_class_weights(config, 'lane') == 0
    share = f'{pixels[0] / pixels.sum():8.4%}'
    assert f'other                {share}' in capsys.readouterr().out
    assert print_class_weights(config, 'lanes') == 2
    assert capsys.readouterr().err == (
        "error: lanes is not in train_dataloader, which has ['det', 'seg', 'lane', 'cls']\n"
    )
