"""Options of the losses of embeddings."""

import pytest

from allinone.errors import ConfigError
from allinone.models.embedding import EmbeddingHead

LEAST = dict(
    TripletLoss=dict(margin=-0.1),
    MultiSimilarityLoss=dict(alpha=0, beta=0, base=None, epsilon='0.1'),
    ArcFaceLoss=dict(margin='0.5', scale=0),
    CosFaceLoss=dict(margin=-0.35, scale=-64),
    CircleLoss=dict(margin=None, scale=float('nan')),
)


@pytest.mark.parametrize(
    ('loss', 'option'), [(loss, option) for loss, options in LEAST.items() for option in options]
)
def test_numbers_of_losses_are_refused_when_built(loss, option):
    value = LEAST[loss][option]
    with pytest.raises(ConfigError, match=f'{loss}.{option} is {value!r}; give a number'):
        EmbeddingHead(8, num_classes=3, losses=[{'type': loss, option: value}])


@pytest.mark.parametrize(
    'loss', [dict(type='TripletLoss', margin=None), dict(type='TripletLoss', margin=0)]
)
def test_a_triplet_may_have_a_soft_margin_or_none(loss):
    assert EmbeddingHead(8, losses=[loss]).needs_pairs
