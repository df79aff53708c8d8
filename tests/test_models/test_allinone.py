import copy
from contextlib import contextmanager

import pytest
import torch
from conftest import build_model
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import MODELS as MMENGINE_MODELS

from allinone.data.loaders import build_loader
from allinone.errors import CheckpointError, ConfigError
from allinone.models.shared_backbone import run_backbone

TASKS = ('cls', 'det', 'seg')
# mmpretrain's MobileNetV2 has a last convolution that the toy tasks do not look at.
UNUSED = {f'backbone.conv2.{name}' for name in ('conv.weight', 'gn.weight', 'gn.bias')}


@pytest.fixture
def model(toy_cfg):
    # Dropout would draw differently in each of the compared passes.
    toy_cfg.model.tasks.seg.decode_head.dropout_ratio = 0
    toy_cfg.model.grad_similarity_interval = 0
    return build_model(toy_cfg)


@pytest.fixture
def batches(toy_cfg):
    return {
        task: next(
            iter(build_loader(task, task, toy_cfg.train_dataloader[task], 0, None, True, False))
        )
        for task in TASKS
    }


def sgd(model, **kwargs):
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), **kwargs)


def task_gradients(model, task, batch):
    """Gradients of one task alone, from a copy of the model: ``{name: gradient}``."""
    alone = copy.deepcopy(model)
    loss, _ = alone.parse_losses(alone.task_losses(task, copy.deepcopy(batch)))
    loss.backward()
    return {name: param.grad for name, param in alone.named_parameters() if param.grad is not None}


def update_of(model, before):
    """What SGD with rate 0.1 says the gradients were."""
    return {
        name: (before[name] - param.detach()) / 0.1
        for name, param in model.named_parameters()
        if name not in UNUSED
    }


def test_the_backbone_is_stored_once(model):
    names = list(model.state_dict())
    assert any(name.startswith('backbone.') for name in names)
    assert not [name for name in names if name.startswith('tasks.') and '.backbone.' in name]
    backbone = sum(param.numel() for param in model.backbone.parameters())
    own = sum(param.numel() for task in model.tasks.values() for param in task.parameters())
    assert sum(param.numel() for param in model.parameters()) == backbone + own


def test_joint_gradient_is_the_sum_of_the_tasks(model, batches):
    model.train()
    separate = [task_gradients(model, task, batches[task]) for task in TASKS]
    before = copy.deepcopy(dict(model.named_parameters()))
    model.train_step(batches, sgd(model))
    for name, found in update_of(model, before).items():
        expected = sum(grads[name] for grads in separate if name in grads)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-5)


def test_fixed_weights_scale_backbone_and_heads(toy_cfg, batches):
    weights = dict(cls=0.5, det=2.0, seg=0.0)
    toy_cfg.model.balancer = dict(type='FixedWeights', weights=weights)
    toy_cfg.model.tasks.seg.decode_head.dropout_ratio = 0
    model = build_model(toy_cfg).train()
    separate = {task: task_gradients(model, task, batches[task]) for task in TASKS}
    before = copy.deepcopy(dict(model.named_parameters()))
    log = model.train_step(batches, sgd(model))
    for name, found in update_of(model, before).items():
        expected = sum(
            weights[task] * grads[name] for task, grads in separate.items() if name in grads
        )
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-5)
    assert {task: float(log[f'{task}/weight']) for task in TASKS} == weights
    expected = sum(weights[task] * float(log[f'{task}/loss']) for task in TASKS)
    assert float(log['loss']) == pytest.approx(expected, rel=1e-5)


def test_measuring_norms_does_not_change_a_bit(toy_cfg, batches):
    results = []
    for interval in (0, 1):
        toy_cfg.model.grad_similarity_interval = interval
        model = build_model(toy_cfg).train()
        torch.manual_seed(1)
        log = model.train_step(copy.deepcopy(batches), sgd(model))
        results.append(model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    grads = task_gradients(build_model(toy_cfg).train(), 'cls', batches['cls'])
    backbone = torch.cat([g.flatten() for name, g in grads.items() if name.startswith('backbone.')])
    assert float(log['cls/grad_norm']) == pytest.approx(float(backbone.norm()), rel=1e-4)


def test_a_task_that_is_not_named_is_left_alone(model, batches):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    before = copy.deepcopy(model.state_dict())
    model.train_step({'cls': batches['cls']}, OptimWrapper(optimizer))
    after = model.state_dict()
    for name in after:
        if name.startswith(('tasks.det.', 'tasks.seg.')):
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before['tasks.cls.head.fc.weight'], after['tasks.cls.head.fc.weight'])
    assert all(param.grad is None for param in model.tasks['det'].parameters())


def test_accumulating_a_batch_twice_is_one_step_of_it(model, batches):
    once, twice = model.train(), copy.deepcopy(model).train()
    once.train_step(copy.deepcopy(batches), sgd(once))
    wrapper = sgd(twice, accumulative_counts=2)
    start = copy.deepcopy(twice.state_dict())
    twice.train_step(copy.deepcopy(batches), wrapper)
    assert all(torch.equal(start[name], value) for name, value in twice.state_dict().items())
    twice.train_step(copy.deepcopy(batches), wrapper)
    for name, value in once.state_dict().items():
        torch.testing.assert_close(twice.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert wrapper.inner_count == 2


def test_each_task_is_clipped_to_its_own_norm(toy_cfg, batches):
    limit = 0.5
    toy_cfg.model.clip_grad_per_task = limit
    toy_cfg.model.tasks.seg.decode_head.dropout_ratio = 0
    model = build_model(toy_cfg).train()
    expected = {}
    for task in TASKS:
        grads = task_gradients(model, task, batches[task])
        norm = torch.cat([g.flatten() for g in grads.values()]).norm()
        assert norm > limit  # or the test would show nothing
        for name, grad in grads.items():
            expected[name] = expected.get(name, 0) + grad * (limit / norm)
    before = copy.deepcopy(dict(model.named_parameters()))
    model.train_step(batches, sgd(model))
    for name, found in update_of(model, before).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-3, atol=1e-5)


class ScaledWrapper(AmpOptimWrapper):
    """AmpOptimWrapper on the CPU: its constructor insists on a GPU, its gradient scaler does not.

    Casting is off, so that the result must be that of the unscaled step.
    """

    def __init__(self, optimizer):
        OptimWrapper.__init__(self, optimizer)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=1024.0)
        self._scale_update_param = None
        self.cast_dtype = torch.float32

    def optim_context(self, model):
        return OptimWrapper.optim_context(self, model)


@pytest.mark.parametrize(
    'options', [{}, dict(clip_grad_per_task=0.5), dict(grad_similarity_interval=1)]
)
def test_a_scaled_step_is_the_unscaled_one(toy_cfg, batches, options):
    toy_cfg.model.update(options)
    toy_cfg.model.tasks.seg.decode_head.dropout_ratio = 0
    plain = build_model(toy_cfg).train()
    scaled = copy.deepcopy(plain)
    log = plain.train_step(copy.deepcopy(batches), sgd(plain))
    wrapper = ScaledWrapper(torch.optim.SGD(scaled.parameters(), lr=0.1))
    scaled_log = scaled.train_step(copy.deepcopy(batches), wrapper)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(scaled.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    for name in log:
        assert float(scaled_log[name]) == pytest.approx(float(log[name]), rel=1e-4)


METHODS = ('FixedWeights', 'GradNorm', 'FAMO', 'PCGrad', 'UPGrad')


def two_steps(toy_cfg, batches, kind, **options):
    """Updates of one step of a method, plain and with a wrapper of these options."""
    toy_cfg.model.balancer = dict(type=kind)
    toy_cfg.model.tasks.seg.decode_head.dropout_ratio = 0
    toy_cfg.model.grad_similarity_interval = 0
    model, found = build_model(toy_cfg).train(), []
    kind = options.pop('wrapper', OptimWrapper)
    for make, given in ((OptimWrapper, {}), (kind, options)):
        one = copy.deepcopy(model)
        before = copy.deepcopy(dict(one.named_parameters()))
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        log = one.train_step(copy.deepcopy(batches), make(optimizer=optimizer, **given))
        assert all(torch.isfinite(torch.as_tensor(value)) for value in log.values())
        found.append(torch.cat([update.flatten() for update in update_of(one, before).values()]))
    return found


@pytest.mark.parametrize('kind', METHODS)
def test_the_global_clip_is_of_the_combined_gradient(toy_cfg, batches, kind):
    plain, clipped = two_steps(toy_cfg, batches, kind, clip_grad=dict(max_norm=0.05))
    assert plain.norm() > 0.5  # or the test would show nothing
    torch.testing.assert_close(clipped, plain * (0.05 / plain.norm()), rtol=1e-2, atol=1e-5)


class HalfPrecision(OptimWrapper):
    """bf16 needs no scaler; mmengine's own wrapper of it insists on a GPU."""

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


@pytest.mark.parametrize('kind', METHODS)
def test_a_step_in_bf16(toy_cfg, batches, kind):
    plain, half = two_steps(toy_cfg, batches, kind, wrapper=HalfPrecision)
    assert half.dtype == torch.float32 and not torch.equal(half, plain)
    # Eight bits of mantissa, through some fifty layers
    assert torch.nn.functional.cosine_similarity(half, plain, dim=0) > 0.95
    assert 0.9 < half.norm() / plain.norm() < 1.1


def test_one_pass_prediction_is_each_task_alone(model):
    model.eval()
    images = torch.randint(0, 256, (2, 3, 96, 128), generator=torch.Generator().manual_seed(0))
    images = [*images.to(torch.uint8), torch.zeros(3, 64, 128, dtype=torch.uint8)]
    calls = []
    handle = model.backbone.register_forward_hook(lambda *args: calls.append(1))
    together = model.predict(images)
    assert len(calls) == 1
    for task in TASKS:
        alone = model.predict(images, [task])[task]
        assert len(alone) == len(together[task]) == 3
        for one, other in zip(alone, together[task]):
            _assert_same(one, other)
    handle.remove()
    assert together['seg'][2].pred_sem_seg.data.shape == (1, 64, 128)


def test_building_leaves_the_config_as_it_is(toy_cfg):
    before = toy_cfg.model.to_dict()
    build_model(toy_cfg)
    assert toy_cfg.model.to_dict() == before


def test_one_pass_prediction_is_test_step(model, toy_cfg):
    model.eval()
    loader = build_loader('seg', 'seg', toy_cfg.val_dataloader.seg, 0, None, False, False)
    batch = next(iter(loader))
    images = [image.clone() for image in batch['inputs']]
    expected = model.test_step({'seg': batch})['seg']
    for one, other in zip(model.predict(images)['seg'], expected):
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
        assert torch.equal(one.seg_logits.data, other.seg_logits.data)


def test_one_pass_prediction_pads_as_each_task_alone(toy_cfg):
    toy_cfg.model.data_preprocessor.pad_size_divisor = 32
    model = build_model(toy_cfg).eval()
    images = torch.randint(0, 256, (2, 3, 80, 100), generator=torch.Generator().manual_seed(0))
    images = images.to(torch.uint8)
    together = model.predict(list(images))
    for task in TASKS:
        samples = model.kinds[task].samples(images, [(80, 100)] * 2)
        batch = dict(inputs=list(images), data_samples=samples)
        for one, other in zip(together[task], model.test_step({task: batch})[task], strict=True):
            _assert_same(one, other)
    assert together['seg'][0].pred_sem_seg.data.shape == (1, 80, 100)


def _assert_same(one, other):
    for field in ('pred_score', 'pred_label'):
        if field in one:
            assert torch.equal(one.get(field), other.get(field))
    if 'pred_instances' in one:
        for field in ('bboxes', 'scores', 'labels'):
            assert torch.equal(one.pred_instances[field], other.pred_instances[field])
    if 'seg_logits' in one:
        assert torch.equal(one.seg_logits.data, other.seg_logits.data)


def test_boxes_come_back_in_the_original_pixels(model):
    model.eval()
    model.tasks['det'].bbox_head.test_cfg.score_thr = 0.0
    image = torch.randint(0, 256, (3, 96, 128), generator=torch.Generator().manual_seed(0))
    plain = model.predict([image], ['det'])['det'][0].pred_instances.bboxes
    halved = model.predict([image], ['det'], [dict(ori_shape=(192, 256), scale_factor=(0.5, 0.5))])
    assert len(plain)
    torch.testing.assert_close(halved['det'][0].pred_instances.bboxes, plain * 2)


def test_a_copy_has_its_own_backbone(model):
    """EMA copies the model: the copy's tasks must look at the copy's backbone."""
    other = copy.deepcopy(model)
    assert other.tasks['det'].backbone._backbone is other.backbone is not model.backbone
    with torch.no_grad():
        for param in other.backbone.parameters():
            param.zero_()
    x = torch.rand(1, 3, 64, 64)
    maps = model.tasks['det'].backbone(x)
    assert all(torch.equal(a, b) for a, b in zip(maps, run_backbone(model.backbone, x)[1:]))
    assert not torch.equal(maps[0], other.tasks['det'].backbone(x)[0])


def test_features_select_maps_in_order(model):
    view = model.tasks['det'].backbone
    view.feature_indices = (2, 0)
    x = torch.rand(1, 3, 64, 64)
    maps = run_backbone(model.backbone, x)
    assert [m.shape[1] for m in view(x)] == [maps[2].shape[1], maps[0].shape[1]]


def test_channels_last_changes_the_layout_only(toy_cfg):
    plain = build_model(toy_cfg).eval()
    toy_cfg.model.channels_last = True
    other = build_model(toy_cfg).eval()
    other.load_state_dict(plain.state_dict())
    weight = other.backbone.conv1.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    image = torch.randint(0, 256, (3, 64, 64), generator=torch.Generator().manual_seed(0))
    one, two = (m.predict([image])['seg'][0].seg_logits.data for m in (plain, other))
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_pretrained_backbone_is_loaded_and_reported(toy_cfg, tmp_path):
    source = build_model(toy_cfg)
    state = {
        f'backbone.{name}': torch.full_like(value, 0.5)
        for name, value in source.backbone.state_dict().items()
    }
    state['head.fc.weight'] = torch.zeros(3)
    torch.save(dict(state_dict=state), tmp_path / 'backbone.pth')
    toy_cfg.model.backbone.init_cfg = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth'), prefix='backbone'
    )
    model = build_model(toy_cfg)
    assert all((param == 0.5).all() for param in model.backbone.parameters())


def test_a_file_of_which_nothing_fits_is_refused(toy_cfg, tmp_path):
    torch.save({'foreign.weight': torch.zeros(3)}, tmp_path / 'other.pth')
    toy_cfg.model.backbone.init_cfg = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'other.pth')
    )
    with pytest.raises(CheckpointError, match=r'init_cfg.*none of its 1 keys.*foreign\.weight'):
        build_model(toy_cfg)


def test_layers_added_to_a_pretrained_backbone_begin_as_the_library_has_them(toy_cfg, tmp_path):
    block = dict(cfg=dict(type='ContextBlock', ratio=0.25), position='after_conv3')
    toy_cfg.model.backbone = dict(
        type='mmdet.ResNet', depth=50, base_channels=8, stem_channels=8,
        plugins=[dict(block, stages=(False, True, True, True))],
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet50.pth')))  # fmt: skip
    without = {k: v for k, v in toy_cfg.model.backbone.items() if k not in ('plugins', 'init_cfg')}
    torch.save(MMENGINE_MODELS.build(without).state_dict(), tmp_path / 'resnet50.pth')
    toy_cfg.model.tasks = dict(cls=toy_cfg.model.tasks.cls)
    toy_cfg.model.tasks.cls.update(feature_indices=(3,))
    toy_cfg.model.tasks.cls.head.in_channels = 256
    backbone = build_model(toy_cfg).backbone
    added = backbone.layer4[0].context_block.channel_add_conv[3].weight
    assert not added.any()  # Without effect at first
    assert not any(getattr(module, 'init_cfg', None) == toy_cfg.model.backbone.init_cfg
                   for module in backbone.modules())  # fmt: skip


def test_a_backbone_inside_a_task_is_refused(toy_cfg):
    toy_cfg.model.tasks.det.backbone = dict(type='ResNet')
    with pytest.raises(ConfigError, match='model.tasks.det.backbone is set'):
        build_model(toy_cfg)


def test_normalisation_is_declared_once(model):
    means = [task.data_preprocessor.mean.flatten().tolist() for task in model.tasks.values()]
    assert means == [pytest.approx([123.675, 116.28, 103.53])] * 3


def test_forward_gives_every_task_its_tensor(model):
    model.eval()
    result = model(torch.zeros(1, 3, 64, 64), tasks=['cls', 'seg'])
    assert list(result) == ['cls', 'seg']
    assert result['seg'].shape == (1, 7, 16, 16)
