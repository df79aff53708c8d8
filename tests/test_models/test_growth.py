"""A task is added to a joint model, and the tasks that were there do not change by a bit."""

import copy
from argparse import Namespace
from types import SimpleNamespace

import mmcv
import pytest
import torch
from conftest import ROOT, build_model, literal, tiny
from mmengine.hooks import EMAHook as StockEMAHook
from torch.nn.modules.batchnorm import _NormBase

from allinone.apis.run import run
from allinone.checkpoint.loading import read_checkpoint
from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.errors import CheckpointError, ConfigError
from allinone.registry import RUNNERS
from allinone.training.hooks.ema import EMAHook

GROW = ROOT / 'configs/toy/mobilenetv2_toy_grow.py'
OLD = ('cls', 'det', 'seg')


@pytest.fixture(scope='module')
def joint(toy_root, tmp_path_factory):
    """A joint model with batch norm in backbone and heads, its config and checkpoint."""
    folder = tmp_path_factory.mktemp('joint')
    cfg = tiny(folder)
    cfg.model.backbone.norm_cfg = dict(type='BN')
    cfg.model.tasks.seg.decode_head.norm_cfg = dict(type='BN')
    cfg.model.tasks.det.test_cfg.score_thr = 0.0
    model = build_model(cfg)
    for name, buffer in model.named_buffers():
        if name.endswith('running_mean'):
            buffer.uniform_(-0.2, 0.2)
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5)
    torch.save(dict(state_dict=model.state_dict()), folder / 'joint.pth')
    return model, cfg, folder / 'joint.pth'


@pytest.fixture
def grown(joint, tmp_path):
    """``configs/toy/mobilenetv2_toy_grow.py``, made tiny, on the joint model of these tests."""
    _, base, checkpoint = joint
    cfg = load_config(str(GROW), work_dir=str(tmp_path / 'work'))
    cfg.model.backbone = copy.deepcopy(base.model.backbone)
    for task in OLD:
        cfg.model.tasks[task] = copy.deepcopy(base.model.tasks[task])
    # The new head has batch norm too, which learns.
    cfg.model.tasks.signs.neck.norm_cfg = dict(type='BN')
    cfg.load_from = str(checkpoint)
    cfg.train_cfg = dict(base.train_cfg, val_interval=2)
    cfg.param_scheduler = None  # Without warm-up, so that a few steps are seen
    cfg.default_hooks = copy.deepcopy(base.default_hooks)
    cfg.train_dataloader.signs.update(batch_size=2, num_workers=0)
    for stage in ('val', 'test'):
        for part in ('dataloader', 'evaluator'):
            key = f'{stage}_{part}'
            cfg[key] = dict(signs=cfg[key].signs)
        cfg[f'{stage}_dataloader'].signs.update(batch_size=2, num_workers=0)
        cfg[f'{stage}_cfg'].score = {'signs/bbox_mAP_50': 100}
    return cfg


def test_the_pattern_is_short():
    lines = [line for line in GROW.read_text().splitlines() if line and not line.startswith('#')]
    assert len(lines) <= 15
    check_config(load_config(str(GROW)))


def answers(model, images):
    """All numbers that the old tasks predict."""
    model.eval()
    found = []
    for image in images:
        samples = {task: part[0] for task, part in model.predict([image], OLD).items()}
        boxes = samples['det'].pred_instances
        assert len(boxes)
        found += [samples['cls'].pred_score, boxes.bboxes, boxes.scores, boxes.labels]
        found.append(samples['seg'].seg_logits.data)
    return found


@pytest.fixture(scope='module')
def asked(joint, toy_root):
    """50 images, and what the joint model answers."""
    paths = sorted((toy_root / 'toy').rglob('*.jpg'))[::-1][:50]
    images = [torch.from_numpy(mmcv.imread(path).transpose(2, 0, 1).copy()) for path in paths]
    assert len(images) == 50
    return images, answers(joint[0], images)


@pytest.mark.parametrize('adapter', [None, 'LowRankAdapter', 'FiLMAdapter'])
def test_old_tasks_do_not_change_by_a_bit(joint, grown, asked, adapter):
    """With dropout, batch norm, weight decay, and an average of weights that rounds."""
    before, _, _ = joint
    grown.model.tasks.signs.adapter = adapter and dict(type=adapter)
    grown.custom_hooks = [dict(type='EMAHook', ema_type='mmpretrain.CosineEMA', momentum=0.1)]
    runner = RUNNERS.build(grown)
    runner.train()
    saved = read_checkpoint(f'{grown.work_dir}/iter_4.pth')
    trained = {key.removeprefix('module.'): value for key, value in saved['ema_state_dict'].items()}
    for state in (saved['state_dict'], trained):
        for name, value in before.state_dict().items():
            assert torch.equal(state[name], value), name
    after = build_model(grown)
    start = after.state_dict()
    own = [name for name in start if name.startswith('tasks.signs.')]
    assert any('.adapter.' in name for name in own) is bool(adapter)
    still = [name for name in own if torch.equal(trained[name].float(), start[name].float())]
    # The new task does not look at the backbone's last layer.
    learned = {name for name, _ in after.named_parameters() if '.conv2-' not in name}
    assert not learned & set(still)
    after.load_state_dict(saved['state_dict'])
    images, expected = asked
    for one, other in zip(answers(after, images), expected, strict=True):
        assert torch.equal(one, other)


def test_what_is_frozen_is_never_in_training(grown):
    model = build_model(grown).train()
    for part in (model.backbone, *(model.tasks[task] for task in OLD)):
        assert not any(module.training for module in part.modules())
        assert not any(parameter.requires_grad for parameter in part.parameters())
    new = model.tasks['signs']
    assert new.training and all(parameter.requires_grad for parameter in new.parameters())
    assert any(isinstance(m, _NormBase) and m.training for m in new.modules())


@pytest.mark.parametrize('hook_type, exact', [(StockEMAHook, False), (EMAHook, True)])
def test_averages_of_what_is_frozen(grown, hook_type, exact):
    """The upstream hook moves frozen weights by a rounding; else the test above shows nothing."""
    model = build_model(grown)
    start = copy.deepcopy(model.state_dict())
    hook = hook_type(ema_type='ExponentialMovingAverage')
    runner = SimpleNamespace(model=model, iter=0, max_iters=3)
    hook.before_run(runner)
    # What mmpretrain.CosineEMA computes, without the runner that it asks for the schedule
    hook.ema_model.avg_func = lambda average, source, steps: average.mul_(0.9).add_(
        source, alpha=0.1
    )
    hook.before_train(runner)
    for _ in range(3):
        hook.after_train_iter(runner, 0)
    average = hook.ema_model.module.state_dict()
    fixed = [name for name in start if not name.startswith(('tasks.signs.', 'balancer.'))]
    assert all(torch.equal(average[name], start[name]) for name in fixed) is exact


def test_resuming_and_a_first_start_are_one_command(joint, grown, tmp_path):
    """``--resume`` begins with ``load_from`` where the work dir has no checkpoint yet."""
    grown.train_cfg.update(max_iters=1, val_interval=10)
    grown.default_hooks.checkpoint.update(interval=1)
    (tmp_path / 'config.py').write_text(literal(grown))
    given = dict(config=str(tmp_path / 'config.py'), work_dir=None, launcher='none', seed=None)
    given |= dict(amp=False, resume='auto')
    for steps in (1, 2):
        options = [f'train_cfg.max_iters={steps}']
        assert run('train', Namespace(**given, cfg_options=options)) == 0
        state = read_checkpoint(f'{grown.work_dir}/iter_{steps}.pth')['state_dict']
        for name, value in joint[0].state_dict().items():
            assert torch.equal(state[name], value), name


def test_what_is_refused_before_anything_is_built(grown):
    with pytest.raises(ConfigError, match="model.frozen is 'backbon'; name some of"):
        check_config(dict(grown, model=dict(grown.model, frozen='backbon')))
    grown.load_from = None
    with pytest.raises(ConfigError, match=r"frozen has \['backbone', 'cls', .* set load_from"):
        RUNNERS.build(grown)
    grown.train_dataloader.det = grown.train_dataloader.signs
    with pytest.raises(ConfigError, match=r"train_dataloader has \['det'\], which model.frozen"):
        RUNNERS.build(grown)


def test_a_checkpoint_that_lacks_what_is_frozen_is_refused(joint, grown, tmp_path):
    state = {k: v for k, v in joint[0].state_dict().items() if not k.startswith('tasks.det.')}
    torch.save(dict(state_dict=state), tmp_path / 'two.pth')
    grown.load_from = str(tmp_path / 'two.pth')
    with pytest.raises(CheckpointError, match='two.pth does not fit the config: it lacks.*det'):
        RUNNERS.build(grown).train()


@pytest.mark.parametrize(
    'options, says',
    [
        (dict(frozen=('backbone', 'dett')), r"model.frozen is .*'dett'.*name some of \['backbone'"),
        (dict(frozen='backbone'), r"model.frozen is 'backbone'"),
        (dict(frozen=3), 'model.frozen is 3'),
        (dict(frozen=('backbone', *OLD, 'signs')), 'leave something to train'),
        (dict(balancer=dict(type='GradNorm')), "'GradNorm', which looks at gradients"),
        (dict(balancer=dict(type='PCGrad')), "'PCGrad', which looks at gradients"),
        (dict(clip_grad_per_task=1.0), 'model.clip_grad_per_task is 1.0'),
    ],
)
def test_what_cannot_be_frozen(grown, options, says):
    grown.model.update(options)
    with pytest.raises(ConfigError, match=says):
        build_model(grown)
