import json
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from pycocotools import mask as coco_mask

from allinone.checkpoint.loading import read_checkpoint
from allinone.errors import CheckpointError, ConfigError, DataError
from allinone.inference import scale as image_scales
from allinone.inference.crops import _crops
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.records import dataset_metainfo, from_record
from allinone.io.images import read_image
from allinone.tasks.masks import encode_mask
from allinone.visualization.draw import draw_tasks

TASKS = ['cls', 'det', 'seg']


@pytest.fixture
def infer(trained):
    """Build an inferencer that finds boxes: after 4 steps no score is high."""
    _, cfg, work_dir = trained

    def build(**options):
        config = cfg.copy()
        config.merge_from_dict({'model.tasks.det.test_cfg.score_thr': 0.001, **options})
        return AllInOneInferencer(config, work_dir / 'iter_4.pth', 'cpu')

    return build


@pytest.fixture(scope='module')
def images(toy_root):
    return [str(path) for path in sorted((toy_root / 'toy/seg/images/val').iterdir())[:4]]


def test_a_record_tells_all_tasks(infer, images):
    (record,) = infer()(images[0])
    assert list(record) == TASKS
    assert record['cls'].keys() == {'label', 'name', 'score', 'top5'}
    assert [entry['score'] for entry in record['cls']['top5']] == sorted(
        (entry['score'] for entry in record['cls']['top5']), reverse=True
    )
    assert record['cls']['top5'][0]['name'] == record['cls']['name']
    assert len(record['cls']['top5']) == 5
    assert record['det'] and record['det'][0].keys() == {'bbox', 'label', 'name', 'score'}
    assert record['det'][0]['name'] in ('vehicle', 'pedestrian', 'sign')
    assert sum(entry['area'] for entry in record['seg']) == 256 * 192
    json.dumps(record)


def test_one_pass_of_the_backbone_for_all_tasks(infer, images):
    inferencer, passes = infer(), []
    inferencer.model.backbone.register_forward_hook(lambda *_: passes.append(1))
    inferencer(images, batch_size=4)
    assert len(passes) == 1


def test_encoded_masks_decode_to_the_prediction(infer, images):
    inferencer = infer()
    (record,) = inferencer(images[0], tasks=['seg'])
    assert list(record) == ['seg']
    sample = inferencer.predict([read_image(images[0])], ['seg'])[0]['seg']
    mask = sample.pred_sem_seg.data[0].numpy()
    decoded = np.full_like(mask, -1)
    for entry in record['seg']:
        decoded[coco_mask.decode(entry['segmentation']) == 1] = entry['label']
    assert (decoded == mask).all()


def test_round_trip_of_a_mask():
    mask = np.random.default_rng(0).random((37, 53)) > 0.5
    rle = encode_mask(mask)
    assert rle['size'] == [37, 53] and isinstance(rle['counts'], str)
    assert (coco_mask.decode(json.loads(json.dumps(rle))) == mask).all()


def test_results_are_in_the_pixels_of_the_original(infer, images):
    image = read_image(images[0])
    large = cv2.resize(image, (512, 384))
    (expected,) = infer(inference=dict(scale=None))(large)
    (found,) = infer(inference=dict(scale=(512, 384)))(image)
    assert len(found['det']) == len(expected['det']) > 0
    np.testing.assert_allclose(
        [box['bbox'] for box in found['det']],
        np.array([box['bbox'] for box in expected['det']]) / 2,
        atol=0.01,
    )
    assert found['seg'][0]['segmentation']['size'] == [192, 256]


def test_the_ratio_is_kept(infer):
    inferencer = infer(inference=dict(scale=(320, 320)))
    assert inferencer.mode.resize(np.zeros((100, 200, 3), np.uint8)).shape == (160, 320, 3)


def resized_at(**scales):
    """Options that give tasks a test pipeline with this Resize, or without one."""
    return {
        f'test_dataloader.{task}.dataset.pipeline': [
            dict(type='LoadImageFromFile'),
            *([dict(type='Resize', **resize)] if resize else []),
            dict(type=f'Pack{dict(det="Det", seg="Seg").get(task, "")}Inputs'),
        ]
        for task, resize in scales.items()
    }


def test_the_default_scale_is_the_largest_of_the_tests_of_whole_images(infer):
    image = np.zeros((300, 600, 3), np.uint8)
    tests = resized_at(
        cls=dict(scale=(640, 640)), det=dict(scale=(160, 320)), seg=dict(scale=(320, 320))
    )
    assert infer(**tests).mode.resize(image).shape == (320, 320, 3)  # as Resize does by default
    tests |= resized_at(seg=dict(scale=(320, 320), keep_ratio=True))
    inferencer = infer(**tests)
    assert inferencer.mode.resize(image).shape == (160, 320, 3)
    assert inferencer.mode.note == (
        'images are resized to 320 x 320 with their ratio kept, the test scale of seg (others are '
        'tested otherwise, cls: 640 x 640, det: 160 x 320); --scale or the config key '
        'inference.scale changes it'
    )
    tests.update(resized_at(seg=None))
    assert 'seg: the size of its files' in infer(**tests).mode.note
    assert infer(**tests, inference=dict(scale=None)).mode.scale.resize is None
    assert infer(**tests, inference=dict(scale=(100, 100))).mode.resize(image).shape == (50, 100, 3)


def test_no_transform_but_a_resize_is_built():
    """A config may be of a checkpoint, and ``RandomResize`` builds the type that it is given."""
    steps = [
        dict(type='RandomResize', scale=(8, 8), resize_type='no.such.type'),
        dict(type='Resize', scale_factor=0.5),
        dict(type='Resize', scale=(64, 48), keep_ratio=True),
    ]
    dataset = dict(type='mmdet.CocoDataset', pipeline=steps)
    cfg = Config(dict(test_dataloader=dict(det=dict(dataset=dict(type='A', dataset=dataset)))))
    found = image_scales.tested_resizes(cfg, ['det'])['det']
    assert type(found).__module__.startswith('mmdet.') and found.scale == (64, 48)


def test_the_scale_of_a_call_comes_before_that_of_the_config(trained):
    _, cfg, work_dir = trained
    image, cfg = np.zeros((300, 600, 3), np.uint8), cfg.copy()
    cfg.inference = dict(scale=(100, 100))
    for scale, shape in (((200, 200), (100, 200, 3)), (None, (300, 600, 3))):
        inferencer = AllInOneInferencer(cfg, work_dir / 'iter_4.pth', 'cpu', scale=scale)
        assert inferencer.mode.resize(image).shape == shape
    with pytest.raises(ConfigError, match='^scale is 640; give'):
        AllInOneInferencer(cfg, work_dir / 'iter_4.pth', 'cpu', scale=640)


def test_records_do_not_depend_on_the_batch(infer, images):
    inferencer = infer()
    single, four = inferencer(images, batch_size=1), inferencer(images, batch_size=4)
    assert len(single) == len(four) == 4
    for one, other in zip(single, four):
        assert one['cls']['label'] == other['cls']['label']
        assert one['cls']['score'] == pytest.approx(other['cls']['score'], abs=1e-5)
        assert len(one['det']) == len(other['det'])
        scores = [[box['score'] for box in record['det']] for record in (one, other)]
        np.testing.assert_allclose(*scores, atol=1e-5)
        areas = [
            {entry['name']: entry['area'] for entry in record['seg']} for record in (one, other)
        ]
        assert areas[0].keys() == areas[1].keys()
        assert all(abs(areas[0][name] - areas[1][name]) <= 5 for name in areas[0])


def test_images_of_several_sizes_are_not_padded_to_one(infer, images):
    image = read_image(images[0])
    inferencer = infer(inference=dict(scale=None))
    mixed = inferencer([image, image[:100, :130].copy(), image], batch_size=4)
    # Of two, as in the mixed list: kernels may round otherwise for a batch of one.
    assert [mixed[0], mixed[2]] == inferencer([image, image], batch_size=4)
    assert mixed[1]['seg'][0]['segmentation']['size'] == [100, 130]


def test_paths_folders_and_arrays_mix(infer, images, tmp_path):
    for path in images[:2]:
        shutil.copy(path, tmp_path)
    records, drawings = infer()(
        [tmp_path, read_image(images[2]), images[0]],
        out_dir=tmp_path / 'out',
        return_vis=True,
    )
    assert len(records) == len(drawings) == 4
    assert records[0] == records[3]
    assert all(drawing.dtype == np.uint8 for drawing in drawings)
    # The same image under two paths, and an array: no name twice
    assert len(list((tmp_path / 'out/vis').glob('*.jpg'))) == 4
    assert len(list((tmp_path / 'out/predictions').glob('*.json'))) == 4


@pytest.mark.parametrize('wrong', [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), 3])
def test_what_is_no_image_is_refused(infer, wrong):
    with pytest.raises(DataError, match='give a path or a uint8 BGR array'):
        infer()(wrong)


def test_a_image_too_thin_for_the_scale_is_named(infer):
    inferencer = infer(inference=dict(scale=(96, 64)))
    thin, good = np.zeros((1, 2000, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)
    errors = []
    records = inferencer([thin, good], on_error=errors.append)
    assert records[0] is None and set(records[1]) == set(TASKS)
    assert 'input 0: an image of 2000 x 1 cannot be resized to' in str(errors[0])


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(infer, monkeypatch):
    inferencer = infer()
    monkeypatch.setattr(inferencer.mode, 'predict', None)
    with pytest.raises(ConfigError, match="out_dir is '/proc/self/out', but nothing can be"):
        inferencer(np.zeros((48, 64, 3), np.uint8), out_dir='/proc/self/out')


def test_on_cpu_images_are_drawn_between_passes_by_all_threads(infer, monkeypatch):
    inferencer = infer()
    predict, running, most, lock = inferencer.mode.predict, [], [0], threading.Lock()
    both = threading.Barrier(2, timeout=20)

    def drawn(*args):
        with lock:
            running.append(args)
        both.wait()  # Of 4 drawings 2 at a time, or it breaks
        with lock:
            running.pop()
        return np.zeros((8, 8, 3), np.uint8)

    def passed(*args):
        most[0] = max(most[0], len(running))
        return predict(*args)

    monkeypatch.setattr('allinone.inference.inferencer.draw_tasks', drawn)
    monkeypatch.setattr('torch.get_num_threads', lambda: 2)
    monkeypatch.setattr(inferencer.mode, 'predict', passed)
    images = [np.zeros((48, 64, 3), np.uint8)] * 4
    records, drawings = inferencer(images, batch_size=2, return_vis=True)
    assert len(records) == len(drawings) == 4 and most == [0]


def test_wrong_tasks_devices_weights_and_scales(trained, infer):
    _, cfg, work_dir = trained
    with pytest.raises(ConfigError, match='lane'):
        AllInOneInferencer(cfg, work_dir / 'iter_4.pth', 'cpu', tasks=['lane'])
    with pytest.raises(ConfigError, match='device no_such_device'):
        AllInOneInferencer(cfg, work_dir / 'iter_4.pth', 'no_such_device')
    with pytest.raises(CheckpointError, match='gone.pth'):
        AllInOneInferencer(cfg, work_dir / 'gone.pth', 'cpu')
    with pytest.raises(ConfigError, match='inference.scale'):
        infer(inference=dict(scale=640))
    with pytest.raises(ConfigError, match="inference has no key \\['size'\\]"):
        infer(inference=dict(size=(640, 480)))


def test_weights_that_lack_a_task_are_refused(trained, tmp_path):
    _, cfg, work_dir = trained
    checkpoint = read_checkpoint(work_dir / 'iter_4.pth')
    state = {
        name: value
        for name, value in checkpoint['state_dict'].items()
        if not name.startswith('tasks.det.')
    }
    torch.save(dict(state_dict=state), tmp_path / 'part.pth')
    with pytest.raises(CheckpointError, match=r"lacks all weights of the tasks \['det'\]"):
        AllInOneInferencer(cfg, tmp_path / 'part.pth', 'cpu')
    inferencer = AllInOneInferencer(cfg, tmp_path / 'part.pth', 'cpu', tasks=['cls', 'seg'])
    image = np.zeros((64, 64, 3), np.uint8)
    assert list(inferencer(image)[0]) == ['cls', 'seg']
    with pytest.raises(ConfigError, match="'det'.* not among those"):
        inferencer(image, tasks=['det'])


def test_arrays_and_files_never_share_a_name(infer, images, tmp_path):
    shutil.copy(images[0], tmp_path / '000001.png')
    infer()([tmp_path / '000001.png', read_image(images[1])], out_dir=tmp_path / 'out')
    assert len(list((tmp_path / 'out/vis').iterdir())) == 2


def test_classes_come_from_the_config_if_the_checkpoint_has_none(trained, infer):
    cfg, inferencer = trained[1], infer()
    for task in TASKS:
        assert list(dataset_metainfo(cfg, task)['classes']) == list(
            inferencer.metainfo[task]['classes']
        )


def test_a_checkpoint_or_a_work_dir_is_enough(trained, infer, images):
    from allinone import AllInOneInferencer as exported

    expected = AllInOneInferencer(trained[1], trained[2] / 'iter_4.pth', 'cpu')(images[0])
    assert exported(trained[2] / 'iter_4.pth', device='cpu')(images[0]) == expected
    # Its best one: both metrics are of the same step.
    assert exported(trained[2], device='cpu')(images[0]) == expected


def test_generators_patterns_and_order(infer, images):
    inferencer = infer()
    arrays = [read_image(path) for path in images]
    arrays[1], arrays[2] = arrays[1][:100].copy(), arrays[2][:, :80].copy()
    expected = [inferencer(array)[0] for array in arrays]
    found = inferencer((array for array in arrays), batch_size=2)
    assert [entry['seg'][0]['segmentation']['size'] for entry in found] == [
        list(array.shape[:2]) for array in arrays
    ]
    for one, other in zip(found, expected):
        assert one['cls']['score'] == pytest.approx(other['cls']['score'], abs=1e-5)
    pattern = str(Path(images[0]).parent / '*.jpg')
    assert len(inferencer(pattern, tasks='cls')) == len(list(Path(pattern).parent.glob('*.jpg')))
    assert list(inferencer((path for path in images[:1]), tasks='cls')[0]) == ['cls']


def test_sizes_that_alternate_make_full_batches(infer, images):
    inferencer, sizes = infer(), []
    inferencer.model.backbone.register_forward_hook(
        lambda _, inputs, __: sizes.append(len(inputs[0]))
    )
    image = read_image(images[0])
    inferencer([image, image[:100].copy()] * 4, batch_size=4)
    assert sizes == [4, 4]


def test_label_maps_instead_of_rle(infer, images):
    inferencer = infer()
    (record,) = inferencer(images[0], tasks=['seg'], masks='array')
    (encoded,) = inferencer(images[0], tasks=['seg'])
    assert record['seg'].shape == (192, 256)
    for entry in encoded['seg']:
        assert (
            (coco_mask.decode(entry['segmentation']) == 1) == (record['seg'] == entry['label'])
        ).all()
    with pytest.raises(ConfigError, match='masks'):
        inferencer(images[0], masks='png')
    with pytest.raises(ConfigError, match='out_dir cannot hold'):
        inferencer(images[0], masks='array', out_dir='x')


def test_broken_inputs_are_none_in_their_places(infer, images, tmp_path):
    (tmp_path / 'a.jpg').write_text('text')
    errors = []
    found = infer()([images[0], tmp_path / 'a.jpg', images[1]], on_error=errors.append)
    assert [record is None for record in found] == [False, True, False]
    assert len(errors) == 1 and 'a.jpg' in str(errors[0])
    with pytest.raises(DataError, match='a.jpg'):
        infer()([images[0], tmp_path / 'a.jpg'])


def test_what_the_model_fails_on_does_not_take_others_along(infer, images):
    inferencer, image = infer(), read_image(images[0])

    def fail(_, inputs):
        if (inputs[0][:, :, 0, 0] == inputs[0].amax((2, 3))).all(1).any():
            raise RuntimeError('out of memory')

    expected = inferencer(image)[0]
    inferencer.model.backbone.register_forward_pre_hook(fail)
    bad, errors = np.full_like(image, 7), []
    found = inferencer([image, bad, image], on_error=errors.append)
    assert found[0] == found[2] == expected and found[1] is None
    assert str(errors[0]) == (
        'input 1 (256 x 192 pixels): the model fails on it: RuntimeError: out of memory'
    )


def test_boxes_are_classified_as_their_crops_are(infer, images):
    steps = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(64, 48))]
    pipeline = [*steps, dict(type='PackInputs')]
    inferencer, image = (
        infer(**{'test_dataloader.cls.dataset.pipeline': pipeline}),
        read_image(images[0]),
    )
    passes = []
    inferencer.model.backbone.register_forward_hook(lambda _, inputs, __: passes.append(inputs))
    options = dict(tasks=['det', 'seg'], return_vis=True, score_thr=0)
    (record,), (drawing,) = inferencer(image, classify_boxes='cls', **options)
    assert len(passes) == 2 and len(passes[1][0]) == len(record['det']) > 1
    assert all(box['cls'].keys() >= {'label', 'score', 'top5'} for box in record['det'])
    x1, y1, x2, y2 = record['det'][0]['bbox']
    crop = image[max(int(y1), 0) : int(np.ceil(y2)), max(int(x1), 0) : int(np.ceil(x2))]
    crop = cv2.resize(crop, (64, 48), interpolation=cv2.INTER_LINEAR)
    inputs = torch.from_numpy(crop.transpose(2, 0, 1).copy())
    with torch.no_grad():
        (sample,) = inferencer.model.tasks.cls.test_step(dict(inputs=[inputs], data_samples=None))
    found = record['det'][0]['cls']
    assert found['label'] == int(sample.pred_label)
    assert found['score'] == pytest.approx(float(sample.pred_score.max()), abs=1e-4)
    _, (plain,) = inferencer(image, **options)
    assert (drawing != plain).any()


def test_a_box_that_is_no_box_has_a_crop():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    nan, inf = np.nan, np.inf
    boxes = np.array([[nan, nan, nan, nan], [-inf, 1, inf, 3], [5.5, 3.5, 9, 9], [7, 8, 9, 10]])
    found = list(_crops(image, boxes))
    for crop, expected in zip(
        found, (image[:1, :1], image[1:3], image[3:, 5:], image[3:, 5:]), strict=True
    ):
        assert np.array_equal(crop, expected)


def test_boxes_cannot_be_classified_by_what_does_not_classify(infer, images):
    with pytest.raises(ConfigError, match="classify_boxes is 'seg', which does not classify"):
        infer()(images[0], classify_boxes='seg')
    with pytest.raises(ConfigError, match="classify_boxes is 'lane'; the choices are"):
        infer()(images[0], classify_boxes='lane')
    with pytest.raises(ConfigError, match="none of the tasks .*'seg'.* detects"):
        infer()(images[0], tasks=['seg'], classify_boxes='cls')
    with pytest.raises(ConfigError, match='no test or val data set'):
        inferencer = infer()
        for key in ('test_dataloader', 'val_dataloader'):
            inferencer.cfg.pop(key)
        inferencer(images[0], classify_boxes='cls')


def test_a_record_is_drawn_as_its_samples_are(infer, images):
    inferencer = infer()
    image = read_image(images[0])
    (record,), (drawing,) = inferencer(image, classify_boxes='cls', return_vis=True, score_thr=0.01)
    record = json.loads(json.dumps(record))
    again = draw_tasks(image[..., ::-1], from_record(record), inferencer.metainfo, 0.01)
    assert (again == drawing).all()
