"""Both modes of inference: all tasks in one pass, and each task as it is tested."""

import json

import cv2
import numpy as np
import pytest
from conftest import TOY_CONFIG, run_tool
from mmcv.transforms import LoadImageFromFile, Resize
from mmengine.dataset import pseudo_collate

from allinone.data.loaders import build_loader
from allinone.errors import ConfigError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.modes import build_mode
from allinone.inference.options import inference_tasks
from allinone.inference.preprocess import (
    PipelineConfig,
    TestPipeline,
    find_pipeline,
    predict_packed,
)
from allinone.inference.records import to_record

TASKS = ['cls', 'det', 'seg']
ANNOTATIONS = dict(det=dict(type='LoadAnnotations', with_bbox=True))
PACKERS = dict(cls='PackInputs', det='PackDetInputs', seg='PackSegInputs')


def pipeline(task, *steps, to_float32=False):
    return [
        dict(type='LoadImageFromFile', to_float32=to_float32),
        *steps,
        *([] if task == 'cls' else [ANNOTATIONS.get(task, dict(type='LoadAnnotations'))]),
        dict(type=PACKERS[task]),
    ]


def resized(scale):
    return dict(type='Resize', scale=scale, keep_ratio=True)


def views(task):
    """Two views: as it is, and flipped; annotations are loaded for each, as in upstream configs."""
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    parts = [flips, [dict(type='LoadAnnotations')], [dict(type=PACKERS[task])]]
    return [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=parts)]


PIPELINES = dict(
    cls=pipeline('cls', dict(type='Resize', scale=(80, 48))),
    # Pixels of floats are resized to other values than bytes are.
    det=pipeline('det', resized((208, 160)), to_float32=True),
    seg=views('seg'),
)


@pytest.fixture
def build(trained):
    """Build an inferencer of a model whose tasks are tested in three ways."""
    _, cfg, work_dir = trained

    def built(options=(), **arguments):
        config = cfg.copy()
        config.merge_from_dict(
            {f'test_dataloader.{task}.dataset.pipeline': steps for task, steps in PIPELINES.items()}
        )
        config.merge_from_dict({'model.tasks.det.test_cfg.score_thr': 0.001, **dict(options)})
        return AllInOneInferencer(config, work_dir / 'iter_4.pth', 'cpu', **arguments)

    return built


@pytest.fixture
def images(toy_root):
    return [str(path) for path in sorted((toy_root / 'toy/seg/images/val').iterdir())[:3]]


def from_the_test(inferencer, task, count=4):
    """Paths and records of the first images of a task's test data, by the task's ``test_step``."""
    loader = dict(inferencer.cfg.test_dataloader[task], num_workers=0)
    dataset = build_loader(task, task, loader, 0, None, False, False).dataset
    batch = pseudo_collate([dataset[index] for index in range(count)])
    samples = inferencer.model.test_step({task: batch})[task]
    paths = [dataset.get_data_info(index)['img_path'] for index in range(count)]
    kind = inferencer.model.kinds[task]
    return paths, [to_record(sample, inferencer.metainfo[task], kind=kind) for sample in samples]


@pytest.mark.parametrize('task', TASKS)
def test_predictions_as_tested_are_those_of_a_test(build, task):
    inferencer = build(mode='as_tested')
    paths, expected = from_the_test(inferencer, task)
    found = inferencer(paths, batch_size=4)
    assert [record[task] for record in found] == expected
    assert all(expected)
    alone = [record[task] for path in paths for record in inferencer(path)]
    assert [label_of(record) for record in alone] == [label_of(record) for record in expected]
    in_one_pass = build()(paths, batch_size=4, tasks=[task])
    assert [record[task] for record in in_one_pass] != expected


def label_of(record):
    return record['label'] if isinstance(record, dict) else [entry['label'] for entry in record]


def test_each_task_has_a_pass_with_images_of_its_size(build, images):
    inferencer, sizes = build(mode='as_tested'), []
    inferencer.model.backbone.register_forward_hook(
        lambda _, inputs, __: sizes.append(tuple(inputs[0].shape))
    )
    inferencer(images, batch_size=3)
    # Views of 192 x 256 one after the other
    assert sizes == [(3, 3, 48, 80), (3, 3, 156, 208), *[(3, 3, 192, 256)] * 2]


def test_images_of_several_sizes_and_the_pixels_of_predictions(build, images):
    inferencer = build(mode='as_tested')
    image = cv2.imread(images[0])
    small = cv2.resize(image, (150, 90))
    both = inferencer([image, small], batch_size=2)
    assert both == [*inferencer(image), *inferencer(small)]
    assert both[1]['seg'][0]['segmentation']['size'] == [90, 150]
    # Of images with the same sizes for a task, one batch; the results are in order.
    packed = [inferencer.mode.pipelines['det'](x) for x in (image, small, image)]
    samples = predict_packed(inferencer.model, 'det', packed, 2)
    assert [sample.ori_shape for sample in samples] == [(192, 256), (90, 150), (192, 256)]


def test_the_mode_and_tasks_of_the_config(build, images):
    options = {'inference.mode': 'as_tested', 'inference.tasks': ['seg', 'cls']}
    inferencer = build(options)
    assert inferencer.tasks == ['seg', 'cls'] and 'mode' in inferencer.mode.settings
    assert list(inferencer(images[0])[0]) == ['seg', 'cls']
    other = build(options, mode='one_pass', tasks=['det'])
    assert other.tasks == ['det'] and other.mode.settings == dict(scale=[208, 160, True])


def test_a_scale_of_the_config_is_not_for_tasks_as_tested(build):
    notes = []
    inferencer = build({'inference.scale': (64, 48)}, mode='as_tested', on_note=notes.append)
    assert notes == [
        'inference.scale is (64, 48), which is for one pass; here the test pipelines resize'
    ]
    assert inferencer.mode.settings == build(mode='as_tested').mode.settings


@pytest.mark.parametrize(
    'options, arguments, sentence',
    [
        ({}, dict(mode='twice'), "mode is 'twice'; give 'one_pass' or 'as_tested'"),
        ({'inference.mode': 'all'}, {}, "inference.mode is 'all'; give 'one_pass' or 'as_tested'"),
        (
            {'inference.mode': 'as_tested'},
            dict(scale=(64, 48)),
            "scale is (64, 48), but inference.mode is 'as_tested', where each task's test pipeline "
            "resizes; leave the scale out, or use the mode 'one_pass'",
        ),
        (
            {'test_dataloader.det': None, 'val_dataloader.det': None},
            dict(mode='as_tested'),
            "mode is 'as_tested', but the config has no test_dataloader.det with a "
            'dataset.pipeline for its images; add it, or predict in one pass with --scale',
        ),
        (
            {'test_dataloader.det.dataset.pipeline': [dict(type='FilterAnnotations')]},
            dict(mode='as_tested'),
            'test_dataloader.det.dataset.pipeline fails on an image without annotations '
            "(AssertionError); fix it, or use the mode 'one_pass', whose size --scale sets",
        ),
        (
            {'test_dataloader.det.dataset.pipeline': [dict(type='PackDetInput')]},
            dict(mode='as_tested'),
            "test_dataloader.det.dataset.pipeline.0.type is 'PackDetInput'",
        ),
        (
            {'test_dataloader.det.dataset.pipeline': [resized((64, 64))]},
            dict(mode='as_tested'),
            "test_dataloader.det.dataset.pipeline ends with ['homography_matrix', 'img', ",
        ),
    ],
)
def test_what_cannot_be_predicted_as_tested_is_refused(trained, options, arguments, sentence):
    runner, cfg, _ = trained
    cfg = cfg.copy()
    cfg.merge_from_dict(options)
    arguments = dict(mode=None, scale='tested') | arguments
    with pytest.raises(ConfigError) as refusal:
        build_mode(cfg, runner.model, TASKS, **arguments)
    assert str(refusal.value).startswith(sentence)
    kept = build_mode(cfg, runner.model, TASKS, 'one_pass', None)
    assert kept.settings == dict(scale=None)


@pytest.mark.parametrize('tasks', [['lane'], [], 3])
def test_tasks_of_the_config_that_the_model_lacks(tasks):
    with pytest.raises(ConfigError) as refusal:
        inference_tasks(dict(inference=dict(tasks=tasks)), TASKS)
    assert str(refusal.value) == (
        f"inference.tasks is {tasks}; name tasks of model.tasks, which has ['cls', 'det', 'seg'], "
        'or leave it out for all of them'
    )


def test_one_task_may_be_named_without_a_list():
    assert inference_tasks(dict(inference=dict(tasks='seg')), TASKS) == ['seg']
    assert inference_tasks({}, TASKS) == TASKS


def test_pipelines_inside_wrappers():
    inner = dict(type='mmdet.CocoDataset', pipeline=[dict(type='PackDetInputs')])
    for dataset in (
        inner,
        dict(type='RepeatDataset', times=1, dataset=inner),
        dict(type='ConcatDataset', datasets=[inner, inner]),
    ):
        cfg = dict(test_dataloader=dict(det=dict(dataset=dataset)))
        found = find_pipeline(cfg, 'det')
        assert found.scope == 'mmdet' and found.steps == inner['pipeline']
    listed = dict(type='allinone.ImageListDataset', _scope_='mmpretrain', pipeline=['x'])
    cfg = dict(val_dataloader=dict(cls=dict(dataset=listed)))
    assert find_pipeline(cfg, 'cls') == ('val_dataloader.cls.dataset.pipeline', 'mmpretrain', ['x'])
    assert find_pipeline(cfg, 'det') is None


def test_transforms_may_be_classes_and_objects():
    """As in pure-Python configs."""
    steps = [dict(type=LoadImageFromFile), LoadImageFromFile(), dict(type=Resize, scale=(8, 6))]
    config = PipelineConfig('key', 'mmpretrain', [*steps, dict(type='PackInputs')])
    packed = TestPipeline(config, 'fix it')(np.zeros((9, 9, 3), np.uint8))
    assert packed['inputs'].shape == (3, 6, 8)
    assert steps[2] == dict(type=Resize, scale=(8, 6))


def test_the_tool_predicts_as_tested(trained, images, tmp_path, capfd):
    out = tmp_path / 'out'
    tool = ['infer', TOY_CONFIG, trained[2] / 'iter_4.pth', images[0], '--out-dir', out]
    assert run_tool(*tool, '--as-tested', '--device', 'cpu') == 0
    line = json.loads((out / 'predictions.jsonl').read_text())
    inferencer = AllInOneInferencer(trained[2] / 'iter_4.pth', device='cpu', mode='as_tested')
    (record,) = inferencer(images[0])
    assert {task: line[task] for task in TASKS} == record
    settings = json.loads((out / 'infer.json').read_text())
    assert settings['mode'] == 'as_tested' and 'scale' not in settings
    capfd.readouterr()
    assert run_tool(*tool, '--device', 'cpu', '--resume') == 2
    assert "was made with mode 'as_tested', which is None now" in capfd.readouterr().err
    assert run_tool(*tool, '--as-tested', '--scale', 'none') == 2
    assert "error: scale is None, but mode is 'as_tested'" in capfd.readouterr().err


def test_a_float_pipeline_gets_floats(build):
    pixels = build(mode='as_tested').mode.pipelines['det'](np.zeros((8, 8, 3), np.uint8))['inputs']
    assert str(pixels.dtype) == 'torch.float32'
