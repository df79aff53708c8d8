"""Losses of embeddings against their definitions, written out."""

import math

import pytest
import torch
from torch.nn import functional as F

from allinone.errors import ConfigError
from allinone.models.embedding import (
    ArcFaceLoss,
    CircleLoss,
    CosFaceLoss,
    EmbeddingHead,
    MultiSimilarityLoss,
    SoftmaxLoss,
    SupConLoss,
    TripletLoss,
)

PAIR_LOSSES = [TripletLoss, SupConLoss, MultiSimilarityLoss]
IDENTITY_LOSSES = [SoftmaxLoss, ArcFaceLoss, CosFaceLoss, CircleLoss]
LABELS = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3])  # Identity 3 has one image.


def features(count=8, channels=5, seed=0):
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))


def of_identities(cls, **options):
    torch.manual_seed(0)
    return cls(num_classes=4, channels=5, **options)


def cosines(loss):
    return F.normalize(features()) @ F.normalize(loss.loss.W.detach(), dim=0)


def mean_cross_entropy(logits):
    rows = [-math.log(row.softmax(0)[own]) for row, own in zip(logits.double(), LABELS)]
    return sum(rows) / len(rows)


# ---------------------------------------------------------------------- of identities


def test_softmax_with_smoothed_labels():
    loss = of_identities(SoftmaxLoss, smoothing=0.2)
    logits = features() @ loss.classifier.weight.detach().T
    targets = F.one_hot(LABELS, 4) * 0.8 + 0.2 / 4
    expected = -(targets * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss(features(), LABELS).detach(), expected)


@pytest.mark.parametrize('margin', [0.5, 1.5])
def test_arcface_adds_an_angle_in_radians(margin):
    loss = of_identities(ArcFaceLoss, margin=margin, scale=10.0)
    found = cosines(loss)
    passed = 0
    for row, own in enumerate(LABELS):
        angle = math.acos(found[row, own])
        # Behind the half turn the cosine would rise again.
        passed += angle + margin > math.pi
        found[row, own] = (
            math.cos(angle + margin)
            if angle + margin <= math.pi
            else math.cos(angle) - margin * math.sin(margin)
        )
    assert (passed > 0) == (margin == 1.5)
    assert loss(features(), LABELS).item() == pytest.approx(mean_cross_entropy(10 * found), 1e-4)


def test_cosface_takes_a_margin_from_the_cosine():
    loss = of_identities(CosFaceLoss, margin=0.35, scale=10.0)
    found = cosines(loss) - 0.35 * F.one_hot(LABELS, 4)
    assert loss(features(), LABELS).item() == pytest.approx(mean_cross_entropy(10 * found), 1e-4)


def test_circle_weighs_by_the_distance_from_the_optimum():
    loss = of_identities(CircleLoss, margin=0.25, scale=8.0)
    found = F.normalize(features()) @ F.normalize(loss.centres.detach()).T
    logits = torch.zeros(8, 4)
    for row in range(8):
        for column in range(4):
            cosine = found[row, column].item()
            logits[row, column] = (
                max(0, 1.25 - cosine) * (cosine - 0.75)
                if column == LABELS[row]
                else max(0, cosine + 0.25) * (cosine - 0.25)
            )
    assert loss(features(), LABELS).item() == pytest.approx(mean_cross_entropy(8 * logits), 1e-4)


def test_the_weights_of_circle_have_no_gradient():
    """Equation 6: the factors are not part of the derivative, which is factor times scale."""
    loss = CircleLoss(num_classes=2, channels=2, margin=0.25, scale=2.0)
    with torch.no_grad():
        loss.centres.copy_(torch.eye(2))
    image = F.normalize(torch.tensor([[0.6, 0.8]])).requires_grad_()
    loss(image, torch.tensor([0])).backward()
    logits = 2 * torch.tensor([(1.25 - 0.6) * (0.6 - 0.75), (0.8 + 0.25) * (0.8 - 0.25)])
    slope = (logits.softmax(0) - torch.tensor([1.0, 0.0])) * 2 * torch.tensor([0.65, 1.05])
    tangent = slope - (slope @ image[0].detach()) * image[0].detach()
    torch.testing.assert_close(image.grad[0], tangent)


@pytest.mark.parametrize('cls', IDENTITY_LOSSES)
@pytest.mark.parametrize('sign', [1, -1])
def test_an_image_at_a_centre_has_finite_gradients(cls, sign):
    loss = of_identities(cls)
    weight = next(loss.parameters())
    centres = torch.eye(5)[:4]
    with torch.no_grad():
        weight.copy_(centres.T if weight.shape == (5, 4) else centres)
    images = (sign * centres).requires_grad_()
    value = loss(images, torch.arange(4))
    value.backward()
    assert value.isfinite()
    assert images.grad.isfinite().all() and weight.grad.isfinite().all()


# ---------------------------------------------------------------------- of pairs


def batch_hard(found, labels, transform):
    """Equation 5 of the paper, as a mean over images with a positive and a negative."""
    values = []
    for row in range(len(found)):
        distances = (found - found[row]).norm(dim=1)
        positive = (labels == labels[row]) & (torch.arange(len(found)) != row)
        negative = labels != labels[row]
        if positive.any() and negative.any():
            values.append(transform(distances[positive].max() - distances[negative].min()))
    return torch.stack(values).mean()


@pytest.mark.parametrize('normalize', [False, True])
@pytest.mark.parametrize(
    ('margin', 'transform'),
    [(0.3, lambda gap: (gap + 0.3).clamp(min=0)), (0.0, torch.relu), (None, F.softplus)],
)
def test_the_triplet_loss_is_of_the_hardest_pairs(margin, transform, normalize):
    found = F.normalize(features()) if normalize else features()
    loss = TripletLoss(margin=margin, normalize=normalize)
    expected = batch_hard(found, LABELS, transform)
    assert 0 < expected
    torch.testing.assert_close(loss(features(), LABELS), expected)


def test_a_triplet_by_hand():
    """On a line: 0 and 1 of one identity, 3 and 7 of another."""
    images, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1, 1])
    # Farthest positive less nearest negative: 1 - 3, 1 - 2, 4 - 2, 4 - 6
    assert TripletLoss(margin=1.5)(images, labels).item() == pytest.approx((0 + 0.5 + 3.5 + 0) / 4)


def test_supervised_contrastive():
    found = F.normalize(features()) @ F.normalize(features()).T / 0.1
    values = []
    for row in range(8):
        others = torch.arange(8) != row
        positives = others & (LABELS == LABELS[row])
        if positives.any():
            log = found[row] - found[row][others].logsumexp(0)
            values.append(-log[positives].mean())
    expected = torch.stack(values).mean()
    torch.testing.assert_close(SupConLoss(temperature=0.1)(features(), LABELS), expected)


def test_multi_similarity_of_the_mined_pairs():
    alpha, beta, base, epsilon = 2.0, 40.0, 0.4, 0.1
    found = F.normalize(features()) @ F.normalize(features()).T
    values, left_out = [], 0
    for row in range(8):
        others = torch.arange(8) != row
        own, other = others & (LABELS == LABELS[row]), LABELS != LABELS[row]
        value = torch.zeros(())
        if own.any():
            least, most = found[row][own].min(), found[row][other].max()
            positives = [c for c in found[row][own] if c - epsilon < most]
            negatives = [c for c in found[row][other] if c + epsilon > least]
            left_out += own.sum() + other.sum() - len(positives) - len(negatives)
            if positives:
                value = value + sum((-alpha * (c - base)).exp() for c in positives).log1p() / alpha
            if negatives:
                value = value + sum((beta * (c - base)).exp() for c in negatives).log1p() / beta
        values.append(value)  # 0 of an image without a positive
    assert left_out > 0
    loss = MultiSimilarityLoss(alpha=alpha, beta=beta, base=base, epsilon=epsilon)
    torch.testing.assert_close(loss(features(), LABELS), torch.stack(values).mean())


@pytest.mark.parametrize('cls', PAIR_LOSSES)
def test_without_a_positive_pair_the_loss_is_zero_and_has_a_gradient(cls):
    for labels in (torch.arange(30), torch.zeros(30, dtype=torch.long), torch.zeros(1).long()):
        images = features(len(labels)).requires_grad_()
        value = cls()(images, labels)
        value.backward()
        assert value == 0 and images.grad.abs().max() == 0, labels


@pytest.mark.parametrize('cls', PAIR_LOSSES)
@pytest.mark.parametrize('normalize', [False, True])
def test_equal_images_have_finite_gradients(cls, normalize):
    """Of more than 25 images distances come from a product of matrices."""
    options = dict(normalize=normalize) if cls is TripletLoss else {}
    for images in (features(30)[torch.arange(30) // 2 * 2], torch.zeros(30, 5)):
        images = images.clone().requires_grad_()
        value = cls(**options)(images, torch.arange(30) // 2)
        value.backward()
        assert value.isfinite() and images.grad.isfinite().all()


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ('cfg', 'words'),
    [
        (dict(type='TripletLoss', weight=-1), 'TripletLoss.weight is -1; give a number'),
        (dict(type='SoftmaxLoss', smoothing=2), 'SoftmaxLoss.smoothing is 2; give a number'),
        (dict(type='SupConLoss', temperature=0), 'SupConLoss.temperature is 0; give a number'),
        (dict(type='CrossBatchMemory', loss=dict(type='TripletLoss'), size=0), 'size is 0; give'),
        (dict(type='CrossBatchMemory', loss=dict(type='SoftmaxLoss')), "is 'SoftmaxLoss', which"),
        (dict(type='mmdet.TripletLoss'), "losses.0.type is 'mmdet.TripletLoss', which is no loss"),
        (dict(type='Nothing'), "head.losses.0.type is 'Nothing', which is no loss of embeddings"),
        (dict(), 'head.losses.0.type is None, which is no loss of embeddings'),
    ],
)
def test_options_that_cannot_be_are_refused(cfg, words):
    with pytest.raises(ConfigError, match=words):
        EmbeddingHead(8, num_classes=3, losses=[cfg])
