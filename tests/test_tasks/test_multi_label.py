"""Predictions of several labels, or none, of an image."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.heads import MultiLabelLinearClsHead
from mmpretrain.structures import DataSample

from allinone.inference.records import from_record, to_record
from allinone.registry.kinds import kind_of_prediction
from allinone.tasks import Classification, MultiLabelClassification
from allinone.tasks.classification import caption
from allinone.visualization import draw_tasks
from allinone.visualization.draw import Drawing
from allinone.visualization.palette import ClassTable

CLASSES = dict(classes=('wet', 'night', 'snow', 'fog'))
# Scores as multiples of 1/8, which float32 holds exactly
CASES = {
    'none': ([0.25, 0.125, 0.0, 0.375], [], 'none'),
    'one': ([0.25, 0.75, 0.0, 0.375], [1], 'night (0.75)'),
    'many': ([0.625, 0.125, 0.875, 0.5], [2, 0, 3], 'snow (0.88), wet (0.62), fog (0.50)'),
}


def predicted(scores, threshold=0.5):
    """As mmpretrain's head predicts it."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        head = MultiLabelLinearClsHead(num_classes=4, in_channels=4, thr=threshold)
    logits = torch.tensor([scores]).logit()
    (sample,) = head._get_predictions(logits, [DataSample()])
    assert sample.pred_score.tolist() == pytest.approx(scores)
    return sample.set_pred_score(torch.tensor(scores))


@pytest.mark.parametrize('name', CASES)
def test_the_record_has_the_predicted_labels_and_all_scores(name):
    scores, labels, _ = CASES[name]
    record = to_record(predicted(scores), CLASSES, kind=MultiLabelClassification())
    assert record == dict(
        labels=[
            dict(label=label, name=CLASSES['classes'][label], score=scores[label])
            for label in labels
        ],
        scores=scores,
    )
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize('name', CASES)
def test_the_drawing_has_the_predicted_labels(name):
    scores, labels, words = CASES[name]
    kind, sample = MultiLabelClassification(), predicted(scores)
    drawing = Drawing(np.zeros((480, 640, 3), np.uint8))
    kind.draw(drawing, 'weather', sample, ClassTable(CLASSES), 0.3)
    ((task, entries),) = drawing._labels
    assert task == 'weather' and [text for text, _ in entries] == words.split(', ')
    record = to_record(sample, CLASSES, kind=kind)
    assert caption(record) == words
    again = from_record(dict(weather=record), dict(weather=kind))
    images = [
        draw_tasks(np.zeros((480, 640, 3), np.uint8), given, dict(weather=CLASSES), kinds=kinds)
        for given, kinds in (
            (dict(weather=sample), dict(weather=kind)),
            (again, dict(weather=kind)),
        )
    ]
    assert np.array_equal(*images)


@pytest.mark.parametrize('name', CASES)
def test_without_a_kind_a_prediction_of_other_than_one_label_is_of_several(name):
    kind = Classification if name == 'one' else MultiLabelClassification
    assert type(kind_of_prediction(predicted(CASES[name][0]))) is kind
