"""Retrieval: an embedding of each image, near that of images of the same identity."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object, get_world_size
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from allinone.errors import ConfigError, DataError
from allinone.registry import TASK_KINDS
from allinone.registry.kinds import derives, model_class
from allinone.visualization.annotator import shorten
from allinone.visualization.draw import Drawing, to_numpy
from allinone.visualization.palette import ClassTable

from .base import TaskKind
from .class_lists import ClassLists
from .image_statistics import ImageMeans
from .labels import check_class_labels
from .results import EmbeddingResult
from .wiring import Wiring, class_of, wire_last_map

if TYPE_CHECKING:
    from mmengine.model import BaseModel

REID = 'mmdet.models.reid.base_reid.BaseReID'
CLASSIFIER = 'mmpretrain.models.classifiers.image.ImageClassifier'
IDENTITIES = 'identities'  # Of training data, for num_classes='auto'
MARGIN_HEAD = 'mmpretrain.models.heads.margin_head.ArcFaceClsHead'


class EmbeddingNetwork(nn.Module):
    """Neck and head of an embedding network, for export: ``{'embedding': (N, D)}``, normalised."""

    def __init__(self, neck: nn.Module | None, head: nn.Module, features: str):
        super().__init__()
        self.neck, self.head, self.features = neck, head, features

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int] | None = None) -> dict:
        pooled = tuple(maps) if self.neck is None else self.neck(tuple(maps))
        return dict(embedding=F.normalize(getattr(self.head, self.features)(pooled)))


@TASK_KINDS.register_module(name='retrieval')
class Retrieval(TaskKind):
    """An L2-normalised embedding of each image: ``{'embedding': [...]}``.

    The kind of ``allinone.EmbeddingModel`` and ``mmdet.BaseReID``; a classifier of mmpretrain is of
    it by ``kind='retrieval'``, and its embedding is what the classifier's last layer gets.

    Args:
        library: Whose data samples the model takes.
    """

    models = (
        'allinone.models.embedding.model.EmbeddingModel',
        'allinone.models.embedding.classifier.EmbeddingClassifier',
        REID,
    )
    datasets = ('allinone.data.datasets.identity.IdentityDataset',)
    library = 'mmpretrain'
    sample_type = 'mmpretrain.structures.DataSample'
    preprocessor = 'ClsDataPreprocessor'
    class_layers = ('fc', 'classifier')
    image_statistics = (ImageMeans,)
    main_metrics = ('rank1', 'mAP', 'recall1', 'accuracy')
    packer = 'PackInputs'
    visualizer = 'Visualizer'
    upstream_types = {'allinone.PackReIDInputs': 'PackReIDInputs'}
    upstream_evaluates = False  # No library knows galleries and cameras.
    sees_whole_images = False  # Identities are of crops.
    embeds = True

    def __init__(self, library: str = 'mmpretrain'):
        self.library = library
        if library == 'mmdet':
            self.sample_type = 'mmdet.structures.ReIDDataSample'
            self.preprocessor, self.packer = 'ReIDDataPreprocessor', 'allinone.PackReIDInputs'

    # ------------------------------------------------------------------ the model

    @classmethod
    def fits(cls, model_class: type) -> bool:
        return derives(model_class, (*cls.models, CLASSIFIER))

    def of_model(self, model: 'BaseModel') -> TaskKind:
        return Retrieval('mmdet') if derives(type(model), (REID,)) else self

    def model_defaults(self, cfg: ConfigDict) -> ConfigDict:
        if not _is(model_class(cfg), CLASSIFIER):
            return cfg
        # The type alone changes: parts of the model are of mmpretrain still.
        head = dict(cfg.get('head') or {})
        if _is(class_of(head, 'mmpretrain'), MARGIN_HEAD):
            head['type'] = 'allinone.ArcFaceClsHead'
        return ConfigDict(cfg, type='allinone.EmbeddingClassifier', head=head)

    def preprocessor_config(
        self, scope: str, cfg: Mapping | None, normalisation: Mapping
    ) -> ConfigDict:
        kind = Retrieval('mmdet') if scope == 'mmdet' else self
        return TaskKind.preprocessor_config(kind, scope, cfg, normalisation)

    def wire_parts(self, wiring: Wiring) -> None:
        cls = model_class(wiring.cfg)
        of_mmdet = cls is not None and derives(cls, (REID,))
        wire_last_map(wiring, 'mmdet' if of_mmdet else 'mmpretrain')

    def set_no_labels(self, sample: BaseDataElement, like: BaseDataElement | None) -> None:
        sample.set_gt_label(0)

    def export_head(self, model: 'BaseModel') -> nn.Module:
        if derives(type(model), (CLASSIFIER,)) and not derives(type(model), (REID,)):
            return EmbeddingNetwork(model.neck, model.head, 'pre_logits')
        return EmbeddingNetwork(model.neck, model.head, 'forward')

    def from_outputs(
        self, outputs: Mapping[str, np.ndarray], sample: Any, options: Mapping[str, Any]
    ) -> BaseDataElement:
        sample.pred_feature = torch.from_numpy(outputs['embedding'].astype(np.float32))
        return sample

    # ------------------------------------------------------------------ data

    def class_lists(self, dataset: Dataset) -> ClassLists:
        return {}  # Data to search has other identities than training data.

    def unloaded_class_lists(self, dataset: Dataset) -> ClassLists:
        return {IDENTITIES: dataset.identities()} if hasattr(dataset, 'identities') else {}

    def label_of(self, info: dict) -> tuple:
        return info.get('identity'), info.get('camera')

    def check_labels(
        self,
        dataset: BaseDataset,
        infos: Sequence[dict],
        num_classes: int | None,
        skip_corrupt: bool = False,
    ) -> None:
        check_class_labels(dataset, infos, None, None)

    def check_training(self, key: str, model: 'BaseModel', dataset: Any) -> None:
        labels = [_label(dataset.get_data_info(index)) for index in range(len(dataset))]
        number = self.num_classes(model)
        if number is not None and max(labels, default=0) >= number:
            raise ConfigError(
                f'{key} has {len(set(labels))} identities, but the head of the task has '
                f"num_classes={number}; set it to {max(labels) + 1}, or to 'auto'"
            )
        if getattr(model.head, 'needs_pairs', False) and len(set(labels)) == len(labels):
            raise ConfigError(
                f'{key} has one image of each of its {len(labels)} identities, but the '
                f'task has a loss that compares images of one identity ({model.head.pair_losses}); '
                'use losses of identities alone, or give more images of each'
            )

    # ------------------------------------------------------------------ evaluation

    def prepare_metric(
        self, metric: BaseMetric, dataset: Dataset, num_classes: int | None = None
    ) -> None:
        if hasattr(metric, 'check_dataset'):
            metric.check_dataset(dataset)

    def prepare_references(
        self, key: str, metric: BaseMetric, dataset: Dataset, references: Dataset | None
    ) -> None:
        if not getattr(metric, 'needs_gallery', False):
            return
        if references is None:
            raise ConfigError(
                f'{key} is not set, but {type(metric).__name__} searches a gallery; give its '
                f'dataloader there, or use RecallAtK, which searches the data set itself'
            )
        if hasattr(metric, 'check_gallery'):
            metric.check_gallery(dataset, references)

    def metric_names(self, metric: BaseMetric) -> set[str] | None:
        return metric.names() if hasattr(metric, 'names') else None

    def before_evaluation(
        self, model: 'BaseModel', batches: Iterable[Mapping], evaluator: Evaluator
    ) -> None:
        rows = [
            (self.embedding_of(sample), sample.get('identity'), sample.get('camera'), _path(sample))
            for batch in batches
            for sample in model.test_step(batch)
        ]
        if get_world_size() > 1:
            # Each rank has every R-th image, and the first ones again where ranks have too few.
            parts = all_gather_object(rows)
            turns = zip_longest(*parts)
            rows = [row for turn in turns for row in turn if row is not None]
            rows = rows[: len(getattr(batches, 'dataset', rows))]
        embeddings, identities, cameras, names = zip(*rows)
        for metric in evaluator.metrics:
            if hasattr(metric, 'set_gallery'):
                metric.set_gallery(
                    np.stack(embeddings), list(identities), list(cameras), list(names)
                )

    # ------------------------------------------------------------------ predictions

    @classmethod
    def predicts(cls, sample: BaseDataElement) -> bool:
        return 'pred_feature' in sample

    def require(self, sample, what: str = 'the prediction') -> None:
        # A data field in ground truth, which is drawn like a prediction; else meta information
        if 'identity' not in sample.keys():
            super().require(sample, what)

    def embedding_of(self, sample: BaseDataElement) -> np.ndarray:
        feature = to_numpy(sample.pred_feature).astype(np.float32).reshape(-1)
        length = np.linalg.norm(feature)
        if not np.isfinite(length) or length == 0:
            what = 'only zeros' if length == 0 else 'NaN or infinite numbers'
            raise DataError(
                f'the embedding of {_path(sample) or "an image"} has {what}; the model has '
                'diverged, or its weights are wrong'
            )
        # What is of length 1 stays as it is, bit by bit.
        return feature if abs(length - 1) < 1e-6 else feature / length

    def to_record(self, sample, table: ClassTable, masks: str = 'rle') -> dict:
        # The shortest decimals that give the same float32
        return dict(embedding=[float(str(value)) for value in self.embedding_of(sample)])

    def from_record(self, record: dict) -> BaseDataElement:
        return BaseDataElement(pred_feature=np.array(record['embedding'], np.float32))

    def result(
        self, record: dict, table: ClassTable, sample: BaseDataElement | None = None
    ) -> dict:
        return EmbeddingResult(record)

    @classmethod
    def schema(cls) -> dict:
        numbers = dict(type='array', minItems=1, items=dict(type='number'))
        return dict(
            type='object',
            properties=dict(embedding=numbers),
            required=['embedding'],
            additionalProperties=False,
        )

    def ground_truth(self, sample, info: Mapping | None = None) -> BaseDataElement:
        identity = sample.get('identity') or (info or {}).get('identity')
        return BaseDataElement(**({} if identity is None else dict(identity=identity)))

    def draw(
        self, drawing: Drawing, task: str, sample, table: ClassTable, score_thr: float
    ) -> None:
        if 'pred_feature' in sample:
            drawing.add_labels(task, [f'embedding of {to_numpy(sample.pred_feature).size} numbers'])
        elif 'identity' in sample:
            drawing.add_labels(task, [f'identity {shorten(str(sample.identity))}'])


def _is(cls: type | None, name: str) -> bool:
    """Whether a class is this one, and not derived from it."""
    return cls is not None and f'{cls.__module__}.{cls.__qualname__}' == name


def _label(info: Mapping) -> int:
    return int(np.ravel(to_numpy(info['gt_label']))[0])


def _path(sample: BaseDataElement) -> str | None:
    return sample.get('img_path')
