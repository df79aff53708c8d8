"""Losses towards a teacher: by hand, on the toy model, and over a run that is resumed."""

import copy
import math
from argparse import Namespace

import pytest
import torch
from conftest import ROOT, build_model, literal, tiny
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from torch import nn

from allinone.apis.run import run
from allinone.checkpoint.loading import read_checkpoint, require_weights
from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.data.loaders import build_loader
from allinone.errors import CheckpointError, ConfigError
from allinone.models.distillation import FeatureImitation, LogitDistillation, ScoreDistillation
from allinone.models.distillation.teachers import renormalised
from allinone.registry import MODELS, RUNNERS
from allinone.reuse.extract import extract

TASKS = ('cls', 'det', 'seg')
LOSSES = dict(
    cls=dict(logits=dict(type='LogitDistillation', temperature=4.0)),
    det=dict(
        neck=dict(type='FeatureImitation'), scores=dict(type='ScoreDistillation', loss_weight=0.5)
    ),
    seg=dict(logits=dict(type='LogitDistillation')),
)


def test_logits_by_hand():
    student = torch.zeros(1, 2, requires_grad=True)
    teacher = torch.tensor([[math.log(3), 0.0]])  # 3/4 and 1/4
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    loss = LogitDistillation()([student], [teacher])
    assert loss.item() == pytest.approx(divergence)
    loss.backward()
    torch.testing.assert_close(student.grad, torch.tensor([[0.5 - 0.75, 0.5 - 0.25]]))
    softened = LogitDistillation(temperature=2.0, loss_weight=3.0)
    assert softened([student], [2 * teacher]).item() == pytest.approx(3 * 4 * divergence)
    # Of a map: the mean over images and pixels, with the teacher's resized.
    maps = torch.stack([teacher, torch.zeros(1, 2)], 2)[..., None].expand(-1, -1, -1, 2)
    assert LogitDistillation()([torch.zeros(1, 2, 2, 2)], [maps]).item() == pytest.approx(
        divergence / 2
    )
    assert LogitDistillation()([torch.zeros(1, 2, 4, 4)], [teacher[..., None, None]]).item() == (
        pytest.approx(divergence)
    )


def test_logits_are_mmdets_times_the_classes():
    from mmdet.models.losses import KnowledgeDistillationKLDivLoss

    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 6, 5, generator=generator)
    upstream = KnowledgeDistillationKLDivLoss(T=3)(student, teacher)
    found = LogitDistillation(temperature=3.0)([student], [teacher])
    torch.testing.assert_close(found, 5 * upstream)


def test_scores_by_hand():
    student = torch.zeros(1, 1, 1, 2)
    teacher = torch.full((1, 1, 1, 2), math.log(3))
    one = math.log(2) * 0.25**2
    loss = ScoreDistillation()
    assert loss([student], [teacher]).item() == pytest.approx(2 * one / 1.5)
    # Fewer than one object counts as one.
    assert loss([student[..., :1]], [teacher[..., :1]]).item() == pytest.approx(one)
    two_classes = ScoreDistillation(num_classes=2)
    both = [maps.reshape(1, 2, 1, 1) for maps in (student, teacher)]
    assert two_classes(both[:1], both[1:]).item() == pytest.approx(2 * one)
    # A head answers (scores of the levels, boxes of the levels).
    assert len(loss.select([((student, student), (teacher, teacher, teacher))])) == 2


def test_scores_are_mmdets_quality_focal_loss():
    from mmdet.models.losses import QualityFocalLoss

    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 20, 3, generator=generator)
    upstream = QualityFocalLoss(reduction='sum')(student, teacher.sigmoid())
    objects = teacher.sigmoid().amax(1).sum()
    found = ScoreDistillation()([student[:, :, None, None]], [teacher[:, :, None, None]])
    torch.testing.assert_close(found, upstream / objects)


def test_features_by_hand():
    maps = torch.tensor([1.0, 2, 3]).view(1, 1, 1, 3)
    loss = FeatureImitation()
    assert loss([maps], [5 * maps + 7]).item() == pytest.approx(0, abs=1e-5)
    assert loss([maps], [-maps]).item() == pytest.approx(2, rel=1e-5)
    # 1 - r, with r = 1/2 of (1, 2, 3) and (1, 3, 2)
    other = torch.tensor([1.0, 3, 2]).view(1, 1, 1, 3)
    assert loss([maps, maps], [other, maps]).item() == pytest.approx(0.5, abs=1e-5)
    plain = FeatureImitation(normalise=False)
    assert plain([maps], [other]).item() == pytest.approx(2 / 3)
    dead = torch.zeros(2, 3, 2, 2, requires_grad=True)
    loss([dead], [torch.rand(2, 3, 2, 2)]).backward()
    assert torch.isfinite(dead.grad).all()


def test_a_connector_between_numbers_of_channels():
    loss = FeatureImitation(normalise=False, channels=(1, 2))
    with torch.no_grad():
        loss.connectors[0].weight.copy_(torch.tensor([2.0, -1]).view(2, 1, 1, 1))
    maps = torch.ones(1, 1, 2, 2)
    assert loss([maps, maps], [torch.zeros(1, 2, 2, 2)] * 2).item() == pytest.approx(5.0)
    loss.forward([maps[..., 0, 0]], [torch.zeros(1, 2)]).backward()
    assert loss.connectors[0].weight.grad is not None
    each = FeatureImitation(channels=[(1, 2), (3, 4)])
    assert [tuple(c.weight.shape[:2]) for c in each.connectors] == [(2, 1), (4, 3)]


def test_a_teacher_sees_its_own_normalisation():
    from mmdet.models import DetDataPreprocessor
    from mmpretrain.models import ClsDataPreprocessor

    images = torch.randint(0, 256, (2, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    caffe = DetDataPreprocessor(mean=[103.5, 116.3, 123.7], std=[1, 1, 1])
    torch_like = ClsDataPreprocessor(mean=[123.7, 116.3, 103.5], std=[58, 57, 56], to_rgb=True)
    ours = torch_like(dict(inputs=images))['inputs']
    wanted = caffe(dict(inputs=list(images)))['inputs']
    torch.testing.assert_close(renormalised(ours, torch_like, caffe), wanted, atol=1e-4, rtol=1e-5)
    assert renormalised(ours, torch_like, torch_like) is ours
    bare = ClsDataPreprocessor()
    torch.testing.assert_close(
        renormalised(ours, torch_like, bare), images.float(), atol=1e-4, rtol=1e-5
    )


@pytest.fixture(scope='module')
def teacher(trained, tmp_path_factory):
    """``dict(config, checkpoint)`` of the trained joint model."""
    _, cfg, work_dir = trained
    config = tmp_path_factory.mktemp('teacher') / 'joint.py'
    config.write_text(literal(cfg))
    return dict(config=str(config), checkpoint=str(work_dir / 'iter_4.pth'))


@pytest.fixture
def student_cfg(toy_cfg, teacher):
    toy_cfg.model.distill = dict(teacher=teacher, losses=LOSSES)
    return toy_cfg


@pytest.fixture
def batches(toy_cfg):
    return {
        task: next(
            iter(build_loader(task, task, toy_cfg.train_dataloader[task], 0, None, True, False))
        )
        for task in TASKS
    }


def losses_of(model, batches):
    """Each task's losses with the same dropout."""
    model.train()
    found = {}
    for task, batch in batches.items():
        torch.manual_seed(0)
        found[task] = model.task_losses(task, copy.deepcopy(batch))
    return found


def test_the_losses_add_to_the_tasks_own(student_cfg, batches):
    model = build_model(student_cfg)
    student_cfg.model.pop('distill')
    plain = losses_of(build_model(student_cfg), batches)
    found = losses_of(model, batches)
    for task, names in LOSSES.items():
        added = {f'distill_loss_{name}' for name in names}
        assert set(found[task]) == set(plain[task]) | added
        for name in added:
            assert found[task][name] > 0 and found[task][name].requires_grad
        for name, value in plain[task].items():
            value, same = (v if isinstance(v, list) else [v] for v in (value, found[task][name]))
            assert all(torch.equal(one, other) for one, other in zip(value, same, strict=True))


def test_a_teacher_is_its_own_perfect_student(student_cfg, teacher, batches):
    student_cfg.model.tasks.seg.decode_head.dropout_ratio = 0
    model = build_model(student_cfg)
    model.load_state_dict(read_checkpoint(teacher['checkpoint'])['state_dict'])
    for task, losses in losses_of(model, batches).items():
        for name in LOSSES[task]:
            # Quality focal loss is 0 where scores are equal, features by rounding.
            assert losses[f'distill_loss_{name}'].item() == pytest.approx(0, abs=1e-6)


def test_the_teacher_stays_outside(student_cfg, batches):
    model = build_model(student_cfg)
    copied = copy.deepcopy(model)
    plain = student_cfg.model.pop('distill')
    assert list(model.state_dict()) == list(build_model(student_cfg).state_dict())
    assert copied.distillation is model.distillation
    teachers = model.distillation._teachers
    assert set(teachers) == set(plain['losses'])
    (whole,) = {teacher.whole for teacher in teachers.values()}
    before = copy.deepcopy(whole.state_dict())
    passes = []
    whole.backbone.register_forward_hook(lambda *_: passes.append(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    model.train_step(batches, OptimWrapper(optimizer))
    assert len(passes) == len(TASKS)  # One for the batch of each task
    assert not any(module.training for module in whole.modules())
    assert not any(p.requires_grad or p.grad is not None for p in whole.parameters())
    assert all(torch.equal(before[name], value) for name, value in whole.state_dict().items())


def test_connectors_learn_but_are_not_asked_of_a_checkpoint(student_cfg, batches):
    student_cfg.model.distill.losses = dict(
        det=dict(neck=dict(type='FeatureImitation', channels=(48, 48)))
    )
    model = build_model(student_cfg)
    name = 'tasks.det.distillation.neck.connectors.0.weight'
    before = model.get_parameter(name).clone()
    model.train()
    model.train_step(batches, OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)))
    assert not torch.equal(model.get_parameter(name), before)
    state = model.state_dict()
    del state[name]
    require_weights(model, state, TASKS, 'without.pth')


def test_upstream_teachers_are_the_joint_teacher(student_cfg, teacher, batches, tmp_path):
    """A teacher from each library, cut out of the joint one, teaches the same to the last bit."""
    joint = losses_of(build_model(student_cfg), batches)
    sources = {}
    for task in TASKS:
        extract(load_config(teacher['config']), teacher['checkpoint'], [task], tmp_path / task)
        sources[task] = dict(
            config=str(tmp_path / task / 'upstream_config.py'),
            checkpoint=str(tmp_path / task / 'upstream.pth'),
        )
    student_cfg.model.distill = dict(teacher=sources, losses=LOSSES)
    for task, losses in losses_of(build_model(student_cfg), batches).items():
        for name in LOSSES[task]:
            key = f'distill_loss_{name}'
            assert torch.equal(losses[key], joint[task][key])


def train(work_dir, teacher, **options):
    """Four steps with PCGrad and an EMA, without validation; the last checkpoint."""
    cfg = tiny(work_dir, **options)
    cfg.model.distill = dict(teacher=teacher, losses=LOSSES)
    cfg.model.balancer = dict(type='PCGrad')
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.5)]
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg.pop(key)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=2)
    RUNNERS.build(cfg).train()
    return read_checkpoint(work_dir / 'iter_4.pth')


def test_resuming(toy_root, teacher, tmp_path):
    expected = train(tmp_path / 'whole', teacher)
    path = str(tmp_path / 'whole/iter_2.pth')
    found = train(tmp_path / 'resumed', teacher, resume=True, load_from=path)
    for part in ('state_dict', 'ema_state_dict'):
        assert list(found[part]) == list(expected[part])
        assert all(torch.equal(found[part][name], expected[part][name]) for name in found[part])
    assert not [name for name in expected['state_dict'] if 'teacher' in name]
    # Another teacher at the same place is another run.
    other = read_checkpoint(teacher['checkpoint'])
    torch.save(dict(state_dict=other['state_dict']), tmp_path / 'teacher.pth')
    copied = dict(teacher, checkpoint=str(tmp_path / 'teacher.pth'))
    train(tmp_path / 'again', copied)
    torch.save(dict(state_dict=other['state_dict'], meta={}), tmp_path / 'teacher.pth')
    path = str(tmp_path / 'again/iter_2.pth')
    with pytest.raises(ConfigError, match='the teacher .*teacher.pth changed'):
        train(tmp_path / 'again', copied, resume=True, load_from=path)


def test_testing_needs_no_teacher(student_cfg, trained, tmp_path):
    """Its files may be gone by then; training says so before the first step."""
    student_cfg.model.distill.teacher = dict(config='gone.py', checkpoint='gone.pth')
    (tmp_path / 'config.py').write_text(literal(student_cfg))
    given = dict(config=str(tmp_path / 'config.py'), work_dir=str(tmp_path / 'test'))
    given |= dict(cfg_options=None, launcher='none', tasks=['cls'], out=None, show_dir=None)
    checkpoint = str(trained[2] / 'iter_4.pth')
    assert run('test', Namespace(**given, checkpoint=checkpoint)) == 0
    with pytest.raises(ConfigError, match="model.distill.teacher.config is 'gone.py', and there"):
        RUNNERS.build(student_cfg).train()


def refusal(cfg, error=ConfigError):
    with pytest.raises(error) as info:
        build_model(cfg)
    assert '\n' not in str(info.value)
    return str(info.value)


@pytest.mark.parametrize(
    'losses, says',
    [
        ({}, 'model.distill.losses is {}; give'),
        (dict(dett={}), "model.distill.losses is {'dett'"),
        (dict(cls=dict(a=dict(type='KL'))), "model.distill.losses.cls.a is {'type': 'KL'}"),
        (dict(cls=dict(a=dict(type='LogitDistillation', temperature=0))), 'temperature is 0;'),
        (dict(cls=dict(a=dict(type='LogitDistillation', T=3))), "'T'"),
        (dict(det=dict(a=dict(type='FeatureImitation', channels=3))), 'channels is 3'),
        (dict(det=dict(a=dict(type='LogitDistillation'))), 'losses.det.a: module is not set, and'),
        (
            dict(det=dict(a=dict(type='FeatureImitation', module='nek'))),
            "losses.det.a: FCOS has no module 'nek'; its parts are",
        ),
        (
            dict(det=dict(a=dict(type='FeatureImitation', teacher_module='backbone'))),
            'the student gives (1, 48, 16, 16) and the teacher (1, 16, 16, 16)',
        ),
        (
            dict(det=dict(a=dict(type='FeatureImitation', channels=[(48, 48), (48, 48)]))),
            'channels has 2 pairs, but there are 3 maps',
        ),
        (
            dict(det=dict(a=dict(type='FeatureImitation', channels=(32, 48)))),
            'channels has 32 of the student, whose map has 48',
        ),
        (
            dict(cls=dict(a=dict(type='FeatureImitation', module='neck', teacher_module='head'))),
            'the student gives (1, 48) and the teacher (1, 8)',
        ),
    ],
)
def test_what_is_refused(student_cfg, losses, says):
    student_cfg.model.distill = dict(teacher=student_cfg.model.distill.teacher, losses=losses)
    assert says in refusal(student_cfg)


def test_teachers_that_are_refused(student_cfg, teacher, tmp_path):
    def given(source, **losses):
        student_cfg.model.distill = dict(teacher=source, losses=losses or dict(cls=LOSSES['cls']))
        return student_cfg

    assert 'model.distill.teacher is 3' in refusal(given(3))
    assert "teacher is {'config': 'a.py'}" in refusal(given(dict(config='a.py')))
    assert "for ['det'] and model.distill.losses for ['cls']" in refusal(given(dict(det=teacher)))
    assert "has no task 'signs' but ['cls', 'det', 'seg']" in refusal(
        given(dict(cls=dict(teacher, task='signs')))
    )
    gone = dict(teacher, checkpoint='gone.pth')
    says = refusal(given(gone), CheckpointError)
    assert says == 'model.distill.teacher.checkpoint: gone.pth: no such checkpoint file'
    state = read_checkpoint(teacher['checkpoint'])['state_dict']
    del state['backbone.conv1.conv.weight']
    torch.save(dict(state_dict=state), tmp_path / 'less.pth')
    less = dict(teacher, checkpoint=str(tmp_path / 'less.pth'))
    assert "missing or of another shape, such as 'backbone.conv1.conv.weight'" in refusal(
        given(less), CheckpointError
    )
    student_cfg.model.distill = dict(teachers=teacher)
    assert 'give dict(teacher=..., losses=...)' in refusal(student_cfg)


def test_a_task_may_learn_from_a_task_of_another_name(student_cfg, teacher, batches):
    renamed = dict(det=dict(teacher, task='det'))
    student_cfg.model.distill = dict(teacher=renamed, losses=dict(det=LOSSES['det']))
    model = build_model(student_cfg)
    assert isinstance(model.distillation._teachers['det'].task, nn.Module)
    found = losses_of(model, batches)
    assert 'distill_loss_neck' in found['det'] and 'distill_loss_logits' not in found['cls']


@pytest.mark.parametrize(
    'name', ['toy/mobilenetv2_toy_distilled', 'traffic_mini/mobilenetv2_distilled']
)
def test_the_configs_fit(toy_root, name, monkeypatch):
    """Backbone and heads of the student, and the keys of its losses; teachers are not read."""
    monkeypatch.chdir(ROOT)
    cfg = load_config(f'configs/{name}.py')
    check_config(cfg)
    cfg.model.backbone.pop('init_cfg', None)
    with DefaultScope.overwrite_default_scope('allinone'):
        model = MODELS.build(cfg.model)
    assert set(model.distillation.sources) == set(TASKS)
    for _, source in model.distillation.sources.values():
        assert (ROOT / source['config']).is_file()
