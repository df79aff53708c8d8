"""The shared step against separate steps on the same labelled images."""

import re

import pytest
import torch
from mmengine.structures import PixelData
from shared_model import TASKS, Capture, batch_of, difference, gradients, model_of, separate
from torch.testing import assert_close

from allinone.data.shared_sample import labelled_batch
from allinone.errors import ConfigError, DataError
from allinone.models.allinone import AllInOne
from allinone.models.shared_backbone import SingleMap
from allinone.models.shared_images import SharedImages
from benchmarks.saved_tensors import SavedTensors

ALL = ['det sem road cls'] * 3
PARTIAL = ['det road', 'sem road cls', 'det cls', 'road', 'sem']
BALANCERS = {
    'FixedWeights': dict(type='FixedWeights', weights=dict(det=0.5, sem=2.0)),
    'Uncertainty': dict(type='Uncertainty'),
    'PCGrad': dict(type='PCGrad'),
    'MGDA': dict(type='MGDA'),
    'FAMO': dict(type='FAMO'),
    'GradNorm': dict(type='GradNorm'),
    'GradDrop': dict(type='GradDrop'),
}
SOURCES = dict(street=TASKS)
FEATURES = dict(type='MGDA', gradients='features')


@pytest.mark.parametrize('labels', [ALL, PARTIAL], ids=['all', 'partial'])
@pytest.mark.parametrize('name', BALANCERS)
def test_gradients_are_those_of_separate_steps(name, labels):
    batch = batch_of(labels)
    ours, log = gradients(model_of(BALANCERS[name]), dict(street=batch), SOURCES)
    theirs, other = gradients(model_of(BALANCERS[name]), separate(batch))
    assert difference(ours, theirs) < 1e-6
    assert log.keys() == other.keys()
    for key in log:
        assert_close(log[key], other[key], rtol=1e-6, atol=1e-6)


def test_a_head_without_labels_gets_no_gradient():
    ours, log = gradients(model_of(), dict(street=batch_of(['det', 'det road'])), SOURCES)
    assert not any(name.startswith(('tasks.sem', 'tasks.cls')) for name in ours)
    assert 'sem/loss' not in log and 'sem/weight' not in log and 'road/weight' in log


def test_a_batch_without_any_label_is_refused():
    with pytest.raises(DataError, match="no label of any of the tasks .*'0.jpg', '1.jpg'"):
        gradients(model_of(), dict(street=batch_of(['', ''])), SOURCES)


@pytest.mark.parametrize('name', ['FixedWeights', 'MGDA'])
def test_clipping_each_task(name):
    batch, clip = batch_of(PARTIAL), dict(clip_grad_per_task=0.1)
    ours, _ = gradients(model_of(BALANCERS[name], **clip), dict(street=batch), SOURCES)
    theirs, _ = gradients(model_of(BALANCERS[name], **clip), separate(batch))
    assert difference(ours, theirs) < 1e-6


class Scaled(Capture):
    """A wrapper with a loss scaler, on the CPU."""

    def __init__(self, model):
        super().__init__(model)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=1024.0)

    def backward(self, loss, **kwargs):
        super().backward(self.loss_scaler.scale(loss), **kwargs)


@pytest.mark.parametrize('balancer', [None, dict(type='MGDA'), FEATURES], ids=str)
def test_a_loss_scaler(balancer):
    batch = batch_of(PARTIAL)
    model = model_of(balancer)
    model.bind_sources(SOURCES)
    wrapper = Scaled(model)
    model.train_step(dict(street=batch), wrapper)
    plain, _ = gradients(model_of(balancer), dict(street=batch), SOURCES)
    assert difference(wrapper.grads, {name: 1024 * grad for name, grad in plain.items()}) < 1e-6


@pytest.mark.parametrize('name', ['FixedWeights', 'Uncertainty', 'FAMO'])
def test_measuring_changes_no_bit(name):
    batch = batch_of(PARTIAL)
    measured = model_of(BALANCERS[name], grad_similarity_interval=1)
    ours, log = gradients(measured, dict(street=batch), SOURCES)
    plain, _ = gradients(model_of(BALANCERS[name]), dict(street=batch), SOURCES)
    assert all(torch.equal(ours[key], plain[key]) for key in plain)
    apart = model_of(BALANCERS[name], grad_similarity_interval=1)
    _, theirs = gradients(apart, separate(batch))
    pairs = [key for key in theirs if key.startswith('cos/') or key.endswith('grad_norm')]
    assert len(pairs) == 6 + 4
    for key in pairs:
        assert_close(log[key], theirs[key], rtol=1e-6, atol=1e-6)


def at_feature_maps(model, batch):
    """Losses, and rows of gradients at the feature maps, straight from autograd."""
    losses, rows = [], []
    images = SharedImages(model, TASKS, batch)
    leaves = [m.detach().requires_grad_() for m in images.maps]
    for task in TASKS:
        loss, _ = model.parse_losses(model.losses_of_data(task, images.data(task, leaves)))
        grads = torch.autograd.grad(loss, leaves, materialize_grads=True)
        losses.append(loss.detach())
        rows.append(torch.cat([grad.flatten() for grad in grads]))
        model.view(task).reuse(None, None)
    return images, torch.stack(losses), torch.stack(rows)


@pytest.mark.parametrize('name', ['PCGrad', 'MGDA', 'GradDrop', 'UPGrad'])
def test_products_at_feature_maps(name):
    """Against rows at the maps, ``combine`` on them, and one backward pass of the result."""
    batch = batch_of(PARTIAL)
    model = model_of(dict(type=name, gradients='features'))
    ours, log = gradients(model, dict(street=batch), SOURCES)
    direct = model_of(dict(type=name))
    images, losses, rows = at_feature_maps(direct, batch)
    combined, weights = direct.balancer.combine(losses, rows)
    parts = combined.split([m.numel() for m in images.maps])
    params = dict(direct.backbone.named_parameters())
    grads = torch.autograd.grad(
        images.maps, list(params.values()), [p.view(m.shape) for p, m in zip(parts, images.maps)]
    )
    theirs = {f'backbone.{key}': grad for key, grad in zip(params, grads)}
    assert difference({key: ours[key] for key in theirs}, theirs) < 1e-6
    for task, weight, row in zip(TASKS, weights, rows):
        assert_close(log[f'{task}/weight'].double(), weight.double())
        assert_close(log[f'{task}/grad_norm'].double(), row.norm())


def test_gradnorm_at_feature_maps_weighs_heads_too():
    batch = batch_of(ALL)
    model = model_of(dict(type='GradNorm', gradients='features'))
    ours, log = gradients(model, dict(street=batch), SOURCES)
    theirs, _ = gradients(model_of(), separate(batch))
    assert difference(ours, theirs) < 1e-6  # Its first weights are all 1.
    assert {float(log[f'{task}/weight']) for task in TASKS} == {1.0}


@pytest.mark.parametrize(
    'options, sources, words',
    [
        ({}, dict(street=('det', 'sem', 'road'), cls=('cls',)), "sources ['street', 'cls']"),
        (dict(clip_grad_per_task=1.0), SOURCES, 'clip_grad_per_task=1.0'),
        (dict(layer='stages.1'), SOURCES, "layer is 'stages.1'"),
        (dict(adapter=True), SOURCES, "the tasks ['cls', 'det', 'road', 'sem'] make separate"),
    ],
)
def test_features_where_they_cannot_be_compared(options, sources, words):
    options = dict(options)
    layer = {'layer': options.pop('layer')} if 'layer' in options else {}
    if options.pop('adapter', None):
        options['bn'] = 'per_task'
        options['norm'] = dict(type='BN')
    kind = 'GradNorm' if layer else 'MGDA'
    model = model_of(dict(type=kind, gradients='features', **layer), **options)
    with pytest.raises(ConfigError, match=re.escape(words)):
        model.bind_sources(sources)


def test_features_of_several_batches_are_refused():
    model = model_of(dict(type='MGDA', gradients='features'))
    with pytest.raises(ConfigError, match='train_cfg.micro_batches'):
        gradients(model, dict(street=[batch_of(ALL), batch_of(ALL)]), SOURCES)


def test_a_misspelt_place_of_gradients():
    with pytest.raises(ConfigError, match="model.balancer.gradients is 'feature'"):
        model_of(dict(type='MGDA', gradients='feature'))


@pytest.mark.parametrize('frozen', [('backbone', 'sem'), ('sem', 'cls'), ('backbone',)], ids=str)
def test_frozen_parts(frozen):
    """With a frozen backbone nothing is learned from a frozen task, so it has no data."""
    tasks = tuple(task for task in TASKS if task not in frozen or 'backbone' not in frozen)
    batch = batch_of(PARTIAL)
    ours, _ = gradients(model_of(frozen=frozen), dict(street=batch), dict(street=tasks))
    theirs, _ = gradients(model_of(frozen=frozen), separate(batch, tasks))
    assert difference(ours, theirs) < 1e-6
    parts = ['backbone.' if part == 'backbone' else f'tasks.{part}.' for part in frozen]
    assert not any(name.startswith(part) for name in ours for part in parts)


def test_a_source_that_the_model_does_not_know():
    with pytest.raises(ConfigError, match=r"batch of 'street' is of no task .*bind_sources"):
        gradients(model_of(), dict(street=batch_of(ALL)))


def test_a_backbone_that_returns_one_bare_map():
    """It stays a bare map for heads that take no tuple."""
    model = model_of(tasks=('cls',))
    forward = model.backbone.forward
    model.backbone.forward = lambda x: forward(x)[-1]
    images = SharedImages(model, ['cls'], batch_of(['cls', 'det']))
    assert isinstance(images.maps, SingleMap)
    view = model.view('cls')
    view.feature_indices, view.bare = None, True
    data = images.data('cls', [m.detach() for m in images.maps])
    assert torch.equal(view(data['inputs']), images.maps[0][:1])


def joined(*batches):
    return {key: [part for batch in batches for part in batch[key]] for key in batches[0]}


@pytest.mark.parametrize('name', BALANCERS)
def test_two_sources_of_one_task_have_one_vote(name):
    """Losses of detectors are no means over images, so the classifier is compared."""
    tasks = ('sem', 'cls')
    first, second = batch_of(['sem cls', 'cls', 'sem']), batch_of(['cls'] * 3, seed=1)
    sources = dict(street=tasks, more=('cls',))
    balancer = BALANCERS[name]
    if name == 'FixedWeights':
        balancer = dict(balancer, weights=dict(sem=2.0))
    data = dict(street=first, more=labelled_batch(second, 'cls'))
    ours, log = gradients(model_of(balancer, tasks=tasks), data, sources)
    both = separate(joined(first, second), tasks)
    theirs, other = gradients(model_of(balancer, tasks=tasks), both)
    assert difference(ours, theirs) < 1e-6
    for key in ('cls/loss', 'cls/weight', 'sem/weight'):
        assert_close(log[key], other[key], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('name', ['FixedWeights', 'Uncertainty', 'PCGrad', 'MGDA'])
def test_micro_batches_with_partial_labels(name):
    tasks = ('sem', 'cls')
    balancer = None if name == 'FixedWeights' else BALANCERS[name]
    parts = [batch_of(['sem cls', 'cls', 'cls']), batch_of(['sem', 'sem cls'], seed=1)]
    ours, _ = gradients(model_of(balancer, tasks=tasks), dict(street=parts), dict(street=tasks))
    theirs, _ = gradients(model_of(balancer, tasks=tasks), separate(joined(*parts), tasks))
    assert difference(ours, theirs) < 1e-6


@pytest.mark.parametrize('name', ['FixedWeights', 'MGDA'])
def test_accumulation(name):
    """Two iterations of an optimizer step are each other's means."""
    batches = [batch_of(ALL), batch_of(ALL, seed=1)]
    found = []
    for shared in (True, False):
        balancer = None if name == 'FixedWeights' else BALANCERS[name]
        model = model_of(balancer)
        if shared:
            model.bind_sources(SOURCES)
        wrapper = Capture(model, accumulative_counts=2)
        wrapper.initialize_count_status(model, 0, 2)
        for batch in batches:
            model.train_step(dict(street=batch) if shared else separate(batch), wrapper)
        found.append(wrapper.grads)
    assert difference(*found) < 1e-6


def test_tasks_with_weights_of_the_backbone_make_their_own_pass():
    """``bn='per_task'``: each task normalises its own images by its own statistics."""
    batch = batch_of(PARTIAL)
    options = dict(bn='per_task', norm=dict(type='BN'))
    models = model_of(**options), model_of(**options)
    ours, _ = gradients(models[0], dict(street=batch), SOURCES)
    theirs, _ = gradients(models[1], separate(batch))
    assert difference(ours, theirs) < 1e-6
    states = [model.state_dict() for model in models]
    for key in states[0]:
        assert_close(states[0][key], states[1][key], rtol=1e-6, atol=1e-8)


class Broken(torch.autograd.Function):
    """The identity, with a gradient of NaN."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * float('nan')


def test_batch_norm_and_products_at_feature_maps(monkeypatch):
    """On a GPU the statistics are always written again, before the backbone's backward pass."""
    batch = batch_of(ALL)
    plain, _ = gradients(model_of(FEATURES, norm=dict(type='BN')), dict(street=batch), SOURCES)

    def always(condition, tensors, otherwise=None):
        for tensor in tensors:
            tensor.mul_(1)

    monkeypatch.setattr('allinone.step.non_finite.keep_if', always)
    ours, _ = gradients(model_of(FEATURES, norm=dict(type='BN')), dict(street=batch), SOURCES)
    assert difference(ours, plain) == 0


def test_products_at_feature_maps_make_no_rows_of_the_backbone(monkeypatch):
    monkeypatch.setattr('allinone.step.step.BackboneGradients', None)
    assert gradients(model_of(FEATURES), dict(street=batch_of(ALL)), SOURCES)


@pytest.mark.parametrize('name', ['FixedWeights', 'MGDA'])
@pytest.mark.parametrize('where', ['loss', 'gradient'])
def test_a_non_finite_task_is_dropped_alone(name, where):
    batch = batch_of(ALL)
    balancer = None if name == 'FixedWeights' else BALANCERS[name]
    model = model_of(balancer, norm=dict(type='BN'))
    before = {key: value.clone() for key, value in model.state_dict().items()}

    def broken(_, inputs, outputs):
        return outputs * float('nan') if where == 'loss' else Broken.apply(outputs)

    model.tasks['sem'].decode_head.conv_seg.register_forward_hook(broken)
    ours, log = gradients(model, dict(street=batch), SOURCES)
    assert [task for task in TASKS if log[f'{task}/dropped']] == ['sem']
    assert all(torch.isfinite(grad).all() for grad in ours.values())
    assert all(not grad.any() for key, grad in ours.items() if key.startswith('tasks.sem'))
    after = model.state_dict()
    moved = {key for key in after if not torch.equal(after[key], before[key])}
    assert not any(key.startswith('tasks.sem') and 'running' in key for key in moved)
    assert any(key.startswith('backbone') and 'running' in key for key in moved)
    if name == 'FixedWeights':
        others = model_of(norm=dict(type='BN'))
        names = [task for task in TASKS if task != 'sem']
        labels = [label.replace('sem ', '') for label in ALL]
        theirs, _ = gradients(others, dict(street=batch_of(labels)), SOURCES)
        theirs = {key: grad for key, grad in theirs.items() if key in ours}
        assert len(names) == 3
        assert difference({key: ours[key] for key in theirs}, theirs) < 1e-6


@pytest.mark.parametrize('balancer', [None, dict(type='MGDA'), FEATURES], ids=str)
def test_images_of_nan_leave_the_backbone_as_it_was(balancer):
    model = model_of(balancer, norm=dict(type='BN'))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.backbone.stages[0].register_forward_hook(lambda *args: args[-1] * float('nan'))
    ours, log = gradients(model, dict(street=batch_of(ALL)), SOURCES)
    assert all(log[f'{task}/dropped'] for task in TASKS)
    assert not any(grad.any() for grad in ours.values())
    assert all(
        torch.equal(value, before[key])
        for key, value in model.state_dict().items()
        if 'num_batches' not in key
    )


@pytest.mark.parametrize('place', ['backbone', 'features'])
def test_an_overflow_inside_the_backbone_drops_the_step(place):
    balancer = None if place == 'backbone' else dict(type='MGDA', gradients='features')
    model = model_of(balancer)
    model.backbone.stages[0].register_forward_hook(lambda *args: Broken.apply(args[-1]))
    ours, log = gradients(model, dict(street=batch_of(ALL)), SOURCES)
    assert all(log[f'{task}/dropped'] for task in TASKS)
    assert ours and not any(grad.any() for grad in ours.values())


def test_a_loss_scaler_sees_an_overflow_inside_the_backbone():
    model = model_of()
    model.bind_sources(SOURCES)
    model.backbone.stages[0].register_forward_hook(lambda *args: Broken.apply(args[-1]))
    wrapper = Scaled(model)
    model.train_step(dict(street=batch_of(ALL)), wrapper)
    assert any(not grad.isfinite().all() for grad in wrapper.grads.values())


def test_predictions_pass_the_backbone_once_and_again_for_other_padding():
    model = model_of(dtype=torch.float32).eval()
    batch, passes = batch_of(['det sem road cls'] * 2), []
    model.backbone.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0].shape[-2:]))
    with torch.no_grad():
        model.val_step(dict(street=batch))
        assert passes == [(64, 96)]
        model.tasks['sem'].data_preprocessor.test_cfg = dict(size_divisor=128)
        found = model.val_step(dict(street=batch))
        assert passes[1:] == [(64, 96), (128, 128)]
        alone = model.tasks['sem'].val_step(labelled_batch(batch, 'sem'))
    for ours, theirs in zip(found['sem'], alone, strict=True):
        assert torch.equal(ours.pred_sem_seg.data, theirs.pred_sem_seg.data)


def test_running_statistics_count_each_image_once():
    batch = batch_of(ALL)
    model, plain = model_of(norm=dict(type='BN')), model_of(norm=dict(type='BN'))
    gradients(model, dict(street=batch), SOURCES)
    with torch.no_grad():
        assert SharedImages(plain, ['cls'], batch).maps
    for name, value in plain.backbone.state_dict().items():
        assert_close(model.backbone.state_dict()[name], value)


def test_preprocessors_that_want_other_images_are_refused():
    model = model_of()
    model.tasks['sem'].data_preprocessor.mean += 3
    with pytest.raises(ConfigError, match="'det' and 'sem', which share images.*other values"):
        model.bind_sources(SOURCES)


def test_preprocessors_that_pad_to_other_sizes_are_refused():
    model = model_of()
    model.tasks['sem'].data_preprocessor.size = (128, 128)
    model.tasks['sem'].data_preprocessor.size_divisor = None
    with pytest.raises(ConfigError, match=r"'det' and 'sem'.*\(64, 96\) and \(128, 128\) pixels"):
        gradients(model, dict(street=batch_of(ALL)), SOURCES)


def test_preprocessors_that_pad_with_other_values_are_refused():
    model = model_of()
    model.tasks['sem'].data_preprocessor.pad_val = 114
    with pytest.raises(ConfigError, match="'det' and 'sem'.*other values of padded pixels"):
        model.bind_sources(SOURCES)


def test_preprocessors_that_pad_alike_where_images_fit():
    """One pads to multiples of 32, which the images are."""
    model = model_of()
    model.tasks['sem'].data_preprocessor.size_divisor = 1
    assert gradients(model, dict(street=batch_of(ALL)), SOURCES)


def test_predictions_of_images_of_different_sizes():
    model = model_of(dtype=torch.float32).eval()
    batch = batch_of(PARTIAL)
    batch['inputs'][1] = batch['inputs'][1][:, :32, :64]
    for sample in batch['data_samples'][1].labels.values():
        sample.set_metainfo(dict(img_shape=(32, 64), ori_shape=(32, 64)))
        if 'gt_sem_seg' in sample:
            sample.gt_sem_seg = PixelData(data=sample.gt_sem_seg.data[:, :32, :64])
    with torch.no_grad():
        found = model.val_step(dict(street=batch))
    sizes = [tuple(sample.pred_sem_seg.shape) for sample in found['sem']]
    assert sizes == [(32, 64), (64, 96)]
    assert [len(found[task]) for task in TASKS] == [2, 2, 3, 2]


def test_an_image_without_labels_has_the_fields_of_those_with_labels():
    """Some heads want more than the usual ones (PIDNet: edges of areas)."""
    model, batch = model_of(), batch_of(['sem', 'sem'])
    for sample in batch['data_samples']:
        labels = sample.labels['sem']
        labels.gt_edge_map = PixelData(data=torch.ones_like(labels.gt_sem_seg.data))
    SharedImages(model, ['sem', 'cls'], batch)
    images = SharedImages(model, ['cls', 'sem'], batch_of(['cls']))
    (sample,) = images.data('sem')['data_samples']
    assert not sample.gt_edge_map.data.any() and not sample.gt_sem_seg.data.any()


def test_a_task_with_pooled_maps_and_without_labels_gets_two_images():
    model = model_of()
    model.min_labelled['cls'] = 2
    images = SharedImages(model, TASKS, batch_of(['det']))
    assert len(images.data('cls')['inputs']) == 2 and len(images.data('sem')['inputs']) == 1


def test_batch_augments_are_refused():
    model = model_of()
    model.tasks['cls'].data_preprocessor.batch_augments = torch.nn.Identity()
    with pytest.raises(ConfigError, match="has 'cls', whose .* augments batches"):
        model.bind_sources(SOURCES)


def test_a_regulariser_is_refused():
    balancer = dict(type='GradientOrthogonality', balancer=dict(type='FixedWeights'))
    with pytest.raises(ConfigError, match="GradientOrthogonality', which keeps the graphs"):
        model_of(balancer).bind_sources(SOURCES)


@pytest.mark.parametrize('labels', [PARTIAL, PARTIAL[2:] + PARTIAL[:2]], ids=['order', 'turned'])
def test_predictions_are_those_of_each_task_alone(labels):
    model = model_of(dtype=torch.float32).eval()
    batch = batch_of(labels)
    with torch.no_grad():
        found = model.val_step(dict(street=batch))
        for task in TASKS:
            alone = model.tasks[task].val_step(labelled_batch(batch, task))
            assert len(found[task]) == len(alone)
            for ours, theirs in zip(found[task], alone):
                if task == 'det':
                    assert_close(ours.pred_instances.bboxes, theirs.pred_instances.bboxes)
                elif task == 'cls':
                    assert_close(ours.pred_score, theirs.pred_score)
                else:
                    assert torch.equal(ours.pred_sem_seg.data, theirs.pred_sem_seg.data)


def test_batch_norm_on_pooled_maps_needs_two_labelled_images():
    model = model_of()
    assert model.min_labelled == dict(det=1, sem=1, road=1, cls=1)
    pooled = dict(
        type='mmpretrain.ImageClassifier', feature_indices=(3,),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='StackedLinearClsHead', num_classes=4, in_channels=32, mid_channels=[8],
                  norm_cfg=dict(type='BN1d')))  # fmt: skip
    model = AllInOne(dict(type='allinone.GroupNormBackbone'), dict(cls=pooled))
    assert model.min_labelled == dict(cls=2)


def test_a_step_keeps_one_backbone_graph_and_one_head_graph():
    """Bytes of tensors that graphs hold at their peak, by what is alive when each is saved."""
    batch = batch_of(ALL)
    model = model_of()
    model.bind_sources(SOURCES)
    alive = SavedTensors()
    with alive:
        model.train_step(dict(street=batch), Capture(model))
    images = SavedTensors()
    with images:
        shared = SharedImages(model, TASKS, batch)
        assert shared.maps
    heads = []
    for task in TASKS:
        maps = type(shared.maps)(m.detach().requires_grad_() for m in shared.maps)
        with SavedTensors() as head:
            model.parse_losses(model.losses_of_data(task, shared.data(task, maps)))
        heads.append(head.peak)
        model.view(task).reuse(None, None)
    at_maps = sum(m.numel() * m.element_size() for m in shared.maps)
    assert alive.peak <= images.peak + max(heads) + at_maps
    assert alive.peak >= images.peak + max(heads) * 0.9
