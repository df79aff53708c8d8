"""Models that give embeddings: shapes, places of the losses, and upstream's classifiers."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.heads import ArcFaceClsHead as UpstreamHead
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from allinone.errors import ConfigError
from allinone.models.embedding import ArcFaceClsHead, EmbeddingHead, EmbeddingModel
from allinone.registry import MODELS

POOLING = dict(type='mmpretrain.GlobalAveragePooling')
LOSSES = [
    dict(type='SoftmaxLoss', smoothing=0.1),
    dict(type='TripletLoss', weight=0.5),
    dict(type='TripletLoss', margin=None),
]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def head(in_channels=8, losses=LOSSES, **options):
    return EmbeddingHead(in_channels, num_classes=3, losses=losses, **options)


def mobile_net(neck=POOLING, cls=EmbeddingModel, **options):
    return cls(
        backbone=dict(type='mmpretrain.MobileNetV2', widen_factor=0.25, out_indices=(5,)),
        neck=neck,
        head=dict(
            type='allinone.EmbeddingHead',
            in_channels=40,
            embedding_size=16,
            num_classes=3,
            losses=LOSSES,
        )
        | options,
    )


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def test_each_mode_of_a_model():
    model = mobile_net()
    images, labelled = torch.randn(4, 3, 32, 32), samples([0, 0, 1, 2])
    losses = model(images, labelled, mode='loss')
    assert list(losses) == ['loss_softmax', 'loss_triplet', 'loss_triplet_1']
    sum(losses.values()).backward()
    missing = [name for name, param in model.head.named_parameters() if param.grad is None]
    assert missing == []  # The shift of the BNNeck is a buffer of zeros.
    assert model.backbone.conv1.conv.weight.grad.abs().max() > 0
    model.eval()
    with torch.no_grad():
        embeddings = model(images)
        found = model(images, labelled, mode='predict')
        unlabelled = model(images, mode='predict')
    assert embeddings.shape == (4, 16) and embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(4))
    assert found == labelled
    for samples_found in (found, unlabelled):
        assert torch.equal(torch.stack([one.pred_feature for one in samples_found]), embeddings)


def test_metric_losses_are_before_the_norm_and_the_rest_behind():
    part = head(embedding_size=4)
    with torch.no_grad():
        part.norm.weight.uniform_(0.5, 2)
    feats, labels = torch.randn(6, 8), torch.tensor([0, 0, 1, 1, 2, 2])
    found = part.loss((feats,), labels)
    before = feats @ part.projection.weight.T
    behind = (before - before.mean(0)) / (before.var(0, unbiased=False) + 1e-5).sqrt()
    behind = behind * part.norm.weight
    softmax, triplet, soft = part.losses
    torch.testing.assert_close(found['loss_softmax'], softmax(behind, labels))
    torch.testing.assert_close(found['loss_triplet'], 0.5 * triplet(before, labels))
    torch.testing.assert_close(found['loss_triplet_1'], soft(before, labels))
    torch.testing.assert_close(part((feats,)), behind)
    assert part.needs_pairs and part.pair_losses == 'TripletLoss, TripletLoss'
    assert not head(losses=LOSSES[:1]).needs_pairs


def test_parts_may_be_left_out():
    part = head(bnneck=False)
    feats = torch.randn(3, 8)
    assert torch.equal(part((feats,)), feats)
    assert [name for name, _ in part.named_parameters()] == ['losses.0.classifier.weight']


def test_losses_are_of_single_precision():
    model = mobile_net()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(torch.randn(4, 3, 32, 32), samples([0, 0, 1, 1]), mode='loss')
        predicted = model.eval()(torch.randn(1, 3, 32, 32), mode='predict')
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert predicted[0].pred_feature.dtype == torch.float32


def test_what_a_head_cannot_have_is_refused():
    with pytest.raises(ConfigError, match=r'gets a feature map \(2, 40, 2, 2\); pool it with neck'):
        mobile_net(neck=None)(torch.randn(2, 3, 64, 64))
    with pytest.raises(ConfigError, match='^head.losses is empty'):
        head(losses=[])
    with pytest.raises(ConfigError, match='losses.0 is SoftmaxLoss, which classifies identities'):
        EmbeddingHead(8, losses=LOSSES)
    with pytest.raises(ConfigError, match='^head.embedding_size is 0'):
        head(embedding_size=0)


def test_a_model_is_exported_by_pytorch():
    model = mobile_net().eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        program = torch.export.export(model, (images,))
        torch.testing.assert_close(program.module()(images), model(images))


# ---------------------------------------------------------------------- upstream's classifiers


def arc_face(cls, **options):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return cls(num_classes=3, in_channels=8, **options)


@pytest.mark.parametrize('options', [{}, dict(num_subcenters=2), dict(easy_margin=True)])
def test_the_clamped_arcface_head_is_upstreams(options):
    upstream, clamped = arc_face(UpstreamHead, **options), arc_face(ArcFaceClsHead, **options)
    drawn = torch.rand(())
    arc_face(UpstreamHead, **options)
    assert torch.equal(torch.rand(()), drawn)
    assert upstream.state_dict().keys() == clamped.state_dict().keys()
    found = []
    for part in (upstream, clamped):
        feats = torch.randn(6, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
        loss = part.loss((feats,), samples([0, 1, 2, 0, 1, 2]))['loss']
        loss.backward()
        found.append((loss, feats.grad, part.norm_product.weight.grad, part((feats,))))
    for expected, value in zip(*found):
        assert torch.equal(expected, value)


def test_an_image_at_a_centre_has_a_gradient_with_the_clamped_head():
    finite = []
    for cls in (UpstreamHead, ArcFaceClsHead):
        part = arc_face(cls)
        with torch.no_grad():
            part.norm_product.weight.copy_(torch.eye(8)[:3])
        feats = torch.eye(8)[:3].requires_grad_()
        part.loss((feats,), samples([0, 1, 2]))['loss'].backward()
        finite.append(bool(feats.grad.isfinite().all()))
    assert finite == [False, True]


def test_the_clamped_head_takes_half_precision():
    part = arc_face(ArcFaceClsHead)
    with torch.autocast('cpu', torch.bfloat16):
        loss = part.loss((torch.randn(3, 8).bfloat16(),), samples([0, 1, 2]))['loss']
    assert loss.isfinite() and loss.dtype == torch.float32


def test_a_classifier_gives_what_its_last_layer_gets():
    cfg = dict(
        type='allinone.EmbeddingClassifier',
        backbone=dict(type='MobileNetV2', widen_factor=0.25, out_indices=(5,)),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=40),
    )
    model = MODELS.build(cfg).eval()
    upstream = MODELS.build(dict(cfg, type='mmpretrain.ImageClassifier', _scope_='mmpretrain'))
    upstream.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        found = torch.stack([one.pred_feature for one in model(images, mode='predict')])
        expected = upstream.eval().extract_feat(images, stage='pre_logits')
        assert torch.equal(found, expected)
        assert torch.equal(model(images), upstream(images))
    labelled = samples([0, 1])
    assert model.predict(images, labelled) == labelled and 'pred_feature' in labelled[0]
    assert F.normalize(found).shape == (2, 40)
