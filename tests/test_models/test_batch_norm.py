"""Batch norm of the backbone: whose statistics move, and what a task sees of them."""

import pytest
import torch
from conftest import build_model
from mmengine.optim import OptimWrapper
from torch import nn

from allinone.checkpoint.loading import load_state_dict
from allinone.data.loaders import training_batches
from allinone.errors import ConfigError
from allinone.models.batch_norm import norms_of
from allinone.reuse.extract import upstream_state


@pytest.fixture
def cfg(toy_cfg):
    toy_cfg.model.backbone.norm_cfg = dict(type='BN')
    toy_cfg.model.tasks.pop('seg')
    toy_cfg.model.grad_similarity_interval = 0
    return toy_cfg


@pytest.fixture
def batches(cfg):
    return next(training_batches(cfg, cfg.model.tasks))


def statistics(model, part):
    return {
        name: value.clone()
        for name, value in model.state_dict().items()
        if name.startswith(part) and 'running' in name
    }


def moved(before, model, part):
    after = statistics(model, part)
    assert after
    return any(not torch.equal(before[name], value) for name, value in after.items())


def step(model, batches, *tasks):
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    before = statistics(model, '')
    model.train().train_step({task: batches[task] for task in tasks}, optimizer)
    return before


@pytest.mark.parametrize('kind, moves', [('shared', True), ('frozen', False)])
def test_shared_statistics_move_and_frozen_do_not(cfg, batches, kind, moves):
    cfg.model.bn = kind
    model = build_model(cfg)
    before = [norm.bias.clone() for norm in norms_of(model.backbone)]
    assert moved(step(model, batches, 'cls'), model, 'backbone.') == moves
    after = [norm.bias for norm in norms_of(model.backbone)]
    assert any(not torch.equal(*pair) for pair in zip(before, after))


@pytest.mark.parametrize('affine', [False, True])
def test_statistics_of_a_tasks_own(cfg, batches, affine):
    cfg.model.bn = dict(type='per_task', affine=affine)
    model = build_model(cfg)
    before = step(model, batches, 'cls')
    assert moved(before, model, 'tasks.cls.adapter.')
    assert not moved(before, model, 'tasks.det.adapter.')
    assert not moved(before, model, 'backbone.')
    names = [name for name, _ in model.tasks['cls'].adapter.named_parameters()]
    assert len(names) == 2 * affine * len(norms_of(model.backbone))
    # A plain backbone with the task's statistics answers the same, bit for bit.
    passes = []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    image = torch.rand(3, 64, 64) * 255
    found = model.eval().predict([image])
    assert len(passes) == 2
    cfg.model.bn = 'shared'
    plain = build_model(cfg).eval()
    state = model.state_dict()
    single = nn.ModuleDict(dict(cls=model.tasks['cls']))
    own = upstream_state(_Joint(model.backbone, single), state)
    backbone = {name: value for name, value in own.items() if name.startswith('backbone.')}
    plain.load_state_dict(state | backbone, strict=False)
    assert torch.equal(plain.predict([image])['cls'][0].pred_score, found['cls'][0].pred_score)


class _Joint(nn.Module):
    shared_neck = None

    def __init__(self, backbone, tasks):
        super().__init__()
        self.backbone, self.tasks = backbone, tasks

    def shared_part(self):
        return self.backbone

    def upstream_neck(self, task):
        return None


def test_own_statistics_begin_as_the_shared_ones_of_a_checkpoint(cfg, batches, tmp_path):
    shared = build_model(cfg)
    step(shared, batches, 'det')
    cfg.model.bn = 'per_task'
    model = build_model(cfg)
    load_state_dict(model, shared.state_dict(), 'shared.pth')
    for change, norm in zip(model.tasks['cls'].adapter.changes.values(), norms_of(shared.backbone)):
        assert torch.equal(change.running_mean, norm.running_mean)
    # And a checkpoint of such a model brings each task's own.
    step(model, batches, 'cls')
    again = build_model(cfg)
    load_state_dict(again, model.state_dict(), 'per_task.pth')
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_what_cannot_be(cfg):
    cfg.model.bn = 'local'
    with pytest.raises(ConfigError, match=r"model.bn is 'local'; the choices are \['shared'"):
        build_model(cfg)
    cfg.model.bn = dict(type='frozen', affine=True)
    with pytest.raises(ConfigError, match="'per_task' alone has an option"):
        build_model(cfg)
    cfg.model.bn = 'per_task'
    cfg.model.tasks.cls.adapter = dict(type='FiLMAdapter')
    with pytest.raises(ConfigError, match='model.tasks.cls.adapter is set, and model.bn'):
        build_model(cfg)
    cfg.model.tasks.cls.pop('adapter')
    cfg.model.compile_backbone = True
    with pytest.raises(ConfigError, match='model.compile_backbone is set, but the tasks'):
        build_model(cfg)
    cfg.model.compile_backbone = False
    cfg.model.backbone.norm_cfg = dict(type='GN', num_groups=4)
    with pytest.raises(ConfigError, match='the backbone has no batch norm'):
        build_model(cfg)


def test_task_specific_statistics_do_not_hide_that_a_task_does_not_fit(cfg):
    cfg.model.bn = 'per_task'
    cfg.model.tasks.det.neck.in_channels = [16, 48, 161]
    with pytest.raises(ConfigError, match=r'model.tasks.det.neck has in_channels=\[16, 48, 161\]'):
        build_model(cfg)
