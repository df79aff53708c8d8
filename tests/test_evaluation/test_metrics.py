import json
import math

import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.structures import InstanceData, PixelData

from allinone.errors import ConfigError
from allinone.evaluation import DetectionMetric, SegmentationMetric
from allinone.evaluation.metrics import complete_annotations
from allinone.evaluation.score import combined_score, short_names


def perfect(kind, path, first_id=1, drop=()):
    """mAP50 of two boxes that are both found exactly."""
    boxes = [(1, 1, [10, 10, 50, 50]), (2, 2, [20, 20, 60, 70])]
    annotations = [
        dict(id=number, image_id=i, category_id=c, bbox=box, area=box[2] * box[3], iscrowd=0)
        for number, (i, c, box) in enumerate(boxes, first_id)
    ]
    content = dict(
        images=[dict(id=i, file_name=f'{i}.jpg', width=256, height=192) for i in (1, 2)],
        categories=[dict(id=1, name='car'), dict(id=2, name='bus')],
        annotations=[{k: v for k, v in a.items() if k not in drop} for a in annotations],
    )
    path.write_text(json.dumps(content))
    metric = kind(ann_file=str(path), metric=['bbox', 'proposal_fast'])
    complete_annotations(metric)
    metric.dataset_meta = dict(classes=('car', 'bus'))
    for i, c, (x, y, width, height) in boxes:
        found = dict(
            bboxes=torch.tensor([[x, y, x + width, y + height]], dtype=torch.float),
            scores=torch.tensor([0.9]),
            labels=torch.tensor([c - 1]),
        )
        metric.process({}, [dict(img_id=i, ori_shape=(192, 256), pred_instances=found)])
    return metric.evaluate(2)['coco/bbox_mAP_50']


@pytest.mark.parametrize('kind', [DetectionMetric, CocoMetric])
@pytest.mark.parametrize('first_id, drop', [(1, ()), (0, ()), (1, ('iscrowd',)), (0, ('iscrowd',))])
def test_ids_from_0_and_no_iscrowd_change_no_metric(tmp_path, kind, first_id, drop):
    assert perfect(kind, tmp_path / 'val.json', first_id, drop) == 1.0


def test_short_names_drop_prefixes_unless_they_would_clash():
    found = {'accuracy/top1': 1, 'mIoU': 2, 'IoU.area/drivable': 3}
    assert short_names(found, ['accuracy', None]) == {'top1': 1, 'mIoU': 2, 'IoU.area/drivable': 3}
    clash = {'coco/mAP': 1, 'lvis/mAP': 2, 'coco/AR': 3}
    assert short_names(clash, ['coco', 'lvis']) == {'coco/mAP': 1, 'lvis/mAP': 2, 'AR': 3}


def test_score_is_the_mean_in_percent():
    metrics = {'cls/top1': 90.0, 'det/bbox_mAP_50': 0.3, 'seg/mIoU': 60.0}
    members = {'cls/top1': 1, 'det/bbox_mAP_50': 100, 'seg/mIoU': 1}
    assert combined_score(metrics, members, 'val_cfg.score') == {'score': pytest.approx(60.0)}
    assert combined_score(metrics, {}, 'val_cfg.score') == {}
    with pytest.raises(ConfigError, match=r"val_cfg.score names \['cls/top5'\].*det/bbox_mAP_50"):
        combined_score(metrics, {'cls/top5': 1}, 'val_cfg.score')


def segmentation(prediction, label, classes):
    from mmseg.structures import SegDataSample

    metric = SegmentationMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dict(classes=classes)
    sample = SegDataSample(
        pred_sem_seg=PixelData(data=torch.tensor([prediction])),
        gt_sem_seg=PixelData(data=torch.tensor([label])),
    )
    metric.process({}, [sample.to_dict()])
    return metric.evaluate(1)


def test_iou_of_each_class_by_hand():
    # road: intersection 2, union 3; sky: 1 of 2; car absent everywhere; 255 is no pixel at all
    found = segmentation([[0, 0, 0, 1, 1]], [[0, 0, 1, 1, 255]], ('road', 'sky', 'car'))
    assert found['IoU.road'] == pytest.approx(66.67)
    assert found['IoU.sky'] == pytest.approx(50.0)
    assert math.isnan(found['IoU.car'])
    assert found['mIoU'] == pytest.approx(58.33, abs=0.01)
    assert found['aAcc'] == pytest.approx(75.0)


@pytest.fixture
def coco(tmp_path):
    content = dict(
        images=[dict(id=1, width=100, height=100, file_name='a.jpg')],
        categories=[dict(id=1, name='car'), dict(id=2, name='bus')],
        annotations=[
            dict(id=1, image_id=1, category_id=1, bbox=[10, 10, 40, 40], area=1600, iscrowd=0)
        ],
    )
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    metric = DetectionMetric(ann_file=str(tmp_path / 'ann.json'), metric='bbox')
    metric.dataset_meta = dict(classes=('car', 'bus'))
    return metric


def detection(metric, boxes, scores, labels):
    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo=dict(img_id=1, ori_shape=(100, 100)))
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes).reshape(-1, 4),
        scores=torch.tensor(scores),
        labels=torch.tensor(labels, dtype=torch.long),
    )
    metric.process({}, [sample.to_dict()])
    return metric.evaluate(1)


def test_a_box_of_iou_060_by_hand(coco):
    # 40 x 40 against 40 x 24 inside it: IoU 0.6, so right at the thresholds 0.5, 0.55 and 0.6
    found = detection(coco, [[10.0, 10.0, 50.0, 34.0]], [0.9], [0])
    assert found['coco/bbox_mAP_50'] == 1.0
    assert found['coco/bbox_mAP'] == pytest.approx(0.3)


def test_detections_without_any_annotated_box_are_zero_too(tmp_path, coco):
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(annotations=[])))
    coco = DetectionMetric(ann_file=str(path), metric='bbox')
    coco.dataset_meta = dict(classes=('car', 'bus'))
    found = detection(coco, [[10.0, 10.0, 50.0, 34.0]], [0.9], [0])
    assert len(found) == 6 and set(found.values()) == {0.0}


def test_no_detection_at_all_is_zero_not_absent(coco):
    found = detection(coco, [], [], [])
    assert found['coco/bbox_mAP'] == found['coco/bbox_mAP_50'] == 0.0
