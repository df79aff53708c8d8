"""Classifiers of mmpretrain as embedding networks."""

import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.models.heads.margin_head import ArcFaceClsHead as UpstreamArcFaceClsHead
from mmpretrain.models.heads.margin_head import NormProduct
from mmpretrain.structures import DataSample
from torch import Tensor

from allinone.registry import MODELS

from .losses.identities import INSIDE
from .model import with_embeddings


@MODELS.register_module()
class EmbeddingClassifier(ImageClassifier):
    """A classifier that predicts what its last layer gets, as ``pred_feature``.

    Its options are those of mmpretrain's, whose parts need no prefix.
    """

    def __init__(self, *args, **kwargs):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            super().__init__(*args, **kwargs)

    def predict(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, **kwargs
    ) -> list[DataSample]:
        features = self.extract_feat(inputs, stage='pre_logits')
        samples = data_samples or [DataSample() for _ in features]
        return with_embeddings(samples, features)


class _ClampedProduct(NormProduct):
    """Cosines below 1 and above -1, also of features in half precision."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.to(self.weight.dtype)).clamp(-INSIDE, INSIDE)


@MODELS.register_module()
class ArcFaceClsHead(UpstreamArcFaceClsHead):
    """As in mmpretrain, with an arc cosine whose gradient is finite.

    Upstream's is infinite, and the loss NaN, where an image equals the centre of its identity.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        upstream = self.norm_product
        with torch.device('meta'):  # Draws no random numbers
            self.norm_product = _ClampedProduct(self.in_channels, self.num_classes, upstream.k)
        self.norm_product.weight = upstream.weight
