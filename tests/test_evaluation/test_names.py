from types import SimpleNamespace

import pytest

from allinone.errors import ConfigError
from allinone.evaluation.names import check_metric_names, metric_names
from allinone.tasks import Classification, Detection, Segmentation


def metric(kind, **attributes):
    return type(kind, (SimpleNamespace,), {})(**attributes)


ACCURACY = metric('Accuracy', topk=(1, 5), thrs=(0.0,))
BOXES = metric('CocoMetric', metrics=['bbox'], metric_items=None, classwise=False)
REGIONS = metric('IoUMetric', metrics=['mIoU'], dataset_meta=dict(classes=['road']))


@pytest.mark.parametrize(
    'metrics, kind, expected',
    [
        ([ACCURACY], Classification, {'top1', 'top5'}),
        ([REGIONS], Segmentation, {'aAcc', 'mIoU', 'mAcc', 'IoU.road'}),
        ([ACCURACY, metric('Other')], Classification, None),
        (
            [
                metric(
                    'CocoMetric',
                    metrics=['bbox'],
                    metric_items=['mAP'],
                    classwise=True,
                    dataset_meta=dict(classes=['car']),
                )
            ],
            Detection,
            {'bbox_mAP', 'car_precision'},
        ),
    ],
)
def test_values_known_beforehand(metrics, kind, expected):
    assert metric_names(SimpleNamespace(metrics=metrics), kind()) == expected


def test_box_values_are_those_of_the_upstream_metric():
    from mmdet.evaluation import CocoMetric
    from mmpretrain.evaluation import Accuracy
    from mmseg.evaluation import IoUMetric

    assert 'bbox_mAP_50' in metric_names(SimpleNamespace(metrics=[BOXES]), Detection())
    upstream = [CocoMetric(metric='bbox'), Accuracy(topk=(1, 5)), IoUMetric()]
    kinds = [Detection(), Classification(), Segmentation()]
    for given, kind, name in zip(upstream, kinds, ['bbox_mAP_50', 'top1', 'mIoU']):
        assert name in metric_names(SimpleNamespace(metrics=[given]), kind)


def test_values_are_checked():
    evaluated = dict(cls={'top1', 'top5'}, det=None)
    check_metric_names('key', ['cls/top1', 'cls/accuracy/top5', 'det/anything'], evaluated)
    with pytest.raises(ConfigError, match=r"'cls/mAP', but val_evaluator.cls gives .*top1"):
        check_metric_names('key', ['cls/mAP'], evaluated)
    with pytest.raises(ConfigError, match=r"key names \['seg/mIoU'\]"):
        check_metric_names('key', ['seg/mIoU'], evaluated)
