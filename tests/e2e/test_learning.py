"""Joint training learns: a minute of it on toy scenes, against metrics fixed beforehand."""

import json
from pathlib import Path

import cv2
import pytest
from conftest import run_tool, tiny
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from allinone.inference.inferencer import AllInOneInferencer
from allinone.registry import RUNNERS
from allinone.training.run import build_test_runner
from benchmarks.infer_metrics import enlarge as enlarge_test_data
from benchmarks.infer_metrics import score_records

STEPS = 80


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """The folder that ALLINONE_DATA names."""
    root = tmp_path_factory.mktemp('scenes')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ALLINONE_DATA', str(root))
        yield root


@pytest.fixture(scope='module')
def learnt(scenes, tmp_path_factory):
    """Metrics before and after, and the logged losses, of 80 steps on 64 scenes a task."""
    from allinone.data.toy.make import make_toy_data

    work_dir = tmp_path_factory.mktemp('learning')
    make_toy_data(scenes / 'toy', seed=1, images=64)
    cfg = tiny(
        work_dir,
        **{
            'train_cfg.max_iters': STEPS,
            'train_cfg.val_interval': STEPS,
            'default_hooks.checkpoint.interval': STEPS,
            'model.grad_similarity_interval': 0,
        },
    )
    cfg.optim_wrapper.optimizer.lr = 3e-3
    for task, batch in dict(cls=16, det=4, seg=4).items():
        cfg.train_dataloader[task].batch_size = batch
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=10, end=STEPS, T_max=STEPS - 10),
    ]
    runner = RUNNERS.build(cfg)
    runner.model.init_weights()
    before = runner.test()
    runner._testing = False
    runner.train()
    lines = [
        json.loads(line)
        for file in work_dir.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    after = [line for line in lines if 'score' in line][-1]
    return before, after, [line for line in lines if 'lr' in line], work_dir


@pytest.mark.parametrize(
    'metric, untrained, trained',
    [('cls/top1', 15, 20), ('det/bbox_mAP_50', 0.005, 0.03), ('seg/mIoU', 10, 25)],
)
def test_an_untrained_model_fails_and_a_trained_one_does_not(learnt, metric, untrained, trained):
    before, after, *_ = learnt
    assert before[metric] < untrained
    assert after[metric] > trained


@pytest.mark.parametrize('task, share', [('cls', 0.97), ('det', 0.85), ('seg', 0.6)])
def test_every_loss_falls(learnt, task, share):
    losses = [line[f'{task}/loss'] for line in learnt[2]]
    assert sum(losses[-5:]) < share * sum(losses[:5])


def enlarge(det, out, factor=3):
    """The validation images and boxes of a COCO folder, enlarged."""
    content = json.loads((det / 'val.json').read_text())
    (out / 'val').mkdir(parents=True)
    for image in content['images']:
        pixels = cv2.imread(str(det / 'val' / image['file_name']))
        enlarged = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(out / 'val' / image['file_name']), enlarged)
        image['height'], image['width'] = enlarged.shape[:2]
    for box in content['annotations']:
        box.update(bbox=[side * factor for side in box['bbox']], area=box['area'] * factor**2)
        box.pop('segmentation', None)
    (out / 'val.json').write_text(json.dumps(content))


def test_boxes_of_infer_score_as_test_does_on_images_larger_than_the_test_scale(
    learnt, scenes, tmp_path
):
    enlarge(scenes / 'toy/det', tmp_path / 'large')
    checkpoint = learnt[-1] / 'iter_80.pth'
    cfg = tiny(tmp_path / 'work')
    cfg.test_dataloader.det.dataset.update(
        ann_file=str(tmp_path / 'large/val.json'),
        data_prefix=dict(img=str(tmp_path / 'large/val')),
    )
    cfg.test_evaluator.det.ann_file = str(tmp_path / 'large/val.json')
    tested = build_test_runner(cfg, str(checkpoint), ['det']).test()['det/bbox_mAP_50']

    out = tmp_path / 'out'
    status = run_tool('infer', checkpoint, tmp_path / 'large/val', '--out-dir', out)
    assert status == 0
    truth = COCO(str(tmp_path / 'large/val.json'))
    ids = {Path(image['file_name']).stem: image['id'] for image in truth.dataset['images']}
    found = [
        dict(
            image_id=number,
            category_id=truth.getCatIds(catNms=[box['name']])[0],
            bbox=[x1, y1, x2 - x1, y2 - y1],
            score=box['score'],
        )
        for name, number in ids.items()
        for box in json.loads((out / f'predictions/{name}.json').read_text())['det']
        for x1, y1, x2, y2 in [box['bbox']]
    ]
    scores = COCOeval(truth, truth.loadRes(found), 'bbox')
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    assert tested > 0.03
    assert scores.stats[1] == pytest.approx(tested, abs=0.002)


@pytest.mark.parametrize('size', [None, (640, 480)])
def test_predictions_as_tested_score_as_a_test_does_to_the_last_digit(
    learnt, scenes, tmp_path, size
):
    checkpoint = str(learnt[-1] / 'iter_80.pth')
    cfg = tiny(tmp_path / 'work')
    # So each task is tested on images of another size.
    cfg.test_dataloader.seg.dataset.pipeline.insert(1, dict(type='Resize', scale=(160, 120)))
    tasks = enlarge_test_data(cfg, str(tmp_path), size) if size else ['cls', 'det', 'seg']
    assert tasks == (['det', 'seg'] if size else ['cls', 'det', 'seg'])
    inferencer = AllInOneInferencer(cfg, checkpoint, 'cpu', mode='as_tested')
    in_one_pass = AllInOneInferencer(cfg, checkpoint, 'cpu', mode='one_pass')
    runner = build_test_runner(cfg, checkpoint, tasks)
    tested = runner.test()
    for task in tasks:
        expected = {name: value for name, value in tested.items() if name.startswith(f'{task}/')}
        assert expected and any(value > 0 for value in expected.values())
        assert score_records(runner.test_loop, task, inferencer) == expected
    assert score_records(runner.test_loop, 'seg', in_one_pass)['seg/mIoU'] != tested['seg/mIoU']
