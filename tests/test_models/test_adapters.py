"""Adapters by hand-computed layers, and what they cost a pass of the backbone."""

import pytest
import torch
from conftest import build_model
from torch import nn

from allinone.errors import ConfigError
from allinone.models.adapters import FiLMAdapter, LowRankAdapter, build_adapter
from allinone.models.shared_backbone import run_backbone

ADAPTERS = [dict(type='LowRankAdapter', rank=2), dict(type='FiLMAdapter')]


def fill(adapter):
    """Other parameters than those of the start, at which an adapter changes nothing."""
    with torch.no_grad():
        for number, parameter in enumerate(adapter.parameters()):
            parameter.fill_(0.1 + 0.01 * number)


def test_low_rank_by_hand():
    backbone = nn.Sequential(nn.Conv2d(2, 3, 1, bias=False), nn.Conv2d(3, 3, 3))
    with torch.no_grad():
        backbone[0].weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]])[..., None, None])
    adapter = LowRankAdapter(backbone, rank=1, alpha=0.5)
    assert torch.equal(adapter.values(backbone)['0.weight'], backbone[0].weight)
    change = adapter.changes['0']
    with torch.no_grad():
        change.down.copy_(torch.tensor([[2.0, 4]]))
        change.up.copy_(torch.tensor([[1.0], [0], [-1]]))
    # W + 0.5 / 1 * [[2, 4], [0, 0], [-2, -4]]; the 3 x 3 convolution is not adapted.
    assert list(adapter.values(backbone)) == ['0.weight']
    assert adapter.values(backbone)['0.weight'][..., 0, 0].tolist() == [[2, 2], [0, 1], [0, -1]]


def test_film_by_hand():
    backbone = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    with torch.no_grad():
        backbone[1].weight.copy_(torch.tensor([2.0, 3]))
        backbone[1].bias.copy_(torch.tensor([1.0, -1]))
    adapter = FiLMAdapter(backbone)
    with torch.no_grad():
        adapter.changes['1'].scale.copy_(torch.tensor([0.5, -1]))
        adapter.changes['1'].shift.copy_(torch.tensor([0.0, 7]))
    assert {name: value.tolist() for name, value in adapter.values(backbone).items()} == {
        '1.weight': [3, 0],
        '1.bias': [1.5, 7],
    }
    x = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    (plain,), (adapted,) = run_backbone(backbone, x), run_backbone(backbone, x, adapter)
    torch.testing.assert_close(adapted[:, 0], 1.5 * plain[:, 0])
    assert (adapted[:, 1] == 7).all()


def test_rank_and_layers():
    backbone = nn.Sequential(nn.Sequential(nn.Linear(3, 8)), nn.Conv2d(4, 4, 1, groups=4))
    adapter = LowRankAdapter(backbone, rank=5)
    assert [tuple(p.shape) for p in adapter.parameters()] == [(3, 3), (8, 3)]
    assert list(LowRankAdapter(backbone, layers=['0']).values(backbone)) == ['0.0.weight']


@pytest.mark.parametrize('adapter', ADAPTERS)
def test_the_adapted_task_alone_has_a_pass_of_its_own(toy_cfg, adapter):
    plain = build_model(toy_cfg).eval()
    toy_cfg.model.tasks.det.adapter = adapter
    toy_cfg.model.tasks.det.test_cfg.score_thr = 0.0
    model = build_model(toy_cfg).eval()
    assert model.load_state_dict(plain.state_dict(), strict=False).unexpected_keys == []
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    image = torch.randint(0, 256, (3, 64, 96), generator=torch.Generator().manual_seed(0))

    def boxes():
        return model.predict([image])['det'][0].pred_instances.bboxes

    start = boxes()
    assert len(calls) == 2
    model.predict([image], ['cls', 'seg'])
    assert len(calls) == 3
    model.predict([image], ['det'])
    assert len(calls) == 4
    # At the start it is the backbone's own answer.
    plain.tasks['det'].bbox_head.test_cfg.score_thr = 0.0
    assert torch.equal(start, plain.predict([image], ['det'])['det'][0].pred_instances.bboxes)
    fill(model.tasks['det'].adapter)
    assert start.shape != boxes().shape or not torch.equal(start, boxes())
    # Nothing is left on the backbone.
    found, wanted = (m.predict([image], ['seg'])['seg'][0] for m in (model, plain))
    assert torch.equal(found.seg_logits.data, wanted.seg_logits.data)


def refusal(backbone, cfg):
    with pytest.raises(ConfigError) as error:
        build_adapter('model.tasks.det.adapter', cfg, backbone)
    return str(error.value)


def test_what_is_refused():
    backbone = nn.Sequential(nn.Conv2d(2, 3, 1))
    start = 'model.tasks.det.adapter '
    assert refusal(backbone, dict(type='LoRA')).startswith(f"{start}is {{'type': 'LoRA'}}; give")
    assert refusal(backbone, dict(type='SharedBackbone')).startswith(f'{start}is ')
    assert 'rank is 0; give a whole number' in refusal(
        backbone, dict(type='LowRankAdapter', rank=0)
    )
    assert "'rnak'" in refusal(backbone, dict(type='LowRankAdapter', rnak=1))
    assert 'finds nothing to adapt; the parts of the backbone are' in refusal(
        backbone, dict(type='FiLMAdapter')
    )
    assert "layers is ['stage4']" in refusal(
        backbone, dict(type='LowRankAdapter', layers=['stage4'])
    )
    backbone.with_cp = True
    assert 'with_cp is set' in refusal(backbone, dict(type='LowRankAdapter'))
