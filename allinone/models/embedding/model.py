"""A model that gives each image an embedding."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn import functional as F

from allinone.registry import MODELS


@MODELS.register_module()
class EmbeddingModel(BaseModel):
    """Backbone, pooling neck and :class:`EmbeddingHead`.

    Args:
        backbone: Config of the backbone, or of a view of the shared one.
        head: Config of the head.
        neck: Config of the pooling, such as ``mmpretrain.GlobalAveragePooling`` or
            ``mmpretrain.GeneralizedMeanPooling``.
        data_preprocessor: As in mmpretrain.
        init_cfg: As in mmengine.
    """

    def __init__(
        self,
        backbone: Mapping,
        head: Mapping,
        neck: Mapping | None = None,
        data_preprocessor: Mapping | None = None,
        init_cfg: Mapping | None = None,
    ):
        super().__init__(data_preprocessor or dict(type='mmpretrain.ClsDataPreprocessor'), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = None if neck is None else MODELS.build(neck)
        self.head = MODELS.build(head)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Pooled features ``(N, C)`` of images ``(N, 3, H, W)``."""
        maps = self.backbone(inputs)
        return maps if self.neck is None else self.neck(maps)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[DataSample] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[DataSample]:
        """Of normalised images ``(N, 3, H, W)``.

        Args:
            inputs: The images.
            data_samples: One of each, with ``gt_label`` for losses.
            mode: ``'tensor'``: L2-normalised embeddings ``(N, D)``; ``'loss'``: ``{name: loss}``;
                ``'predict'``: the samples with ``pred_feature``, each an embedding ``(D,)``.
        """
        features = self.extract_feat(inputs)
        if mode == 'loss':
            labels = [sample.gt_label for sample in data_samples or ()]
            labels = [getattr(label, 'label', label).reshape(-1) for label in labels]
            return self.head.loss(features, torch.cat(labels).to(inputs.device))
        embeddings = F.normalize(self.head(features).float())
        if mode == 'tensor':
            return embeddings
        samples = data_samples or [DataSample() for _ in embeddings]
        return with_embeddings(samples, embeddings)


def with_embeddings(samples: Sequence[DataSample], embeddings: Tensor) -> list[DataSample]:
    """The samples, each with its row of ``embeddings`` as ``pred_feature``."""
    for sample, embedding in zip(samples, embeddings, strict=True):
        sample.set_field(embedding.detach(), 'pred_feature')
    return list(samples)
