"""Classification: one label, or any number of labels, of each image."""

import os.path as osp
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils.data import Dataset

from allinone.errors import ConfigError
from allinone.registry import TASK_KINDS
from allinone.registry.kinds import derives
from allinone.visualization.annotator import shorten
from allinone.visualization.draw import Drawing, to_numpy
from allinone.visualization.palette import ClassTable

from .analyses import ClassAnalysis, MultiLabelAnalysis, TaskAnalysis
from .annotated_classes import ANNOTATED, masked_logits
from .base import Json, TaskKind, label_entry_schema
from .class_lists import FOLDERS, ClassLists
from .image_statistics import ImageMeans, LabelCounts, LabelScores
from .pseudo_labels import PseudoClasses, PseudoLabels
from .results import ClassificationResult, MultiLabelResult
from .wiring import Wiring, wire_last_map

if TYPE_CHECKING:
    from mmengine.model import BaseModel

TOP = 5
FOLDER_SETS = ('mmpretrain.datasets.custom.CustomDataset',)
MULTI_LABEL_HEADS = ('mmpretrain.models.heads.multi_label_cls_head.MultiLabelClsHead',)
SIGMOID_LOSSES = {'CrossEntropyLoss', 'AsymmetricLoss', 'FocalLoss'}
SCORE = dict(type=['number', 'null'])


class ClassificationHead(nn.Module):
    """Neck and head of a classifier, for export: ``{'scores': (N, C)}``."""

    def __init__(self, model: 'BaseModel', multi_label: bool):
        super().__init__()
        self.neck, self.head, self.multi_label = model.neck, model.head, multi_label

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int] | None = None) -> dict:
        logits = self.head(tuple(maps) if self.neck is None else self.neck(tuple(maps)))
        scores = logits.sigmoid() if self.multi_label else logits.softmax(1)
        return dict(scores=scores)


@TASK_KINDS.register_module(name='classification')
class Classification(TaskKind):
    """One class of each image: ``{'label', 'name', 'score', 'top5'}``."""

    models: Sequence[str] = ('mmpretrain.models.classifiers.base.BaseClassifier',)
    datasets = ('mmpretrain.datasets.base_dataset.BaseDataset',)
    library = 'mmpretrain'
    sample_type = 'mmpretrain.structures.DataSample'
    preprocessor = 'ClsDataPreprocessor'
    class_layers = ('fc',)
    merger: Mapping | None = dict(type='AverageClsScoreTTA')
    main_metrics = ('top1', 'mAP')
    image_statistics = (ImageMeans, LabelCounts, LabelScores)
    pseudo_labels: type[PseudoLabels] | None = PseudoClasses
    analysis: type[TaskAnalysis] | None = ClassAnalysis
    packer = 'PackInputs'
    visualizer = 'UniversalVisualizer'
    upstream_types = {'allinone.ImageListDataset': 'CustomDataset'}
    outputs = dict(logits='head')
    sees_whole_images = False  # A classifier may be one of crops.
    classifies_boxes = True
    track1_section: str | None = 'cls'
    multi_label = False

    def of_model(self, model: 'BaseModel') -> TaskKind:
        head = getattr(model, 'head', None)
        return MultiLabelClassification() if derives(type(head), MULTI_LABEL_HEADS) else self

    def check_partly_annotated(self, key: str, model: 'BaseModel') -> None:
        raise ConfigError(
            f'{key} gives each image one class, so an image with a label of any class is labelled '
            f'for all; remove metainfo.{ANNOTATED} from its training data'
        )

    def model_defaults(self, cfg: ConfigDict) -> ConfigDict:
        number = (cfg.get('head') or {}).get('num_classes')
        if not (cfg.get('train_cfg') or {}).get('augments') or number is None:
            return cfg
        # Mixing images (Mixup, CutMix) takes one-hot labels.
        preprocessor = dict(num_classes=number) | dict(cfg.get('data_preprocessor') or {})
        return ConfigDict(cfg, data_preprocessor=preprocessor)

    def set_no_labels(self, sample: BaseDataElement, like: BaseDataElement | None) -> None:
        if like is None:
            sample.set_gt_label(0)
        else:
            for name in ('gt_label', 'gt_score'):
                if name in like:
                    sample.set_field(like.get(name).clone(), name)

    def wire_parts(self, wiring: Wiring) -> None:
        wire_last_map(wiring, 'mmpretrain')

    def export_head(self, model: 'BaseModel') -> nn.Module:
        # These heads give one tensor (N, C), of which predict() takes softmax or sigmoid alone.
        if not hasattr(model.head, '_get_predictions'):
            raise ConfigError(
                f'{type(model.head).__name__} cannot be exported: it is no head of mmpretrain '
                'with one tensor of class scores'
            )
        return ClassificationHead(model, self.multi_label)

    def from_outputs(
        self, outputs: Mapping[str, np.ndarray], sample: Any, options: Mapping[str, Any]
    ) -> BaseDataElement:
        scores = torch.from_numpy(outputs['scores'].astype(np.float32))
        return sample.set_pred_score(scores).set_pred_label(scores.argmax(0, keepdim=True))

    def class_lists(self, dataset: Dataset) -> ClassLists:
        folders = getattr(dataset, 'folder_to_idx', None)
        return super().class_lists(dataset) | ({FOLDERS: list(folders)} if folders else {})

    def unloaded_class_lists(self, dataset: Dataset) -> ClassLists:
        found = self.class_lists(dataset)
        if _is_of_folders(dataset) and dataset.with_label and not dataset.ann_file:
            from mmpretrain.datasets.custom import find_folders

            if osp.isdir(dataset.img_prefix) and (names := find_folders(dataset.img_prefix)[0]):
                found[FOLDERS] = names
        return found

    def prepare_metric(
        self, metric: BaseMetric, dataset: Dataset, num_classes: int | None = None
    ) -> None:
        topk = getattr(metric, 'topk', None) or ()
        topk = (topk,) if isinstance(topk, int) else topk
        if num_classes is not None and max(topk, default=0) > num_classes:
            raise ConfigError(
                f'topk is {tuple(topk)}, but the head has num_classes={num_classes}; leave out '
                f'what is above {num_classes}'
            )

    def metric_names(self, metric: BaseMetric) -> set[str] | None:
        classes = {cls.__name__ for cls in type(metric).__mro__}
        if 'Accuracy' in classes and len(getattr(metric, 'thrs', ())) == 1:
            return {f'top{k}' for k in metric.topk}
        if 'SingleLabelMetric' in classes and len(metric.thrs) == 1:
            suffix = {None: '_classwise', 'micro': '_micro'}.get(metric.average, '')
            return {f'{item}{suffix}' for item in metric.items}
        if 'AveragePrecision' in classes:
            return {'mAP' if metric.average else 'AP_classwise'}
        return None

    @classmethod
    def predicts(cls, sample: BaseDataElement) -> bool:
        return ('pred_label' in sample or 'pred_score' in sample) and not says_many(sample)

    def require(self, sample, what: str = 'the prediction') -> None:
        # One label of several is a prediction of either kind.
        if not ('pred_label' in sample or 'pred_score' in sample):
            super().require(sample, what)

    def to_record(self, sample, table: ClassTable, masks: str = 'rle') -> dict:
        top = [
            dict(label=label, name=table.name(label), score=score)
            for label, score in top_classes(sample, TOP)
        ]
        return dict(top[0] if top else dict(label=None, name=None, score=None), top5=top)

    def from_record(self, record: dict) -> BaseDataElement:
        labels = [entry['label'] for entry in record['top5']]
        scores = np.zeros(max(labels, default=-1) + 1)
        scores[labels] = [entry['score'] or 0 for entry in record['top5']]
        return BaseDataElement(pred_label=record['label'], pred_score=scores)

    def result(
        self, record: dict, table: ClassTable, sample: BaseDataElement | None = None
    ) -> dict:
        if sample is not None and 'pred_score' in sample:
            scores = np.array(to_numpy(sample.pred_score).reshape(-1), np.float32)
        else:
            labels = [entry['label'] for entry in record['top5']]
            scores = np.full(max([len(table.classes), *(i + 1 for i in labels)]), np.nan)
            scores[labels] = [np.nan if e['score'] is None else e['score'] for e in record['top5']]
        return ClassificationResult(record, scores.astype(np.float32))

    @classmethod
    def schema(cls) -> dict:
        entry = label_entry_schema(score=SCORE)
        properties = dict(
            label=dict(type=['integer', 'null']),
            name=dict(type=['string', 'null']),
            score=SCORE,
            top5=dict(type='array', maxItems=TOP, items=entry),
        )
        return dict(
            type='object',
            properties=properties,
            required=list(properties),
            additionalProperties=False,
        )

    def ground_truth(self, sample, info: Mapping | None = None) -> BaseDataElement:
        truth = BaseDataElement()
        if 'gt_score' in sample:
            # Mixed images have shares of several classes.
            shares = to_numpy(sample.gt_score)
            truth.pred_score = shares
            truth.pred_label = np.flatnonzero(shares)
        elif 'gt_label' in sample:
            truth.pred_label = to_numpy(sample.gt_label)
        return truth

    def draw(
        self, drawing: Drawing, task: str, sample, table: ClassTable, score_thr: float
    ) -> None:
        count = len(np.atleast_1d(to_numpy(sample.get('pred_label', [0]))))
        drawing.add_labels(
            task,
            [
                # In brackets, for many data sets name their classes by numbers.
                shorten(table.name(label)) + ('' if score is None else f' ({score:.2f})')
                for label, score in top_classes(sample, count)
            ]
            or ['none'],
        )

    def track1_content(self, sample, cat_ids: Sequence[int] | None = None) -> int:
        # As the accuracy is counted, also where two classes have the highest score.
        return int(sample.pred_score.topk(1).indices)


@TASK_KINDS.register_module(name='multi_label_classification')
class MultiLabelClassification(Classification):
    """Any number of classes of each image: ``{'labels', 'scores'}``.

    ``labels`` are the predicted ones, by falling score, as ``{'label', 'name', 'score'}``;
    ``scores`` those of all classes in their order.
    """

    models = ()  # The head tells.
    main_metrics = ('mAP', 'f1-score')
    pseudo_labels = None
    analysis = MultiLabelAnalysis
    merger = None
    track1_section = None
    multi_label = True

    @classmethod
    def fits(cls, model_class: type) -> bool:
        return Classification.fits(model_class)

    def of_model(self, model: 'BaseModel') -> TaskKind:
        return self

    def export_options(self, model: 'BaseModel') -> dict[str, Json]:
        return dict(thr=model.head.thr, topk=model.head.topk)

    def from_outputs(
        self, outputs: Mapping[str, np.ndarray], sample: Any, options: Mapping[str, Any]
    ) -> BaseDataElement:
        scores = torch.from_numpy(outputs['scores'].astype(np.float32))
        if options.get('thr') is not None:
            labels = torch.where(scores >= options['thr'])[0]
        else:
            labels = scores.topk(options['topk'])[1]
        return sample.set_pred_score(scores).set_pred_label(labels)

    def check_partly_annotated(self, key: str, model: 'BaseModel') -> None:
        loss = getattr(model.head, 'loss_module', None)
        name = type(loss).__name__
        if name not in SIGMOID_LOSSES or not getattr(loss, 'use_sigmoid', True):
            raise ConfigError(
                f'{key}.head.loss is {name}, which is not known to treat each class apart; use one '
                f'of {sorted(SIGMOID_LOSSES)}, or annotate all classes and remove '
                f'metainfo.{ANNOTATED}'
            )

    def only_annotated(
        self, model: 'BaseModel', samples: Sequence[BaseDataElement], labels: Sequence[int] | None
    ) -> AbstractContextManager:
        if labels is None:
            return nullcontext()
        return masked_logits(model.head.loss_module, labels)

    def metric_names(self, metric: BaseMetric) -> set[str] | None:
        # mmpretrain derives MultiLabelMetric from SingleLabelMetric, with other options.
        classes = {cls.__name__ for cls in type(metric).__mro__}
        return super().metric_names(metric) if 'AveragePrecision' in classes else None

    @classmethod
    def predicts(cls, sample: BaseDataElement) -> bool:
        return says_many(sample)

    def to_record(self, sample, table: ClassTable, masks: str = 'rle') -> dict:
        scores = to_numpy(sample.pred_score).reshape(-1).tolist() if 'pred_score' in sample else []
        predicted = len(np.atleast_1d(to_numpy(sample.get('pred_label', []))))
        return dict(
            labels=[
                dict(label=label, name=table.name(label), score=score)
                for label, score in top_classes(sample, predicted)
            ],
            scores=scores,
        )

    def from_record(self, record: dict) -> BaseDataElement:
        return BaseDataElement(
            pred_label=np.array([entry['label'] for entry in record['labels']], int),
            pred_score=np.array(record['scores']),
        )

    def result(
        self, record: dict, table: ClassTable, sample: BaseDataElement | None = None
    ) -> dict:
        return MultiLabelResult(record)

    @classmethod
    def schema(cls) -> dict:
        properties = dict(
            labels=dict(type='array', items=label_entry_schema(score=SCORE)),
            scores=dict(type='array', items=dict(type='number')),
        )
        return dict(
            type='object',
            properties=properties,
            required=list(properties),
            additionalProperties=False,
        )

    def draw(
        self, drawing: Drawing, task: str, sample, table: ClassTable, score_thr: float
    ) -> None:
        if not len(np.atleast_1d(to_numpy(sample.get('pred_label', [])))):
            drawing.add_labels(task, ['none'])
        else:
            super().draw(drawing, task, sample, table, score_thr)


def _is_of_folders(dataset: Dataset) -> TypeGuard[BaseDataset]:
    """Whether classes may be folders, as in mmpretrain's ``CustomDataset``."""
    return derives(type(dataset), FOLDER_SETS)


def says_many(sample: BaseDataElement) -> bool:
    """Whether a sample names other than one label, which only a multi-label model does."""
    return 'pred_label' in sample and len(np.atleast_1d(to_numpy(sample.pred_label))) != 1


def top_classes(sample, count: int) -> list[tuple[int, float | None]]:
    """``(label, score)`` of the best classes of a sample, best first.

    Without scores, the predicted labels. A multi-label sample has no single best class: the
    labels that it predicts come first.
    """
    predicted = np.atleast_1d(to_numpy(sample.get('pred_label', []))).astype(int).tolist()
    if 'pred_score' not in sample:
        return [(label, None) for label in predicted[:count]]
    scores = to_numpy(sample.pred_score).reshape(-1)
    order = np.argsort(-scores, kind='stable').tolist()
    order = [label for label in order if label in predicted] + [
        label for label in order if label not in predicted
    ]
    return [(label, float(scores[label])) for label in order[:count]]


def caption(record: Mapping) -> str:
    """A classification in a few words, for the caption of a box."""
    entries = record['labels'] if 'labels' in record else [record]
    return ', '.join(f'{shorten(str(e["name"]))} ({e["score"]:.2f})' for e in entries) or 'none'
