"""A neck that several tasks share is a part of the backbone: it runs once, and trains with it."""

import copy

import pytest
import torch
from conftest import build_model
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from shared_model import Capture, batch_of, difference, gradients, model_of, separate

from allinone.checkpoint.loading import read_checkpoint
from allinone.config.check import check_config
from allinone.config.expansion import expand_config
from allinone.errors import ConfigError
from allinone.reuse.compose import compose
from allinone.reuse.extract import extract
from allinone.training.precise_bn import reestimate
from allinone.training.start_weights import load_start

NECK = dict(
    tasks=('det', 'sem', 'road'), type='mmdet.FPN', in_channels=[16, 32, 32], out_channels=8,
    num_outs=3, feature_indices=(1, 2, 3))  # fmt: skip
SHARED = ('det sem road', 'det sem', 'det road', 'sem road')
ALL = ('det', 'sem', 'road', 'cls')


def neck_model(balancer=None, **options):
    """The small joint model with one neck at strides 8 to 32 for all but the classifier."""
    users = tuple(task for task in NECK['tasks'] if task in options.get('tasks', ALL))
    return model_of(balancer, shared_neck=dict(NECK, tasks=users), **options)


@pytest.fixture
def counted():
    """Number of passes of a module."""

    def count(module):
        calls = []
        module.register_forward_hook(lambda *_: calls.append(1))
        return calls

    return count


def test_the_state_dict_has_it_once():
    model = neck_model()
    names = list(model.state_dict())
    assert {name.split('.')[0] for name in names} == {'backbone', 'shared_neck', 'tasks'}
    assert not any('neck' in name for name in names if name.startswith(('tasks', 'backbone')))
    assert sum(name.startswith('shared_neck.') for name in names) == 12  # 3 + 3 layers


def test_a_task_sees_what_a_neck_of_its_own_would_give():
    shared, own = neck_model(), model_of()
    state = {
        name.replace('shared_neck', 'tasks.det.neck'): value
        for name, value in shared.state_dict().items()
        if not name.startswith(('tasks.sem.', 'tasks.road.'))
    }
    assert not own.load_state_dict(state, strict=False).unexpected_keys
    batch = batch_of(SHARED)
    ours, theirs = (model.task_losses('det', batch) for model in (shared, own))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    images = torch.stack(batch['inputs'])
    for model in (shared, own):
        model.eval()
    ours, theirs = (model.predict(images, ['det', 'cls']) for model in (shared, own))
    for mine, other in zip(ours['det'], theirs['det']):
        assert torch.equal(mine.pred_instances.bboxes, other.pred_instances.bboxes)
    assert all(torch.equal(a.pred_score, b.pred_score) for a, b in zip(ours['cls'], theirs['cls']))


def test_it_runs_once_for_all_its_tasks_and_never_for_others(counted):
    model = neck_model()
    calls, backbone = counted(model.shared_neck), counted(model.backbone)
    batch = batch_of(SHARED)
    gradients(model, dict(street=batch), dict(street=('det', 'sem', 'road')))
    assert (len(calls), len(backbone)) == (1, 1)
    model.eval().predict(torch.stack(batch['inputs']))
    assert (len(calls), len(backbone)) == (2, 2)
    model.predict(torch.stack(batch['inputs']), ['cls'])
    model.train().task_losses('cls', batch_of(['cls', 'cls']))
    assert (len(calls), len(backbone)) == (2, 4)


@pytest.mark.parametrize('apart', [False, True])
def test_gradients_are_those_of_the_sum_of_losses(apart):
    model, batch = neck_model(), batch_of([' '.join(ALL), 'det sem', 'road cls'])
    batches = separate(batch)
    losses = [model.parse_losses(model.task_losses(task, batches[task]))[0] for task in ALL]
    sum(losses).backward()
    expected = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    data, sources = (batches, None) if apart else (dict(street=batch), dict(street=ALL))
    found, _ = gradients(model, data, sources)
    assert any(name.startswith('shared_neck') for name in found)
    assert difference(found, expected) < 1e-9


def test_gradients_that_balancers_compare_include_it():
    model = neck_model(grad_similarity_interval=1, tasks=('det', 'sem', 'cls'))
    batches = separate(batch_of(['det sem cls'] * 2), ('det', 'sem', 'cls'))
    params = list(model.shared_part().parameters())
    names = ['det', 'sem']
    rows = []
    for task in names:
        loss, _ = model.parse_losses(model.task_losses(task, batches[task]))
        found = torch.autograd.grad(loss, params, allow_unused=True)
        rows.append(torch.cat([
            (torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(params, found)
        ]))  # fmt: skip
    _, log = gradients(model, batches)
    assert float(log['det/grad_norm']) == pytest.approx(float(rows[0].norm()), rel=1e-6)
    expected = float(torch.cosine_similarity(*rows, dim=0))
    assert float(log['cos/det-sem']) == pytest.approx(expected, rel=1e-6)


def test_it_is_frozen_with_the_backbone():
    model = neck_model(frozen=('backbone',))
    assert not any(param.requires_grad for param in model.shared_neck.parameters())
    assert not model.shared_neck.training
    found, _ = gradients(model, separate(batch_of(['det sem', 'road cls'])))
    assert found and all(name.startswith('tasks.') for name in found)


def test_a_copy_has_a_neck_of_its_own():
    model = neck_model().eval()
    average = copy.deepcopy(model)
    images = torch.stack(batch_of(SHARED)['inputs'])
    before = average.predict(images, ['sem'])['sem'][0].seg_logits.data
    with torch.no_grad():
        for param in model.shared_neck.parameters():
            param.zero_()
    assert torch.equal(average.predict(images, ['sem'])['sem'][0].seg_logits.data, before)
    assert not torch.equal(model.predict(images, ['sem'])['sem'][0].seg_logits.data, before)


def test_an_adapter_of_a_task_adapts_it():
    model = neck_model(norm=dict(type='BN'), bn=dict(type='per_task', affine=True))
    changed = model.tasks['sem'].adapter.changes
    assert not any('shared_neck' in key for key in changed)  # This neck has no batch norm.
    model = model_of(
        norm=dict(type='BN'), bn='per_task',
        shared_neck=dict(
            tasks=('det',), type='mmdet.FPN', in_channels=[16, 32, 32], out_channels=8,
            num_outs=3, feature_indices=(1, 2, 3), norm_cfg=dict(type='BN')),
    )  # fmt: skip
    adapters = {task: model.tasks[task].adapter.changes for task in ALL}
    assert sum('shared_neck' in key for key in adapters['det']) == 6
    assert not any('shared_neck' in key for key in adapters['sem'])
    state = {n: v for n, v in model.state_dict().items() if '.adapter.' not in n}
    key = next(name for name in state if 'shared_neck' in name and name.endswith('running_mean'))
    state[key] = state[key] + 1
    model.load_state_dict(state)
    layer = key.removesuffix('.running_mean').replace('.', '-')
    assert torch.equal(adapters['det'][layer].running_mean, state[key])


def test_statistics_of_its_norms_are_estimated_from_its_tasks_alone():
    neck = dict(
        tasks=('det',), type='mmdet.FPN', in_channels=[16, 32, 32], out_channels=8, num_outs=3,
        feature_indices=(1, 2, 3), norm_cfg=dict(type='BN'))  # fmt: skip
    model = model_of(norm=dict(type='BN'), shared_neck=neck, tasks=('det', 'cls')).float()
    alone = copy.deepcopy(model)
    batches = separate(batch_of(['det', 'det', 'cls', 'cls']), ('det', 'cls'))
    reestimate(model, [batches])
    reestimate(alone, [dict(det=batches['det'])])
    mean = model.shared_neck.lateral_convs[0].bn.running_mean
    assert float(mean.abs().max()) > 0
    # Its inputs differ by the statistics of the backbone, over the images of both.
    model.backbone.load_state_dict(alone.backbone.state_dict())
    for norm in model.shared_neck.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
    model.backbone.eval()
    model.task_losses('det', batches['det'])
    expected = alone.shared_neck.lateral_convs[0].bn.running_mean
    assert torch.allclose(model.shared_neck.lateral_convs[0].bn.running_mean, expected)


def test_feature_gradients_need_maps_in_common():
    model = neck_model(dict(type='PCGrad', gradients='features'))
    with pytest.raises(ConfigError, match="'cls'.* use feature maps of the backbone, and others"):
        model.bind_sources(dict(street=ALL))
    model = neck_model(dict(type='PCGrad', gradients='features'), tasks=('det', 'sem', 'road'))
    found, _ = gradients(model, dict(street=batch_of(SHARED)), dict(street=('det', 'sem', 'road')))
    assert any(name.startswith('shared_neck') for name in found)


def test_a_layer_of_the_backbone_keeps_its_name():
    model = neck_model(dict(type='GradNorm', layer='stages.4'))
    found, _ = gradients(model, separate(batch_of(['det sem road cls'] * 2)))
    assert any(name.startswith('shared_neck') for name in found)


WRONG = [
    (dict(feature_indices=(1, 2, 7)), r'shared_neck.feature_indices is \(1, 2, 7\), but 7 is out'),
    (dict(in_channels=[16, 32, 48]), r'model.shared_neck has in_channels=\[16, 32, 48\] and does '
     r'not fit the maps it gets from the backbone \(0: 16 channels at stride 8, .*set its in_'
     r'channels, or model.shared_neck.feature_indices, to match'),
    (dict(type='mmdet.FPNN'), 'model.shared_neck.*FPNN'),
    (dict(out_channels=16), r'model.tasks.det.bbox_head.*in_channels=8 and does not fit'),
]  # fmt: skip


@pytest.mark.parametrize(('change', 'sentence'), WRONG)
def test_wrong_necks(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        model_of(shared_neck=NECK | change)


UNCHECKED = [
    (dict(tasks=('lanes',)), r"model.shared_neck.tasks is \('lanes',\); name those of .*'det'"),
    (dict(tasks=()), r'model.shared_neck.tasks is \(\); name those of'),
    (dict(tasks='det'), r"model.shared_neck.tasks is 'det'; name those of"),
    (dict(feature_indices=2), 'model.shared_neck.feature_indices is 2; give numbers of feature'),
    (dict(type=None), "model.shared_neck is .*give dict\\(tasks=\\('TASK',"),
]


@pytest.mark.parametrize(('change', 'sentence'), UNCHECKED)
def test_wrong_configs(change, sentence):
    neck = {key: value for key, value in (NECK | change).items() if value is not None}
    cfg = Config(dict(model=dict(tasks=dict.fromkeys(ALL, {}), shared_neck=neck)))
    with pytest.raises(ConfigError, match=sentence):
        check_config(cfg)


def with_neck(cfg, **options):
    """The toy config with one neck at strides 8 to 32 for boxes and areas, and no number of it."""
    tasks = cfg.model.tasks
    cfg.model.shared_neck = dict(
        tasks=('det', 'seg'), type='mmdet.FPN', out_channels=48, num_outs=3,
        feature_indices=(1, 2, 3), **options)  # fmt: skip
    tasks.det.pop('neck')
    tasks.det.pop('feature_indices')
    tasks.det.bbox_head.pop('in_channels')
    tasks.det.bbox_head.pop('strides')
    tasks.seg.pop('feature_indices')
    for name in ('in_channels', 'in_index', 'feature_strides'):
        tasks.seg.decode_head.pop(name)
    expand_config(cfg)
    return cfg


def test_numbers_of_neck_and_heads_follow_from_it(toy_cfg):
    model = with_neck(toy_cfg).model
    assert model.shared_neck.in_channels == [16, 48, 160]
    assert model.tasks.det.bbox_head.in_channels == 48
    assert model.tasks.det.bbox_head.strides == [8, 16, 32]
    head = model.tasks.seg.decode_head
    assert (head.in_channels, head.in_index) == ([48, 48, 48], [0, 1, 2])
    assert head.feature_strides == [8, 16, 32]
    assert 'feature_indices' not in model.tasks.det and 'feature_indices' not in model.tasks.seg


def test_heads_choose_levels_of_a_larger_pyramid(toy_cfg):
    toy_cfg.model.shared_neck = dict(tasks=('det', 'seg'), type='mmdet.FPN', out_channels=48)
    tasks = toy_cfg.model.tasks
    tasks.det.pop('neck')
    tasks.det.pop('feature_indices')
    tasks.seg.pop('feature_indices')
    for part, names in (
        (tasks.det.bbox_head, ['in_channels']),
        (tasks.seg.decode_head, ['in_channels', 'in_index', 'feature_strides']),
    ):
        for name in names:
            part.pop(name)
    expand_config(toy_cfg)
    neck = toy_cfg.model.shared_neck
    assert (neck.in_channels, neck.num_outs) == ([16, 16, 48, 160], 5)
    assert tuple(tasks.det.feature_indices) == (1, 2, 3)  # The strides that its head says
    assert tasks.seg.decode_head.feature_strides == [4, 8, 16, 32]  # Without stride 64
    build_model(toy_cfg)


def test_it_has_the_learning_rate_of_the_backbone(toy_cfg):
    toy_cfg.optim_wrapper.paramwise_cfg = dict(
        bypass_duplicate=True, custom_keys={'backbone': dict(lr_mult=0.1)}
    )
    model = build_model(with_neck(toy_cfg))
    with DefaultScope.overwrite_default_scope('allinone'):
        wrapper = build_optim_wrapper(model, copy.deepcopy(toy_cfg.optim_wrapper))
    rates = {id(p): group['lr'] for group in wrapper.param_groups for p in group['params']}
    base = toy_cfg.optim_wrapper.optimizer.lr
    assert {rates[id(p)] for p in model.shared_neck.parameters()} == {0.1 * base}
    assert {rates[id(p)] for p in model.tasks.parameters()} == {base}


@pytest.fixture(params=['its levels', 'a level less'])
def saved(request, toy_cfg, tmp_path):
    """A model with a shared neck, its config and a checkpoint of it.

    The detector uses all levels of the neck, or all but the first.
    """
    cfg = with_neck(toy_cfg)
    if request.param != 'its levels':
        options = dict(feature_indices=(0, 1, 2, 3), in_channels=[16, 16, 48, 160], num_outs=4)
        cfg.model.shared_neck.update(options)
        cfg.model.tasks.det.feature_indices = (1, 2, 3)
        cfg.model.tasks.seg.decode_head.feature_strides = [4, 8, 16]
    cfg.model.tasks.det.test_cfg.score_thr = 0.0
    model = build_model(cfg)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'joint.pth')
    return model.eval(), cfg, tmp_path / 'joint.pth'


def test_each_upstream_model_has_a_copy(saved, tmp_path):
    model, cfg, checkpoint = saved
    image = torch.randint(0, 256, (3, 64, 96), generator=torch.Generator().manual_seed(0))
    size = dict(ori_shape=(64, 96), img_shape=(64, 96), scale_factor=(1.0, 1.0))
    for task in ('det', 'seg'):
        extract(cfg, checkpoint, [task], tmp_path / task)
        upstream = Config.fromfile(tmp_path / task / 'upstream_config.py')
        assert 'shared_neck' not in upstream.model
        alone = build_upstream(upstream)
        state = read_checkpoint(tmp_path / task / 'upstream.pth')['state_dict']
        assert not [name for name in state if 'shared_neck' in name]
        alone.load_state_dict(state)
        ours = model.predict([image], [task], [size])[task][0]
        batch = alone.data_preprocessor(
            dict(
                inputs=[image],
                data_samples=model.kinds[task].samples(image[None], [(64, 96)], [size]),
            )
        )
        theirs = alone(batch['inputs'], batch['data_samples'], mode='predict')[0]
        if task == 'det':
            assert torch.equal(ours.pred_instances.bboxes, theirs.pred_instances.bboxes)
            assert len(ours.pred_instances.bboxes)
        else:
            assert torch.equal(ours.seg_logits.data, theirs.seg_logits.data)
    counts = extract(cfg, checkpoint, ['cls'], tmp_path / 'cls')
    assert 'shared_neck' not in counts
    assert 'shared_neck' not in Config.fromfile(tmp_path / 'cls/config.py').model


def build_upstream(cfg):
    from mmengine.registry import MODELS

    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model).eval()


def test_an_upstream_model_gives_it_back(saved, tmp_path):
    model, cfg, checkpoint = saved
    extract(cfg, checkpoint, ['det'], tmp_path / 'det')
    levels = cfg.model.shared_neck.num_outs
    cfg.model.tasks.seg.neck = dict(
        type='mmdet.FPN', in_channels=[48] * levels, out_channels=48, num_outs=levels
    )
    fresh = build_model(cfg)
    with torch.no_grad():
        for param in fresh.parameters():
            param.fill_(0.5)
    load_start(fresh, dict(det=str(tmp_path / 'det/upstream.pth')), {})
    ours, theirs = fresh.state_dict(), model.state_dict()
    lacking = ('lateral_convs.0', 'fpn_convs.0') if levels == 4 else ()
    for name in theirs:
        if name.startswith(('backbone.', 'shared_neck.', 'tasks.det.')):
            there = not name.removeprefix('shared_neck.').startswith(lacking)
            assert torch.equal(ours[name], theirs[name]) == there, name
    # A task-specific neck on top of the shared one is the second of the upstream model's.
    torch.save(dict(state_dict=ours, meta={}), tmp_path / 'two.pth')
    extract(cfg, tmp_path / 'two.pth', ['seg'], tmp_path / 'seg')
    upstream = Config.fromfile(tmp_path / 'seg/upstream_config.py')
    state = read_checkpoint(tmp_path / 'seg/upstream.pth')['state_dict']
    build_upstream(upstream).load_state_dict(state)
    name = 'lateral_convs.1.conv.weight'
    assert torch.equal(state[f'neck.0.{name}'], ours[f'shared_neck.{name}'])
    again = build_model(cfg)
    load_start(again, dict(seg=str(tmp_path / 'seg/upstream.pth')), {})
    for name, value in again.state_dict().items():
        if name.startswith(('backbone.', 'shared_neck.', 'tasks.seg.')):
            assert torch.equal(value, ours[name]), name


def test_composition_averages_it_over_its_tasks(saved, tmp_path):
    model, cfg, _ = saved
    paths = {}
    for number, task in enumerate(('cls', 'det', 'seg'), 1):
        for param in model.parameters():
            param.data.fill_(number)
        torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / f'{task}.pth')
        extract(cfg, tmp_path / f'{task}.pth', [task], tmp_path / task)
        paths[task] = str(tmp_path / task / 'upstream.pth')
    compose(cfg, paths, tmp_path / 'out.pth')
    state = read_checkpoint(tmp_path / 'out.pth')['state_dict']
    assert float(next(iter(state.values())).float().mean()) == 2.0  # All three
    assert float(state['shared_neck.lateral_convs.1.conv.weight'].mean()) == 2.5  # det and seg
    first = 3.0 if 'feature_indices' in cfg.model.tasks.det else 2.5
    assert float(state['shared_neck.lateral_convs.0.conv.weight'].mean()) == first
    compose(cfg, paths, tmp_path / 'of_cls.pth', 'cls')
    state = read_checkpoint(tmp_path / 'of_cls.pth')['state_dict']
    assert float(state['shared_neck.lateral_convs.1.conv.weight'].mean()) == 2.5
    assert float(next(iter(state.values())).float().mean()) == 1.0


def test_the_optimizer_step_changes_it(saved):
    model, _, _ = saved
    wrapper = Capture(model.train())
    assert {id(p) for p in model.shared_neck.parameters()} <= {
        id(p) for group in wrapper.optimizer.param_groups for p in group['params']
    }


def classifier_on_neck(cfg, feature_indices):
    """The toy config with an FPN of five levels for all tasks, the last one pooled."""
    cfg = with_neck(cfg)
    cfg.model.shared_neck.update(
        tasks=('det', 'seg', 'cls'), feature_indices=(0, 1, 2, 3), in_channels=[16, 16, 48, 160],
        num_outs=5)  # fmt: skip
    cfg.model.tasks.det.feature_indices = (1, 2, 3)
    cfg.model.tasks.seg.decode_head.feature_strides = [4, 8, 16]
    cfg.model.tasks.cls.update(feature_indices=feature_indices)
    cfg.model.tasks.cls.head.in_channels = 'auto'
    expand_config(cfg)
    return cfg


@pytest.mark.parametrize(('chosen', 'written'), [('auto', False), ((4,), False), ((3, 4), True)])
def test_levels_that_a_neck_pools_are_no_first_levels(toy_cfg, tmp_path, chosen, written):
    cfg = classifier_on_neck(toy_cfg, chosen)
    if chosen == 'auto':
        assert tuple(cfg.model.tasks.cls.feature_indices) == (3,)  # The last of stride 32
    model = build_model(cfg).eval()
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'joint.pth')
    extract(cfg, tmp_path / 'joint.pth', ['cls'], tmp_path / 'cls')
    assert (tmp_path / 'cls/upstream.pth').exists() == written
    if not written:
        return
    upstream = Config.fromfile(tmp_path / 'cls/upstream_config.py')
    alone = build_upstream(upstream)
    alone.load_state_dict(read_checkpoint(tmp_path / 'cls/upstream.pth')['state_dict'])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ours = model.forward(images, tasks=['cls'])['cls'][-1]
    assert torch.equal(alone(images, mode='tensor')[-1], ours)
    # As one text, it is found to be of the classifier, which has a neck on top of the shared one.
    again = build_model(cfg)
    load_start(again, str(tmp_path / 'cls/upstream.pth'), {})
    found, expected = again.state_dict(), model.state_dict()
    assert torch.equal(found['tasks.cls.head.fc.weight'], expected['tasks.cls.head.fc.weight'])
    assert torch.equal(
        found['shared_neck.fpn_convs.3.conv.weight'],
        expected['shared_neck.fpn_convs.3.conv.weight'],
    )


@pytest.fixture
def extracts(saved, tmp_path):
    """Makes upstream checkpoints of tasks of the saved model, some with changed weights."""
    _, cfg, checkpoint = saved

    def make(name, task, changed=()):
        extract(cfg, checkpoint, [task], tmp_path / name)
        path = tmp_path / name / 'upstream.pth'
        state = torch.load(path)
        for key, value in state['state_dict'].items():
            if key.startswith(changed) and value.is_floating_point():
                value += 1
        torch.save(state, path)
        return str(path)

    return make


def test_backbones_of_tasks_with_and_without_the_neck_are_compared(saved, extracts):
    model, cfg, _ = saved
    names = dict(cls=extracts('a', 'cls'), det=extracts('b', 'det'))
    fresh = build_model(cfg)
    load_start(fresh, names, {})
    expected, found = model.state_dict(), fresh.state_dict()
    for name in ('backbone.conv1.conv.weight', 'shared_neck.lateral_convs.1.conv.weight'):
        assert torch.equal(found[name], expected[name])
    other = extracts('c', 'cls', ('backbone.',))
    with pytest.raises(ConfigError, match='different backbones'):
        load_start(build_model(cfg), dict(names, cls=other), {})
    neck = extracts('d', 'seg', ('neck.',))
    with pytest.raises(ConfigError, match="different shared necks.*backbone='det'"):
        load_start(build_model(cfg), dict(names, seg=neck), {})
    file = dict(names, seg=neck, backbone=names['cls'])  # Without a neck
    with pytest.raises(ConfigError, match='different shared necks.*leave one of the two out'):
        load_start(build_model(cfg), file, {})
    load_start(fresh, dict(names, seg=neck, backbone='seg'), {})
    name = 'shared_neck.lateral_convs.1.conv.weight'
    assert torch.equal(fresh.state_dict()[name], expected[name] + 1)


def test_the_neck_comes_with_its_tasks_where_the_backbone_is_named(saved, extracts):
    model, cfg, _ = saved
    fresh = build_model(cfg)
    with torch.no_grad():
        fresh.shared_neck.lateral_convs[1].conv.weight.zero_()
    names = dict(cls=extracts('a', 'cls'), det=extracts('b', 'det'), backbone='cls')
    load_start(fresh, names, {})
    name = 'shared_neck.lateral_convs.1.conv.weight'
    assert torch.equal(fresh.state_dict()[name], model.state_dict()[name])


def test_a_composition_of_some_tasks_needs_no_neck_of_others(saved, extracts, tmp_path):
    _, cfg, _ = saved
    for task in ('cls', 'det'):
        compose(cfg, {task: extracts(task, task)}, tmp_path / f'of_{task}.pth')
        names = read_checkpoint(tmp_path / f'of_{task}.pth')['state_dict']
        assert any(name.startswith('shared_neck') for name in names) == (task == 'det')


def test_names_of_adapted_layers_do_not_depend_on_the_neck(toy_cfg):
    toy_cfg.model.tasks.det.adapter = dict(type='LowRankAdapter', layers=('layer4',))
    plain = set(build_model(toy_cfg).tasks['det'].adapter.state_dict())
    model = build_model(with_neck(toy_cfg))
    adapter = model.tasks['det'].adapter
    assert plain and set(adapter.state_dict()) == plain
    assert all(name.startswith('backbone.layer4') for name in adapter.values(model.shared_part()))
    toy_cfg.model.tasks.det.adapter.layers = ('layer4', 'shared_neck')
    adapter = build_model(toy_cfg).tasks['det'].adapter
    assert {name.split('.')[0] for name in adapter.values(model.shared_part())} == {
        'backbone', 'shared_neck'
    }  # fmt: skip
    toy_cfg.model.tasks.det.adapter.layers = ('layer4', 'layr5')
    with pytest.raises(ConfigError, match="layers has 'layr5', where LowRankAdapter finds nothing"):
        build_model(toy_cfg)


def test_a_copy_of_a_task_uses_it_too(toy_cfg):
    cfg = with_neck(toy_cfg)
    cfg.model.tasks.road = dict(copy_of='seg', num_classes=2)
    cfg.model.tasks.lane = dict(copy_of='road')
    expand_config(cfg)
    assert tuple(cfg.model.shared_neck.tasks) == ('det', 'seg', 'road', 'lane')
    assert set(build_model(cfg).neck_tasks) == {'det', 'seg', 'road', 'lane'}


def test_options_that_match_the_neck_stay(toy_cfg):
    keys = {'backbone': dict(lr_mult=0.1), 'neck': dict(lr_mult=0.5)}
    toy_cfg.optim_wrapper.paramwise_cfg = dict(bypass_duplicate=True, custom_keys=keys)
    assert set(with_neck(toy_cfg).optim_wrapper.paramwise_cfg.custom_keys) == {'backbone', 'neck'}


def test_a_pass_for_others_does_not_run_the_neck_of_an_adapted_task(counted):
    model = model_of(
        norm=dict(type='BN'), bn=dict(type='per_task'), shared_neck=dict(NECK, tasks=('det',)),
        tasks=('det', 'cls'))  # fmt: skip
    neck = counted(model.shared_neck)
    data = dict(street=batch_of(['det cls', 'det cls']))
    gradients(model.float(), data, dict(street=('det', 'cls')))
    assert len(neck) == 1  # The detector's own pass
