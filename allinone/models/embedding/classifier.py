"""Classifiers of mmpretrain as embedding networks."""

import torch
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.models.heads.margin_head import ArcFaceClsHead as UpstreamArcFaceClsHead
from mmpretrain.models.heads.margin_head import NormProduct
from mmpretrain.structures import DataSample
from torch import Tensor

from allinone.registry import MODELS

from .model import with_embeddings

INSIDE = 1 - 1e-6  # The slope of the arc cosine is finite up to here, in float32.


@MODELS.register_module()
class EmbeddingClassifier(ImageClassifier):
    """A classifier that predicts what its last layer gets, as ``pred_feature``."""

    def predict(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, **kwargs
    ) -> list[DataSample]:
        features = self.extract_feat(inputs, stage='pre_logits')
        samples = data_samples or [DataSample() for _ in features]
        return with_embeddings(samples, features)


class _ClampedProduct(NormProduct):
    """Cosines below 1 and above -1."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).clamp(-INSIDE, INSIDE)


@MODELS.register_module()
class ArcFaceClsHead(UpstreamArcFaceClsHead):
    """As in mmpretrain, with an arc cosine whose gradient is finite.

    Upstream's is infinite, and the loss NaN, where an image equals the centre of its identity.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        upstream = self.norm_product
        self.norm_product = _ClampedProduct(self.in_channels, self.num_classes, upstream.k)
        with torch.no_grad():
            self.norm_product.weight.copy_(upstream.weight)
