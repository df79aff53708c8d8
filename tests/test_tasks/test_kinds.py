"""Which kind a task is of, and what is refused."""

import re

import numpy as np
import pytest
import torch
from bad_input import model_error
from conftest import build_model, tiny
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from allinone.errors import ConfigError, DataError
from allinone.inference.records import from_record, to_record
from allinone.registry import MODELS, TASK_KINDS
from allinone.registry.kinds import registered_kinds
from allinone.tasks import Detection, Segmentation, TaskKind
from allinone.visualization import draw_tasks

POOL = dict(type='GlobalAveragePooling')
LINEAR = dict(type='LinearClsHead', num_classes=3, in_channels=48)
CLASSIFIER = dict(type='mmpretrain.ImageClassifier', feature_indices=(2,), neck=POOL, head=LINEAR)
SEVERAL = dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=48)
PROJECTION = dict(
    type='NonLinearNeck', in_channels=48, hid_channels=16, out_channels=8, with_avg_pool=True
)
CONTRAST = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2)
MOCO = dict(
    type='mmpretrain.MoCo',
    feature_indices=(2,),
    queue_len=16,
    feat_dim=8,
    neck=dict(PROJECTION, type='MoCoV2Neck'),
    head=CONTRAST,
)
BYOL = dict(
    type='mmpretrain.BYOL',
    feature_indices=(2,),
    neck=PROJECTION,
    head=dict(
        type='LatentPredictHead',
        loss=dict(type='CosineSimilarityLoss'),
        predictor=dict(PROJECTION, in_channels=8, with_avg_pool=False),
    ),
)
SIMCLR = dict(type='mmpretrain.SimCLR', feature_indices=(2,), neck=PROJECTION, head=CONTRAST)
REID = dict(
    type='mmdet.BaseReID',
    feature_indices=(2,),
    neck=dict(type='GlobalAveragePooling', kernel_size=(8, 8), stride=1),
    head=dict(
        type='LinearReIDHead',
        num_fcs=1,
        in_channels=48,
        fc_channels=16,
        out_channels=8,
        num_classes=5,
        loss_cls=dict(type='mmpretrain.CrossEntropyLoss'),
        norm_cfg=dict(type='BN1d'),
        act_cfg=dict(type='ReLU'),
    ),
)
RETRIEVER = dict(
    type='mmpretrain.ImageToImageRetriever', feature_indices=(2,), prototype=torch.eye(48), topk=3
)


@MODELS.register_module()
class ModelWithoutBackbone(BaseModel):
    def __init__(self, data_preprocessor=None):
        super().__init__(data_preprocessor)


@pytest.fixture
def cfg_of(toy_root, tmp_path):
    """A joint config of one task, ``x``."""

    def made(task):
        cfg = tiny(tmp_path / 'work')
        cfg.model.tasks = dict(x=task)
        return cfg

    return made


@pytest.fixture
def registered():
    """Register a kind for one test."""
    before = dict(TASK_KINDS.module_dict)

    def register(name, kind):
        TASK_KINDS.register_module(name=name, module=kind)

    yield register
    TASK_KINDS._module_dict.clear()
    TASK_KINDS._module_dict.update(before)


def task_of(cfg):
    model = build_model(cfg)
    return model.tasks['x'], model.kinds['x']


@pytest.mark.parametrize(
    'task, name',
    [
        (CLASSIFIER, 'classification'),
        (dict(CLASSIFIER, head=SEVERAL), 'multi_label_classification'),
        (dict(CLASSIFIER, kind='classification'), 'classification'),
        (dict(CLASSIFIER, kind='multi_label_classification'), 'multi_label_classification'),
        (dict(CLASSIFIER, kind=dict(type='classification')), 'classification'),
        (
            dict(CLASSIFIER, type=ImageClassifier, neck=dict(type='mmpretrain.' + POOL['type'])),
            'classification',
        ),
        (REID, 'retrieval'),
        (dict(REID, data_preprocessor=dict(type='ReIDDataPreprocessor')), 'retrieval'),
    ],
)
def test_a_kind_is_chosen_by_the_model_or_by_name(cfg_of, task, name):
    cfg = cfg_of(task)
    model, kind = task_of(cfg)
    assert kind.name == name
    # The joint model's normalisation, by the name that the preprocessor has for it
    given = cfg.model.data_preprocessor
    assert model.data_preprocessor.to_rgb == given.bgr_to_rgb
    assert model.data_preprocessor.mean.flatten().tolist() == pytest.approx(given.mean)


@pytest.mark.parametrize(
    'task, says',
    [
        (dict(CLASSIFIER, kind='regression'), r"^model.tasks.x.kind is 'regression'; the choices"),
        (dict(CLASSIFIER, kind=3), r"^model.tasks.x.kind is 3; the choices are \['classification"),
        (
            dict(CLASSIFIER, kind='detection'),
            r"^model.tasks.x.kind is 'detection', which does not fit ImageClassifier; name one of "
            r"\['classification', 'multi_label_classification', 'retrieval'\]",
        ),
        (
            dict(CLASSIFIER, kind=dict(type='classification', size=3)),
            r'^model.tasks.x.kind.size is 3, but Classification has no such option',
        ),
        (
            dict(type='allinone.ModelWithoutBackbone'),
            r"^model.tasks.x.type is 'ModelWithoutBackbone', of no registered kind; the kinds are",
        ),
        (
            dict(type='mmdet.SoftTeacher', detector={}),
            r"^model.tasks.x.type is 'mmdet.SoftTeacher', which has no argument 'backbone'",
        ),
        (MOCO, r"^model.tasks.x: MoCo keeps a copy of its backbone in 'encoder_k"),
        (BYOL, r"^model.tasks.x: BYOL keeps a copy of its backbone in 'target_net"),
        (SIMCLR, r"^model.tasks.x.type is 'SimCLR', of no registered kind"),
        (RETRIEVER, r"^model.tasks.x.type is 'ImageToImageRetriever', of no registered kind"),
    ],
)
def test_a_model_that_cannot_be_a_task_is_refused(cfg_of, task, says):
    error = model_error(cfg_of(task))
    assert re.search(says, error), error


class SelfSupervised(TaskKind):
    """The kind of docs/add_a_kind.md that only trains."""

    models = ('mmpretrain.models.selfsup.base.BaseSelfSupervisor',)
    library = 'mmpretrain'
    preprocessor = 'SelfSupDataPreprocessor'


def test_a_kind_that_only_trains_is_three_lines(cfg_of, registered):
    registered('self_supervised', SelfSupervised)
    model, kind = task_of(cfg_of(SIMCLR))
    assert kind.name == 'self_supervised'
    views = [torch.rand(4, 3, 64, 64), torch.rand(4, 3, 64, 64)]
    assert model(views, [DataSample()] * 4, mode='loss')['loss'] > 0


def test_a_kind_does_not_help_a_model_that_copies_its_backbone(cfg_of, registered):
    registered('self_supervised', SelfSupervised)
    assert 'MoCo keeps a copy of its backbone' in model_error(cfg_of(MOCO))


def test_features_may_enter_elsewhere(cfg_of, registered):
    class Search(TaskKind):
        models = ('mmpretrain.models.retrievers.base.BaseRetriever',)
        entry = 'image_encoder'

    registered('search', Search)
    cfg = cfg_of(RETRIEVER)
    model = build_model(cfg)
    images = torch.rand(2, 3, 64, 64)
    (maps,) = model.tasks['x'].extract_feat(images)
    assert torch.equal(maps, model.backbone(images)[2])
    assert [name for name, _ in model.named_parameters() if 'backbone' not in name] == []


@pytest.mark.parametrize(
    'sample',
    [
        BaseDataElement(),
        BaseDataElement(pred_depth_map=torch.rand(1, 4, 4)),
    ],
)
def test_a_prediction_of_no_kind_is_neither_recorded_nor_drawn(sample):
    fields = re.escape(str(sorted(sample.keys())))
    with pytest.raises(DataError, match=f'^a prediction with the fields {fields} is of no kind'):
        to_record(sample)
    with pytest.raises(DataError, match=f'^a prediction with the fields {fields} is of no kind'):
        draw_tasks(np.zeros((64, 64, 3), np.uint8), dict(x=sample))


def test_an_embedding_is_no_classification(cfg_of):
    model, kind = task_of(cfg_of(REID))
    (sample,) = model.eval()(torch.rand(1, 3, 128, 128), [DataSample()], mode='predict')
    assert list(to_record(sample, kind=kind)) == ['embedding']
    kind = registered_kinds()['classification']()
    with pytest.raises(DataError, match=r"\['pred_feature'\], which are no prediction of the kind"):
        to_record(sample, kind=kind)


PREDICTIONS = dict(
    classification=DataSample().set_pred_score(torch.tensor([0.1, 0.9])).set_pred_label(1),
    multi_label_classification=DataSample()
    .set_pred_score(torch.tensor([0.7, 0.9]))
    .set_pred_label(torch.tensor([0, 1])),
    detection=DetDataSample(
        pred_instances=InstanceData(
            bboxes=torch.tensor([[1.0, 2, 3, 4]]),
            labels=torch.tensor([0]),
            scores=torch.tensor([0.5]),
            masks=torch.ones(1, 4, 6, dtype=torch.bool),
        )
    ),
    retrieval=BaseDataElement(pred_feature=torch.tensor([0.6, 0.8])),
    segmentation=SegDataSample(pred_sem_seg=PixelData(data=torch.tensor([[[0, 1], [1, 1]]]))),
)


@pytest.mark.parametrize('name', PREDICTIONS)
def test_a_record_fits_its_schema_and_no_other(name):
    kinds = registered_kinds()
    record = to_record(PREDICTIONS[name], dict(classes=('a', 'b')))
    fitting = [other for other, kind in kinds.items() if kind().misfit(record) is None]
    assert fitting == [name]
    for other, kind in kinds.items():
        if other != name:
            with pytest.raises(DataError, match=f"^the record of task x is no .* kind '{other}': "):
                from_record(dict(x=record), dict(x=kind()))
    again = from_record(dict(x=record), dict(x=kinds[name]()))['x']
    assert to_record(again, dict(classes=('a', 'b')), kind=kinds[name]()) == record


def test_an_image_without_boxes_is_a_record_of_detection():
    assert Detection().misfit([]) is None and Segmentation().misfit([]) is not None
    assert len(from_record(dict(x=[]))['x'].pred_instances.bboxes) == 0
    with pytest.raises(DataError, match='^the record 7 fits none of the kinds'):
        from_record(dict(x=7))


def test_metrics_of_a_library_are_fit_to_a_data_set():
    """Also those whose option is one number, and those with another annotation interface."""
    from mmdet.evaluation import LVISMetric
    from mmpretrain.evaluation import Accuracy, AveragePrecision, MultiLabelMetric

    kind = registered_kinds()['classification']()
    for metric in (MultiLabelMetric(topk=3), MultiLabelMetric(thr=0.5), AveragePrecision()):
        kind.prepare_metric(metric, [], 3)
    for metric in (MultiLabelMetric(topk=4), Accuracy(topk=(1, 4)), Accuracy(topk=4)):
        with pytest.raises(ConfigError, match='4.*, but the head has num_classes=3; leave out'):
            kind.prepare_metric(metric, [], 3)
    Detection().prepare_metric(LVISMetric.__new__(LVISMetric), [], 3)
