import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import TOY_CONFIG, run_tool
from pycocotools import mask as coco_mask

from allinone.apis.inferencer import AllInOneInferencer
from allinone.apis.records import dataset_metainfo, encode_mask
from allinone.engine.checkpoint import read_checkpoint
from allinone.errors import CheckpointError, ConfigError, DataError
from allinone.visualization.pictures import read_picture

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
def pictures(toy_root):
    return [str(path) for path in sorted((toy_root / 'toy/seg/images/val').iterdir())[:4]]


def test_a_record_tells_all_tasks(infer, pictures):
    (record,) = infer()(pictures[0])
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


def test_one_pass_of_the_trunk_for_all_tasks(infer, pictures):
    inferencer, passes = infer(), []
    inferencer.model.backbone.register_forward_hook(lambda *_: passes.append(1))
    inferencer(pictures, batch_size=4)
    assert len(passes) == 1


def test_encoded_masks_decode_to_the_prediction(infer, pictures):
    inferencer = infer()
    (record,) = inferencer(pictures[0], tasks=['seg'])
    assert list(record) == ['seg']
    sample = inferencer.predict([read_picture(pictures[0])], ['seg'])[0]['seg']
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


def test_results_are_in_the_pixels_of_the_original(infer, pictures):
    image = read_picture(pictures[0])
    large = cv2.resize(image, (512, 384))
    (expected,) = infer()(large)
    (found,) = infer(inference=dict(scale=(512, 384)))(image)
    assert len(found['det']) == len(expected['det']) > 0
    np.testing.assert_allclose(
        [box['bbox'] for box in found['det']],
        np.array([box['bbox'] for box in expected['det']]) / 2,
        atol=0.01,
    )
    assert found['seg'][0]['segmentation']['size'] == [192, 256]


def test_the_ratio_is_kept(infer, pictures):
    inferencer = infer(inference=dict(scale=(320, 320)))
    assert inferencer._resize(np.zeros((100, 200, 3), np.uint8)).shape == (160, 320, 3)


def test_records_do_not_depend_on_the_batch(infer, pictures):
    inferencer = infer()
    single, four = inferencer(pictures, batch_size=1), inferencer(pictures, batch_size=4)
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


def test_pictures_of_several_sizes_are_not_padded_to_one(infer, pictures):
    image = read_picture(pictures[0])
    inferencer = infer()
    mixed = inferencer([image, image[:100, :130].copy(), image], batch_size=4)
    assert mixed[0] == mixed[2] == inferencer(image)[0]
    assert mixed[1]['seg'][0]['segmentation']['size'] == [100, 130]


def test_paths_folders_and_arrays_mix(infer, pictures, tmp_path):
    for path in pictures[:2]:
        shutil.copy(path, tmp_path)
    records, drawings = infer()(
        [tmp_path, read_picture(pictures[2]), pictures[0]],
        out_dir=tmp_path / 'out',
        return_vis=True,
    )
    assert len(records) == len(drawings) == 4
    assert records[0] == records[3]
    assert all(drawing.dtype == np.uint8 for drawing in drawings)
    # The same picture under two paths, and an array: no name twice
    assert len(list((tmp_path / 'out/vis').glob('*.jpg'))) == 4
    assert len(list((tmp_path / 'out/predictions').glob('*.json'))) == 4


@pytest.mark.parametrize('wrong', [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), 3])
def test_what_is_no_picture_is_refused(infer, wrong):
    with pytest.raises(DataError, match='give a path or a uint8 BGR array'):
        infer()(wrong)


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
    with pytest.raises(CheckpointError, match='lacks .* tensors .*tasks.det'):
        AllInOneInferencer(cfg, tmp_path / 'part.pth', 'cpu')
    inferencer = AllInOneInferencer(cfg, tmp_path / 'part.pth', 'cpu', tasks=['cls', 'seg'])
    picture = np.zeros((64, 64, 3), np.uint8)
    assert list(inferencer(picture)[0]) == ['cls', 'seg']
    with pytest.raises(ConfigError, match="'det'.* not among those"):
        inferencer(picture, tasks=['det'])


def test_arrays_and_files_never_share_a_name(infer, pictures, tmp_path):
    shutil.copy(pictures[0], tmp_path / '000001.png')
    infer()([tmp_path / '000001.png', read_picture(pictures[1])], out_dir=tmp_path / 'out')
    assert len(list((tmp_path / 'out/vis').iterdir())) == 2


def test_classes_come_from_the_config_if_the_checkpoint_has_none(trained, infer):
    cfg, inferencer = trained[1], infer()
    for task in TASKS:
        assert list(dataset_metainfo(cfg, task)['classes']) == list(
            inferencer.metainfo[task]['classes']
        )


@pytest.fixture
def tool(trained):
    checkpoint = trained[2] / 'iter_4.pth'
    return lambda *args, checkpoint=checkpoint: run_tool(
        'infer', TOY_CONFIG, checkpoint, *args, '--device', 'cpu'
    )


def test_tool_writes_a_drawing_and_a_record(tool, pictures, tmp_path):
    assert tool(*pictures[:2], '--out-dir', tmp_path / 'out', '--tasks', 'cls', 'seg') == 0
    for path in pictures[:2]:
        stem = Path(path).stem
        assert read_picture(tmp_path / f'out/vis/{stem}.jpg').shape[1] == 640
        record = json.loads((tmp_path / f'out/predictions/{stem}.json').read_text())
        assert list(record) == ['cls', 'seg']
    assert len(list((tmp_path / 'out').rglob('*.*'))) == 4


def test_tool_goes_on_after_broken_inputs(tool, pictures, tmp_path, capsys):
    folder, empty = tmp_path / 'in', tmp_path / 'empty'
    folder.mkdir()
    empty.mkdir()
    (folder / 'a.jpg').write_text('text')
    shutil.copy(pictures[0], folder / 'b.png')
    data = Path(pictures[1]).read_bytes()
    (folder / Path(pictures[1]).name).write_bytes(data[: len(data) // 2])
    status = tool(
        folder,
        empty,
        tmp_path / 'gone.png',
        '--out-dir',
        tmp_path / 'out',
        '--tasks',
        'cls',
        'lane',
    )
    assert status == 1
    assert [path.name for path in (tmp_path / 'out/predictions').iterdir()] == ['b.json']
    errors = capsys.readouterr().err
    for name in ("'lane'", 'a.jpg', Path(pictures[1]).name, 'empty', 'gone.png'):
        assert sum(name in line for line in errors.splitlines() if 'error: ' in line) >= 1, name
    assert 'Traceback' not in errors


def test_tool_says_what_is_wrong_with_a_checkpoint(tool, pictures, tmp_path, capsys):
    bad = tmp_path / 'bad.pth'
    bad.write_text('no checkpoint')
    assert tool(pictures[0], '--out-dir', tmp_path / 'out', checkpoint=str(bad)) == 2
    assert 'bad.pth' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
