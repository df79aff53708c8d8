"""Statistics estimated again, against the batch of all images together."""

from types import SimpleNamespace

import pytest
import torch
from conftest import classification, run_tool
from mmengine.runner import get_priority
from torch import nn

from allinone.checkpoint.loading import read_checkpoint
from allinone.errors import ConfigError
from allinone.registry import HOOKS, RUNNERS
from allinone.training.precise_bn import PreciseBNHook, reestimate


class Task(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.backbone = nn.Identity()
        self.backbone.adapter = None

    def data_preprocessor(self, batch, training):
        return batch


class Joint(nn.Module):
    """A backbone of two norms, and heads with one."""

    shared_neck = None

    def __init__(self, *tasks):
        super().__init__()
        torch.manual_seed(0)
        self.bn, self.frozen = 'shared', ()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4)
        )
        self.tasks = nn.ModuleDict({task: Task() for task in tasks})

    def task_losses(self, task, batch):
        return self.tasks[task].norm(self.backbone(batch['inputs']))

    def view(self, task):
        return self.tasks[task].backbone

    def shared_part(self, tasks=None):
        return self.backbone


def images(seed, size):
    generator = torch.Generator().manual_seed(seed)
    return dict(inputs=torch.randn(4, 3, size, size, generator=generator) * (1 + seed) + seed)


def normalised_together(model, inputs):
    """Mean and variance at each norm of the backbone, of the concatenated images."""
    found = []
    x = torch.cat(inputs)
    for layer in model.backbone:
        if isinstance(layer, nn.BatchNorm2d):
            found.append((x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)))
            mean, var = (value[:, None, None] for value in found[-1])
            x = (x - mean) / (var + layer.eps).sqrt()
        else:
            x = layer(x)
    return found


@torch.no_grad()
def test_mixed_batches_are_normalised_together():
    model = Joint('a', 'b').train()
    batches = [dict(a=images(n, 20), b=images(n + 5, 20)) for n in range(2)]
    assert reestimate(model, iter(batches)) == 4
    assert model.training and 'forward' not in vars(model.backbone[1])
    first, second = (
        normalised_together(model, [part['inputs'] for part in batch.values()]) for batch in batches
    )
    norms = (model.backbone[1], model.backbone[4])
    for norm, (mean, var), (other_mean, other_var) in zip(norms, first, second):
        expected = (mean + other_mean) / 2
        torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-4)
        moment = (var + mean**2 + other_var + other_mean**2) / 2
        expected = moment - ((mean + other_mean) / 2) ** 2
        torch.testing.assert_close(norm.running_var, expected, rtol=1e-4, atol=1e-4)
    # The heads' are of the maps that evaluation gives.
    model.eval()
    maps = torch.cat([model.backbone(batch['a']['inputs']) for batch in batches])
    found = model.tasks['a'].norm.running_mean
    torch.testing.assert_close(found, maps.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_each_task_has_the_same_share_whatever_its_size():
    model = Joint('a', 'b')
    small, large = images(0, 8), images(3, 20)
    reestimate(model, [dict(a=small, b=large)])
    means = [model.backbone[0](batch['inputs']).mean((0, 2, 3)) for batch in (small, large)]
    torch.testing.assert_close(model.backbone[1].running_mean, (means[0] + means[1]) / 2)


def test_a_image_that_does_not_fit_ends_all_tasks():
    model = Joint('a', 'b', 'c')
    wrong = dict(inputs=torch.zeros(1, 4, 20, 20))
    with pytest.raises(RuntimeError, match='channels'):
        reestimate(model, [dict(a=images(0, 20), b=wrong, c=images(1, 20))])
    assert 'forward' not in vars(model.backbone[1])


def test_frozen_tasks_and_those_without_images_keep_their_statistics():
    model = Joint('a', 'b', 'c')
    model.frozen = ('b',)
    for task in model.tasks.values():
        task.norm.running_mean.fill_(7)
        task.norm.running_var.fill_(3)
    batch = {task: dict(inputs=images(0, 20)['inputs']) for task in ('a', 'b')}
    assert reestimate(model, [batch]) == 3
    means = {name: task.norm.running_mean for name, task in model.tasks.items()}
    assert (means['a'] != 7).all() and (means['b'] == 7).all() and (means['c'] == 7).all()
    assert all((model.tasks[name].norm.running_var == 3).all() for name in 'bc')


@pytest.mark.parametrize('bn, frozen', [('frozen', ()), ('shared', ('backbone',))])
def test_a_backbone_whose_statistics_are_to_stay(bn, frozen):
    model = Joint('a')
    model.bn, model.frozen = bn, frozen
    with pytest.raises(ConfigError, match='are to stay as they are'):
        reestimate(model, [])
    # And before the first step of a training, not after its last
    with pytest.raises(ConfigError, match='are to stay as they are'):
        PreciseBNHook().before_train(SimpleNamespace(model=model, hooks=[]))


def test_averages_of_weights_are_taken_first():
    order = [HOOKS.build(dict(type=kind)) for kind in ('PreciseBNHook', 'EMAHook')]
    assert get_priority(order[0].priority) > get_priority(order[1].priority)


def test_without_batch_norm():
    model = Joint('a')
    model.backbone = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(ConfigError, match='model.backbone has no batch norm'):
        reestimate(model, [])


def test_hook_and_tool(toy_root, tmp_path, capsys):
    """After the last step, before it is saved; and of a checkpoint, whose rest stays as it was."""
    cfg = classification(tmp_path / 'work')
    cfg.model.backbone.norm_cfg = dict(type='BN')
    cfg.train_cfg.max_iters = 2
    cfg.custom_hooks = [dict(type='PreciseBNHook', batches=2)]
    # As users of workers have it
    cfg.train_dataloader.cls.update(num_workers=1, prefetch_factor=2)
    RUNNERS.build(cfg).train()
    states = [read_checkpoint(tmp_path / f'work/iter_{n}.pth')['state_dict'] for n in (1, 2)]
    # So far from the first values comes no running mean in two steps.
    key = 'backbone.conv1.bn.running_var'
    assert (states[0][key] > 0.8).all() and not (states[1][key] > 0.8).all()
    (tmp_path / 'config.py').write_text(''.join(f'{k} = {v!r}\n' for k, v in cfg.to_dict().items()))
    part = dict(list(states[0].items())[:-1])
    torch.save(dict(state_dict=part), tmp_path / 'part.pth')
    given = (tmp_path / 'config.py', tmp_path / 'part.pth', '--out', tmp_path / 'new.pth')
    assert run_tool('precise_bn', *given) == 2
    assert 'it lacks 1 tensors of backbone or tasks' in capsys.readouterr().err
    given = (tmp_path / 'config.py', tmp_path / 'work/iter_1.pth', '--out', tmp_path / 'new.pth')
    assert run_tool('precise_bn', *given, '--batches', 2) == 0
    assert 'new statistics of' in capsys.readouterr().out
    new = read_checkpoint(tmp_path / 'new.pth')
    for name, value in new['state_dict'].items():
        statistic = 'running' in name or name.endswith('tracked')
        assert statistic or torch.equal(value, states[0][name]), name
    assert not torch.equal(new['state_dict'][key], states[0][key])
    assert new['meta']['iter'] == 1 and 'optimizer' in new
    assert run_tool('precise_bn', *given) == 2
    assert 'is there already' in capsys.readouterr().err


def test_estimated_before_a_late_step_and_kept(toy_root, tmp_path):
    """As the tool estimates them; the same when resumed from before and from after that step."""

    def trained(name, resume=None):
        cfg = classification(tmp_path / name)
        cfg.model.backbone.norm_cfg = dict(type='BN')
        cfg.train_cfg.max_iters = 4
        mixed = dict(augments=dict(type='Mixup', alpha=0.2))  # Draws as batches are looked at
        cfg.model.tasks.cls.data_preprocessor = dict(num_classes=8, batch_augments=mixed)
        cfg.custom_hooks = [dict(type='PreciseBNHook', batches=2, begin=2)]
        cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=-1)
        if resume is not None:
            cfg.update(resume=True, load_from=str(tmp_path / f'whole/iter_{resume}.pth'))
        RUNNERS.build(cfg).train()
        return cfg

    def state_of(path):
        return read_checkpoint(tmp_path / path)['state_dict']

    cfg = trained('whole')
    states = {n: state_of(f'whole/iter_{n}.pth') for n in (2, 3, 4)}
    (tmp_path / 'config.py').write_text(''.join(f'{k} = {v!r}\n' for k, v in cfg.to_dict().items()))
    given = (tmp_path / 'config.py', tmp_path / 'whole/iter_2.pth', '--out', tmp_path / 'new.pth')
    assert run_tool('precise_bn', *given, '--batches', 2) == 0
    expected = state_of('new.pth')
    statistics = [name for name in expected if 'backbone' in name and 'running_' in name]
    assert statistics
    for name in statistics:
        assert not torch.equal(states[2][name], expected[name]), name
        assert torch.equal(states[3][name], expected[name]), name
        assert torch.equal(states[4][name], expected[name]), name
    weight = 'backbone.conv1.conv.weight'
    assert not torch.equal(states[4][weight], states[3][weight])
    for resume in (2, 3):
        trained(f'from_{resume}', resume)
        found = state_of(f'from_{resume}/iter_4.pth')
        assert all(torch.equal(value, states[4][name]) for name, value in found.items())


def test_averages_of_weights_take_the_kept_statistics(toy_root, tmp_path):
    cfg = classification(tmp_path / 'averaged')
    cfg.model.backbone.norm_cfg = dict(type='BN')
    cfg.train_cfg.max_iters = 3
    cfg.custom_hooks = [
        dict(type='EMAHook', momentum=0.1), dict(type='PreciseBNHook', batches=2, begin=1)
    ]  # fmt: skip
    RUNNERS.build(cfg).train()
    saved = read_checkpoint(tmp_path / 'averaged/iter_3.pth')
    averaged, own = (
        {name.removeprefix('module.'): value for name, value in saved[key].items()}
        for key in ('state_dict', 'ema_state_dict')
    )
    names = [name for name in averaged if name.startswith('backbone')]
    assert any('running_' in name for name in names)
    for name in names:
        if 'running_' in name:
            assert torch.equal(averaged[name], own[name]), name
    weight = 'backbone.conv1.conv.weight'
    assert not torch.equal(averaged[weight], own[weight])


def test_a_step_that_the_training_does_not_have():
    runner = SimpleNamespace(model=Joint('a'), max_iters=4, iter=0, hooks=[])
    with pytest.raises(ConfigError, match='begin of PreciseBNHook is 4, .* has 4 steps'):
        PreciseBNHook(begin=4).before_train(runner)
    runner.hooks = [PreciseBNHook(begin=3), PreciseBNHook()]
    with pytest.raises(ConfigError, match='more than once'):
        runner.hooks[0].before_train(runner)
