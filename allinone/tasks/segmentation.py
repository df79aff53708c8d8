"""Semantic segmentation: a class of each pixel."""

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn
from torch.utils.data import Dataset

from allinone.errors import ConfigError
from allinone.registry import TASK_KINDS
from allinone.registry.kinds import derives
from allinone.visualization.draw import Drawing, label_areas, to_numpy
from allinone.visualization.palette import ClassTable

from .analyses import LabelMapAnalysis
from .annotated_classes import ignore_others
from .base import TaskKind, label_entry_schema
from .image_statistics import PixelAreas
from .joined_labels import JoinedMaps
from .label_maps import check_label_maps, set_no_areas
from .masks import RLE_SCHEMA, decode_mask, encode_mask
from .pixel_losses import check_ignores
from .probe import wants_samples
from .pseudo_labels import PseudoLabelMaps
from .results import SegmentationResult
from .segmentation_head import SegmentationHead, SegmentationLabels
from .segmentor_wiring import wire_segmentor
from .wiring import Wiring

if TYPE_CHECKING:
    from mmengine.model import BaseModel

METRICS = dict(
    mIoU=('mIoU', 'mAcc'), mDice=('mDice', 'mAcc'), mFscore=('mFscore', 'mPrecision', 'mRecall')
)
DECODER = 'mmseg.models.decode_heads.decode_head.BaseDecodeHead'
PLAIN = 'mmseg.models.segmentors.encoder_decoder.EncoderDecoder'


@TASK_KINDS.register_module(name='segmentation')
class Segmentation(TaskKind):
    """A class of each pixel: ``[{'label', 'name', 'area', 'segmentation'}]`` of those present."""

    models = ('mmseg.models.segmentors.base.BaseSegmentor',)
    datasets = ('mmseg.datasets.basesegdataset.BaseSegDataset',)
    library = 'mmseg'
    sample_type = 'mmseg.structures.SegDataSample'
    preprocessor = 'SegDataPreProcessor'
    heads = ('decode_head',)
    class_heads = ('decode_head', 'auxiliary_head')
    class_layers = ('conv_seg', 'cls_embed')
    merger = dict(type='SegTTAModel')
    main_metrics = ('mIoU',)
    image_statistics = (PixelAreas,)
    pseudo_labels = PseudoLabelMaps
    analysis = LabelMapAnalysis
    packer = 'PackSegInputs'
    annotation_loader = dict(type='mmseg.LoadAnnotations')
    joined_labels = JoinedMaps
    visualizer = 'SegLocalVisualizer'
    upstream_types = {'allinone.SegmentationMetric': 'IoUMetric'}
    outputs = dict(logits='decode_head.conv_seg')
    track1_section = 'seg'

    def run_network(
        self, model: 'BaseModel', image: Tensor, samples: list[BaseDataElement]
    ) -> None:
        head = model.decode_head
        if wants_samples(head):  # MaskFormer and its like, which mmseg's 'tensor' mode leaves out
            head(model.extract_feat(image), samples)
        else:
            super().run_network(model, image, samples)

    def set_no_labels(self, sample: BaseDataElement, like: BaseDataElement | None) -> None:
        set_no_areas(sample, like)

    def label_map_size(self, sample) -> tuple[int, int] | None:
        return tuple(sample.gt_sem_seg.shape) if 'gt_sem_seg' in sample else None

    def check_partly_annotated(self, key: str, model: 'BaseModel') -> None:
        check_ignores(key, model)

    def only_annotated(
        self, model: 'BaseModel', samples: Sequence[BaseDataElement], labels: Sequence[int] | None
    ) -> AbstractContextManager:
        if labels is None:
            return nullcontext()
        head = model.decode_head
        head = cast(Any, head[-1] if isinstance(head, nn.ModuleList) else head)
        for sample in samples:
            label_map = ignore_others(sample.gt_sem_seg.data, labels, head.ignore_index)
            sample.gt_sem_seg = PixelData(data=label_map)
        return nullcontext()

    def padding(self, divisor: int) -> dict:
        # Training pads to a size, and testing pads by options of its own.
        return dict(test_cfg=dict(size_divisor=divisor)) if divisor > 1 else {}

    def wire_parts(self, wiring: Wiring) -> None:
        wire_segmentor(wiring)

    def export_head(self, model: 'BaseModel') -> nn.Module:
        head = getattr(model, 'decode_head', None)
        if isinstance(head, nn.ModuleList) or not _gives_one_map(head):
            raise ConfigError(
                f'{type(head).__name__} cannot be exported: it gives no single map of class scores'
            )
        if not (_own(model, 'encode_decode', PLAIN) and _own(head, 'predict_by_feat', DECODER)):
            raise ConfigError(
                f'{type(model).__name__} with {type(head).__name__} cannot be exported: it makes '
                'its label maps in another way than the EncoderDecoder of mmseg'
            )
        return SegmentationHead(model)

    def export_predictions(self, model: 'BaseModel') -> nn.Module:
        self.export_head(model)
        cfg = getattr(model, 'test_cfg', None) or {}
        if cfg.get('mode') == 'slide':
            raise ConfigError(
                f"{type(model).__name__} cannot be exported with test_cfg.mode='slide', because a "
                "graph has no windows; set it to 'whole', or export logits with --raw"
            )
        return SegmentationLabels(model)

    def from_outputs(
        self, outputs: Mapping[str, np.ndarray], sample: Any, options: Mapping[str, Any]
    ) -> BaseDataElement:
        height, width = sample.img_shape[:2]
        labels = torch.from_numpy(outputs['labels'][:height, :width].astype(np.int64))[None]
        size = tuple(sample.get('ori_shape', (height, width))[:2])
        if tuple(labels.shape[1:]) != size:
            labels = F.interpolate(labels[None].double(), size, mode='nearest-exact')[0].long()
        sample.pred_sem_seg = PixelData(data=labels)
        return sample

    def dataset_defaults(
        self, cfg: dict, dataset_class: type[BaseDataset] | None, num_classes: int
    ) -> dict:
        """Numbers for names where there are none; mmseg evaluates nothing without names."""
        metainfo = dict(cfg.get('metainfo') or {})
        if (
            metainfo.get('classes')
            or not (isinstance(dataset_class, type) and derives(dataset_class, self.datasets))
            or dataset_class.METAINFO.get('classes')
        ):
            return cfg
        return dict(cfg, metainfo=dict(metainfo, classes=tuple(map(str, range(num_classes)))))

    def check_labels(
        self,
        dataset: BaseDataset,
        infos: Sequence[dict],
        num_classes: int | None,
        skip_corrupt: bool = False,
    ) -> None:
        super().check_labels(dataset, infos, num_classes, skip_corrupt)
        if derives(type(dataset), self.datasets):
            labelled = [info for info in infos if info.get('seg_map_path')]
            check_label_maps(dataset, labelled, num_classes, skip_corrupt)

    def prepare_metric(
        self, metric: BaseMetric, dataset: Dataset, num_classes: int | None = None
    ) -> None:
        ours, theirs = (getattr(part, 'ignore_index', None) for part in (metric, dataset))
        if None not in (ours, theirs) and ours != theirs:
            raise ConfigError(
                f'ignore_index is {ours}, but pixels of the data set that are ignored have '
                f'{theirs}; give both the same'
            )

    def metric_names(self, metric: BaseMetric) -> set[str] | None:
        if 'IoUMetric' not in {cls.__name__ for cls in type(metric).__mro__}:
            return None
        classes = (getattr(metric, 'dataset_meta', None) or {}).get('classes') or ()
        return {
            'aAcc',
            *(name for chosen in metric.metrics for name in METRICS.get(chosen, ())),
            *(f'IoU.{name}' for name in classes),
        }

    @classmethod
    def predicts(cls, sample: BaseDataElement) -> bool:
        return 'pred_sem_seg' in sample

    def to_record(self, sample, table: ClassTable, masks: str = 'rle') -> list[dict] | np.ndarray:
        labels = to_numpy(sample.pred_sem_seg.data)[0]
        if masks == 'array':
            return labels
        # Run lengths go down the columns.
        labels = np.asfortranarray(labels)
        return [
            dict(
                label=label,
                name=table.name(label),
                area=area,
                segmentation=encode_mask(labels == label),
            )
            for label, area in label_areas(labels).items()
        ]

    def from_record(self, record: list[dict]) -> BaseDataElement:
        mask = np.full(record[0]['segmentation']['size'], -1)
        for entry in record:
            mask[decode_mask(entry['segmentation'])] = entry['label']
        return BaseDataElement(pred_sem_seg=PixelData(data=mask[None]))

    def result(
        self, record: list[dict], table: ClassTable, sample: BaseDataElement | None = None
    ) -> SegmentationResult:
        return SegmentationResult(record)

    @classmethod
    def schema(cls) -> dict:
        entry = label_entry_schema(area=dict(type='integer'), segmentation=RLE_SCHEMA)
        # Every pixel has a label, so at least one is there.
        return dict(type='array', minItems=1, items=dict(entry, additionalProperties=False))

    def ground_truth(self, sample, info: Mapping | None = None) -> BaseDataElement:
        truth = BaseDataElement()
        if 'gt_sem_seg' in sample:
            truth.pred_sem_seg = sample.gt_sem_seg
        return truth

    def draw(
        self, drawing: Drawing, task: str, sample, table: ClassTable, score_thr: float
    ) -> None:
        drawing.add_regions(task, to_numpy(sample.pred_sem_seg.data)[0], table)

    def track1_content(self, sample, cat_ids: Sequence[int] | None = None) -> np.ndarray:
        return sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)


def _gives_one_map(head: nn.Module | None) -> bool:
    """Whether a head, or each of a cascade, scores the classes of each pixel."""
    parts = list(head) if isinstance(head, nn.ModuleList) else [head]
    return all(
        part is not None
        and derives(type(part), (DECODER,))
        and 'batch_data_samples' not in inspect.signature(part.forward).parameters
        for part in parts
    )


def _own(part: Any, method: str, cls: str) -> bool:
    """Whether the method of a part is that of a class, not overridden."""
    found = getattr(type(part), method, None)
    where = f'{getattr(found, "__module__", "")}.{getattr(found, "__qualname__", "")}'
    return where == f'{cls}.{method}'
