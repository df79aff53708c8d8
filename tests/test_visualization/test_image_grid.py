import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from allinone.tasks import Classification, Detection, Segmentation
from allinone.visualization.draw import draw_tasks
from allinone.visualization.image_grid import contact_sheet, side_by_side
from allinone.visualization.legend import BACKGROUND


def plain(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_drawings_stand_beside_each_other_below_titles():
    sheet = side_by_side([('a', plain(300, 400, 10)), ('b', plain(330, 400, 200))])
    title = len(sheet) - 330
    assert title > 10 and sheet.shape[1] == 400 + 400 + 3
    assert (sheet[title : title + 300, :400] == 10).all()
    assert (sheet[title : title + 330, 403:] == 200).all()
    assert (sheet[title + 300 :, :400] == BACKGROUND).all()
    assert sheet[:title].max() > 200, 'no titles'


@pytest.mark.parametrize('count, rows', [(1, 1), (3, 1), (4, 2)])
def test_contact_sheet_keeps_ratios(count, rows):
    sheet = contact_sheet([plain(100, 200, 50 + i) for i in range(count)], 3, 60)
    assert sheet.shape == (rows * 32 - 2, 3 * 62 - 2, 3)
    for i in range(count):
        y, x = 32 * (i // 3), 62 * (i % 3)
        assert (sheet[y : y + 30, x : x + 60] == 50 + i).all()


def test_truth_of_each_kind():
    truth_of = Detection().ground_truth
    boxes = InstanceData(bboxes=torch.tensor([[1.0, 2, 3, 4]]), labels=torch.tensor([1]))
    truth = truth_of(DetDataSample(gt_instances=boxes))
    assert truth.pred_instances.bboxes.tolist() == [[1, 2, 3, 4]]
    info = dict(
        instances=[
            dict(bbox=[10, 20, 30, 40], bbox_label=0, ignore_flag=0),
            dict(bbox=[0, 0, 1, 1], bbox_label=0, ignore_flag=1),
        ]
    )
    truth = truth_of(DetDataSample(gt_instances=boxes), info)
    assert truth.pred_instances.bboxes.tolist() == [[10, 20, 30, 40]]
    assert truth_of(DetDataSample(), dict(instances=[])).pred_instances.bboxes.shape == (0, 4)
    mask = torch.full((1, 4, 4), 255)
    assert (
        Segmentation()
        .ground_truth(SegDataSample(gt_sem_seg=PixelData(data=mask)))
        .pred_sem_seg.data
        is mask
    )
    truth_of = Classification().ground_truth
    assert truth_of(DataSample().set_gt_label(2)).pred_label.tolist() == [2]
    mixed = DataSample().set_gt_label(2).set_gt_score(torch.tensor([0.0, 0.25, 0.75]))
    assert truth_of(mixed).pred_label.tolist() == [1, 2]
    assert not truth_of(DataSample().set_pred_label(1)).keys()


def test_truth_is_drawn_without_scores_and_in_full():
    boxes = InstanceData(bboxes=torch.tensor([[100.0, 100, 300, 200]]), labels=torch.tensor([0]))
    red = dict(classes=['van'], palette=[[255, 0, 0]])
    drawn = draw_tasks(
        plain(480, 640, 100),
        {'a': Detection().ground_truth(DetDataSample(gt_instances=boxes))},
        {'a': red},
    )
    assert tuple(drawn[150, 100]) == (255, 0, 0)
    scored = boxes.clone()
    scored.scores = torch.tensor([0.9])
    other = draw_tasks(
        plain(480, 640, 100), {'a': DetDataSample(pred_instances=scored)}, {'a': red}
    )
    chips = [((image[70:100] == (255, 0, 0)).all(-1)).any(0).sum() for image in (drawn, other)]
    assert 0 < chips[0] < chips[1], 'the caption has a score'
