"""Detection: boxes with a class each, and masks where the model gives them."""

import os.path as osp
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor, nn
from torch.utils.data import Dataset

from allinone.errors import ConfigError
from allinone.registry import TASK_KINDS
from allinone.registry.kinds import derives
from allinone.visualization.annotator import shorten
from allinone.visualization.draw import Drawing, to_numpy
from allinone.visualization.palette import ClassTable

from .analyses import BoxAnalysis
from .annotated_classes import masked_logits
from .base import Json, TaskKind, label_entry_schema
from .class_lists import CATEGORIES, METAINFO, ClassLists
from .classification import Classification, MultiLabelClassification, caption
from .coco import (
    BOX_METRICS,
    complete_annotations,
    fit_to_dataset,
    is_numbered_by_file,
    listed_categories,
)
from .coco_checks import check_categories, check_masks, check_sizes
from .dense_head import DenseDetections, DenseHead
from .detector_wiring import wire_detector
from .ignored_regions import REGIONS, without_regions
from .image_statistics import Matches
from .joined_labels import JoinedBoxes
from .label_maps import set_no_areas
from .masks import RLE_SCHEMA, decode_mask, encode_mask
from .probe import FeatureMaps, check_strides, probe_heads
from .pseudo_labels import PseudoBoxes
from .results import DetectionResult
from .retrieval import Retrieval
from .sigmoid_heads import class_loss_of, is_dense
from .wiring import Wiring

if TYPE_CHECKING:
    from mmengine.model import BaseModel

TWO_STAGE = 'mmdet.models.detectors.two_stage.TwoStageDetector'
COCO_METRIC = 'mmdet.evaluation.metrics.coco_metric.CocoMetric'
ON_BOXES = 'on_boxes'  # Field of instances: ``{task: record}`` of each box, by tasks on its crop


@TASK_KINDS.register_module(name='detection')
class Detection(TaskKind):
    """Boxes: ``[{'bbox': [x1, y1, x2, y2], 'label', 'name', 'score'}]``.

    With ``'mask'`` (COCO RLE) in instance segmentation, and the record of each task that
    classified or embedded the box under the task's name.
    """

    models = ('mmdet.models.detectors.base.BaseDetector',)
    datasets = ('mmdet.datasets.base_det_dataset.BaseDetDataset',)
    library = 'mmdet'
    sample_type = 'mmdet.structures.DetDataSample'
    preprocessor = 'DetDataPreprocessor'
    heads = ('rpn_head', 'bbox_head', 'roi_head', 'panoptic_head')
    class_heads = (
        *('bbox_head', 'roi_head.bbox_head', 'panoptic_head'),
        *('mask_head', 'roi_head.mask_head'),
    )
    apart = ('rpn_head', 'semantic_head')
    class_layers = (
        *('conv_cls', 'gfl_cls', 'retina_cls', 'atss_cls', 'rtm_cls', 'fovea_cls', 'tood_cls'),
        *('fc_cls', 'cls_branches', 'multi_level_conv_cls', 'conv_logits', 'vfnet_cls'),
        *('cls_embed', 'cls_score', 'label_embedding'),
    )
    box_layers = ('fc_reg',)
    merger = dict(
        type='DetTTAModel',
        tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.65), max_per_img=100),
    )
    main_metrics = ('bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'mAP')
    image_statistics = (Matches,)
    pseudo_labels = PseudoBoxes
    analysis = BoxAnalysis
    packer = 'PackDetInputs'
    annotation_loader = dict(type='mmdet.LoadAnnotations', with_bbox=True)
    joined_labels = JoinedBoxes
    visualizer = 'DetLocalVisualizer'
    upstream_types = {
        'allinone.CocoFileDataset': 'CocoDataset',
        'allinone.DetectionMetric': 'CocoMetric',
    }
    outputs = dict(scores='bbox_head')
    finds_boxes = True
    track1_section = 'dec'

    def probe_size(self, model: 'BaseModel', size: int) -> int:
        queries = model.num_queries if getattr(model, 'as_two_stage', False) else 0
        # Queries are chosen among places; the finest feature map has a stride of 8 or less.
        while (size // 8) ** 2 < queries:
            size *= 2
        return size

    def probe(self, key: str, model: 'BaseModel', image: Tensor, maps: FeatureMaps) -> None:
        height, width = image.shape[-2:]
        samples = self.samples(image, [(height, width)])
        levels = probe_heads(key, model, self.heads, image, samples, maps)
        head = getattr(model, 'bbox_head', None) or getattr(model, 'rpn_head', None)
        check_strides(key, head, levels, image.shape[-1])
        _check_queries(key, model, head)

    def run_network(
        self, model: 'BaseModel', image: Tensor, samples: list[BaseDataElement]
    ) -> None:
        """As of all kinds; a second stage sees as many proposals as ``test_cfg`` lets pass."""
        first = (getattr(model, 'test_cfg', None) or {}).get('rpn')
        if first is None or not derives(type(model), (TWO_STAGE,)):
            super().run_network(model, image, samples)
            return
        levels = model.extract_feat(image)
        model.rpn_head(levels)
        proposals = [InstanceData(bboxes=image.new_zeros(first.max_per_img, 4)) for _ in samples]
        model.roi_head.forward(levels, proposals, samples)

    def samples(
        self,
        batch: Tensor,
        sizes: Sequence[tuple[int, int]],
        metainfo: Sequence[Mapping] | None = None,
    ) -> list[BaseDataElement]:
        samples = super().samples(batch, sizes, metainfo)
        for sample, (height, width) in zip(samples, sizes):
            # Where the image lies in the padded one (top, bottom, left, right), for CenterNet
            sample.set_metainfo(dict(border=(0, height, 0, width)) | sample.metainfo)
        return samples

    def set_no_labels(self, sample: BaseDataElement, like: BaseDataElement | None) -> None:
        from mmdet.structures.mask import BitmapMasks  # Slow to import

        height, width = sample.metainfo['img_shape'][:2]
        for name in ('gt_instances', 'ignored_instances'):
            none = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
            if like is None or (name in like and 'masks' in like.get(name)):
                none.masks = BitmapMasks(np.zeros((0, height, width), np.uint8), height, width)
            sample.set_field(none, name)
        if like is not None and 'gt_sem_seg' in like:
            set_no_areas(sample, like)

    def check_partly_annotated(self, key: str, model: 'BaseModel') -> None:
        class_loss_of(key, model)

    def leaves_out_regions(self, model: 'BaseModel') -> bool:
        return is_dense(model)

    def only_annotated(
        self, model: 'BaseModel', samples: Sequence[BaseDataElement], labels: Sequence[int] | None
    ) -> AbstractContextManager:
        stack = ExitStack()
        if labels is not None:
            stack.enter_context(masked_logits(model.bbox_head.loss_cls, labels))
        if samples[0].get(REGIONS) and is_dense(model):
            stack.enter_context(without_regions(model.bbox_head, samples))
        return stack

    def wire_parts(self, wiring: Wiring) -> None:
        wire_detector(wiring)

    def export_head(self, model: 'BaseModel') -> nn.Module:
        return DenseHead(model)

    def export_predictions(self, model: 'BaseModel') -> nn.Module:
        return DenseDetections(model)

    def export_options(self, model: 'BaseModel') -> dict[str, Json]:
        cfg = dict(model.bbox_head.test_cfg or {})
        return dict(
            score_thr=cfg.get('score_thr', 0),
            iou_threshold=(cfg.get('nms') or {}).get('iou_threshold'),
            max_per_img=cfg.get('max_per_img', 100),
        )

    def from_outputs(
        self, outputs: Mapping[str, np.ndarray], sample: Any, options: Mapping[str, Any]
    ) -> BaseDataElement:
        there = outputs['labels'] >= 0
        boxes = torch.from_numpy(outputs['boxes'][there].astype(np.float32))
        height, width = sample.img_shape[:2]
        limits = boxes.new_tensor([width, height, width, height])
        factor = boxes.new_tensor(sample.get('scale_factor', (1.0, 1.0))).repeat(2)
        sample.pred_instances = InstanceData(
            bboxes=torch.minimum(boxes, limits) / factor,
            scores=torch.from_numpy(outputs['scores'][there].astype(np.float32)),
            labels=torch.from_numpy(outputs['labels'][there].astype(np.int64)),
        )
        return sample

    def unloaded_class_lists(self, dataset: Dataset) -> ClassLists:
        found = self.class_lists(dataset)
        # A file that is damaged or has no labels stops a test, not a training.
        if METAINFO in found and is_numbered_by_file(dataset) and osp.isfile(dataset.ann_file):
            listed = listed_categories(dataset.ann_file)
            if names := [name for name in listed if name in found[METAINFO]]:
                found[CATEGORIES] = names
        return found

    def check_labels(
        self,
        dataset: BaseDataset,
        infos: Sequence[dict],
        num_classes: int | None,
        skip_corrupt: bool = False,
    ) -> None:
        if is_numbered_by_file(dataset):
            check_categories(dataset, (getattr(dataset, 'metainfo', None) or {}).get('classes'))
            check_sizes(dataset.ann_file, infos)
            if any(getattr(step, 'with_mask', False) for step in dataset.pipeline.transforms):
                check_masks(dataset.ann_file, infos)
        super().check_labels(dataset, infos, num_classes, skip_corrupt)

    def prepare_metric(
        self, metric: BaseMetric, dataset: Dataset, num_classes: int | None = None
    ) -> None:
        if derives(type(metric), (COCO_METRIC,)):
            complete_annotations(metric)
            fit_to_dataset(metric, dataset)

    def metric_names(self, metric: BaseMetric) -> set[str] | None:
        classes = {cls.__name__ for cls in type(metric).__mro__}
        if 'CocoMetric' in classes and 'proposal' not in metric.metrics:
            names = (getattr(metric, 'dataset_meta', None) or {}).get('classes') or ()
            return {
                *(
                    f'{measured}_{name}'
                    for measured in metric.metrics
                    for name in metric.metric_items or BOX_METRICS
                ),
                *(f'{name}_precision' for name in names if metric.classwise),
            }
        if 'VOCMetric' in classes and metric.metric == 'mAP':
            return {'mAP', *(f'AP{int(100 * threshold):02d}' for threshold in metric.iou_thrs)}
        return None

    @classmethod
    def predicts(cls, sample: BaseDataElement) -> bool:
        return 'pred_instances' in sample

    def boxes_of(self, sample) -> InstanceData:
        self.require(sample)
        return sample.pred_instances

    def to_record(self, sample, table: ClassTable, masks: str = 'rle') -> list[dict]:
        instances = sample.pred_instances
        labels = to_numpy(instances.labels).astype(int).tolist()
        record = [
            dict(bbox=box, label=label, name=table.name(label), score=score)
            for box, label, score in zip(
                to_numpy(instances.bboxes).tolist(), labels, to_numpy(instances.scores).tolist()
            )
        ]
        if 'masks' in instances:
            for entry, mask in zip(record, to_numpy(instances.masks)):
                entry['mask'] = encode_mask(mask)
        for entry, further in zip(record, instances.get(ON_BOXES, ())):
            entry |= further
        return record

    def from_record(self, record: list[dict]) -> BaseDataElement:
        instances = InstanceData(
            bboxes=np.array([box['bbox'] for box in record], np.float32).reshape(-1, 4),
            labels=np.array([box['label'] for box in record], int),
            scores=np.array([box['score'] for box in record], np.float32),
        )
        if any('mask' in box for box in record):
            instances.masks = np.stack([decode_mask(box['mask']) for box in record])
        further = [
            {
                task: found
                for task, found in box.items()
                if isinstance(found, Mapping) and task != 'mask'
            }
            for box in record
        ]
        if any(further):
            setattr(instances, ON_BOXES, further)
        return BaseDataElement(pred_instances=instances)

    def result(
        self, record: list[dict], table: ClassTable, sample: BaseDataElement | None = None
    ) -> DetectionResult:
        return DetectionResult(record)

    @classmethod
    def schema(cls) -> dict:
        number = dict(type='number')
        entry = label_entry_schema(
            bbox=dict(type='array', items=number, minItems=4, maxItems=4), score=number
        )
        entry['properties']['mask'] = RLE_SCHEMA
        # Records of tasks that run on boxes, by the names of the tasks
        kinds = (Classification, MultiLabelClassification, Retrieval)
        entry['additionalProperties'] = dict(anyOf=[kind.schema() for kind in kinds])
        return dict(type='array', items=entry)

    def ground_truth(self, sample, info: Mapping | None = None) -> BaseDataElement:
        truth = BaseDataElement()
        if info is not None and isinstance(info.get('instances'), list):
            truth.pred_instances = _annotated(info['instances'])
        elif 'gt_instances' in sample and 'bboxes' in sample.gt_instances:
            truth.pred_instances = sample.gt_instances
        return truth

    def draw(
        self, drawing: Drawing, task: str, sample, table: ClassTable, score_thr: float
    ) -> None:
        drawing.add_box_task(task)
        instances = sample.pred_instances
        labels = to_numpy(instances.labels).astype(int)
        scores = to_numpy(instances.scores) if 'scores' in instances else None
        if 'masks' in instances:
            shown = slice(None) if scores is None else scores >= score_thr
            drawing.add_instances(to_numpy(instances.masks)[shown], labels[shown], table)
        further = instances.get(ON_BOXES, [{}] * len(labels))
        boxes = to_numpy(instances.bboxes).reshape(-1, 4)
        for index, (box, label) in enumerate(zip(boxes, labels)):
            score = 1.0 if scores is None else float(scores[index])
            if score >= score_thr and np.isfinite(box).all():
                words = [
                    shorten(table.name(int(label))),
                    *([f'{score:.2f}'] if scores is not None else []),
                    *(
                        f'· {caption(record)}'
                        for record in further[index].values()
                        if 'embedding' not in record
                    ),
                ]
                drawing.add_box(score, box, ' '.join(words), table.colour(int(label)), task)

    def track1_content(self, sample, cat_ids: Sequence[int] | None = None) -> list[dict]:
        """COCO detections without their ``image_id``."""
        found = sample.pred_instances
        return [
            dict(
                category_id=int(cat_ids[label] if cat_ids else label),
                bbox=[left, top, right - left, bottom - top],
                score=score,
            )
            for (left, top, right, bottom), label, score in zip(
                found.bboxes.tolist(), found.labels.tolist(), found.scores.tolist()
            )
        ]


def _check_queries(key: str, model: nn.Module, head: nn.Module | None) -> None:
    """Whether a DETR-like head has as many scores as it is to choose boxes from."""
    queries, cfg = getattr(model, 'num_queries', None), getattr(head, 'test_cfg', None) or {}
    most = cfg.get('max_per_img')
    classes = getattr(head, 'cls_out_channels', None)
    if not isinstance(queries, int) or not isinstance(classes, int) or most is None:
        return
    sigmoid = getattr(getattr(head, 'loss_cls', None), 'use_sigmoid', False)
    scores = queries * classes if sigmoid else queries
    if most > scores:
        raise ConfigError(
            f'{key}.test_cfg.max_per_img is {most}, but {queries} queries'
            + (f' times {classes} classes' if sigmoid else '')
            + f' give {scores} scores to choose from; give at most {scores}'
        )


def _annotated(instances: list[Mapping]) -> InstanceData:
    kept = [entry for entry in instances if not entry.get('ignore_flag')]
    return InstanceData(
        bboxes=torch.tensor([entry['bbox'] for entry in kept], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([entry['bbox_label'] for entry in kept], dtype=torch.long),
    )
