"""Less memory or time a step, the same training: micro-batches, recomputing, compiling."""

import copy
import itertools

import pytest
import torch
from conftest import build_model, classification
from mmengine.optim import OptimWrapper
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend

from allinone.data.loaders import training_batches
from allinone.errors import ConfigError
from allinone.registry import RUNNERS
from allinone.training.precise_bn import reestimate


@pytest.fixture
def cfg(toy_cfg):
    toy_cfg.model.tasks.pop('seg')
    toy_cfg.model.grad_similarity_interval = 0
    return toy_cfg


def trained(cfg, steps):
    model = build_model(cfg).train()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    logs = [model.train_step(copy.deepcopy(step), optimizer) for step in steps]
    return model.state_dict(), logs[-1]


@pytest.mark.parametrize('balancer', ['FixedWeights', 'PCGrad'])
def test_two_micro_batches_are_one_batch(cfg, balancer):
    """A classification loss is a mean over images, so halves make the whole."""
    cfg.model.balancer = dict(type=balancer)
    whole = next(training_batches(cfg, cfg.model.tasks))
    halves = [{key: value[part] for key, value in whole['cls'].items()} for part in _halves(8)]
    expected, log = trained(cfg, [whole])
    found, other_log = trained(cfg, [dict(whole, cls=halves)])
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
    assert float(other_log['cls/loss']) == pytest.approx(float(log['cls/loss']), rel=1e-5)
    assert float(other_log['cls/weight']) == pytest.approx(float(log['cls/weight']), rel=1e-3)


def _halves(size):
    return slice(None, size // 2), slice(size // 2, None)


def test_the_loop_draws_as_many_batches_as_a_task_accumulates(tmp_path, toy_root):
    cfg = classification(tmp_path / 'work', **{'train_cfg.max_iters': 2})
    cfg.train_cfg.micro_batches = dict(cls=3)
    runner = RUNNERS.build(cfg)
    runner.train()
    assert runner.message_hub.get_info('batches_drawn') == dict(cls=6)
    assert runner.message_hub.get_scalar('train/cls/batch_size').current() == 24
    for given, words in (
        (dict(det=2), "has 'det', but train_dataloader has only"),
        (dict(cls=0), 'micro_batches.cls is 0; give a whole number of at least 1'),
        (4, 'micro_batches is 4; give dict'),
    ):
        cfg = classification(tmp_path / 'work')
        cfg.train_cfg.micro_batches = given
        with pytest.raises(ConfigError, match=words):
            RUNNERS.build(cfg).train()


def test_a_regulariser_keeps_graphs_so_nothing_accumulates(tmp_path, toy_root):
    cfg = classification(tmp_path / 'work')
    cfg.model.balancer = dict(
        type='GradientOrthogonality', balancer=dict(type='FixedWeights'), alpha=0.1
    )
    cfg.train_cfg.micro_batches = dict(cls=2)
    with pytest.raises(ConfigError, match='keeps the graphs of a step'):
        RUNNERS.build(cfg).train()


def test_recomputing_changes_nothing(cfg):
    """Not even the statistics, though the forward pass of training runs twice."""
    cfg.model.backbone.norm_cfg = dict(type='BN')
    batches = [next(training_batches(cfg, cfg.model.tasks))] * 2
    expected, _ = trained(cfg, batches)
    cfg.model.backbone.with_cp = True
    found, _ = trained(cfg, batches)
    for name, value in expected.items():
        assert name.endswith('num_batches_tracked') or torch.equal(found[name], value), name


def test_layers_of_the_backbone_are_compiled_once_for_all_sizes(cfg):
    """Also beyond the 8 structures at which PyTorch stops; copies (EMA) run their own weights."""
    plain = build_model(cfg).eval()
    counter = CompileCounter()
    cfg.model.compile_backbone = dict(backend=counter)
    model = build_model(cfg).eval()
    assert model.state_dict().keys() == plain.state_dict().keys()
    graphs = []
    for size in ((2, 3, 96, 64), (2, 3, 64, 128), (3, 3, 128, 96), (4, 3, 192, 160)):
        x = torch.rand(size)
        with torch.no_grad():
            for own, other in zip(model.backbone(x), plain.backbone(x)):
                torch.testing.assert_close(own, other)
        graphs.append(counter.frame_count)
    assert graphs[0] > 8 and len(set(graphs)) == 1
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for param in copied.backbone.parameters():
            param.zero_()
        assert not copied.backbone(x)[0].any()
    cfg.model.compile_backbone = 'fast'
    with pytest.raises(ConfigError, match="model.compile_backbone is 'fast'"):
        build_model(cfg)


def test_a_compiled_backbone_trains_as_the_plain_one(cfg):
    """Also once it was validated and its statistics were estimated again."""
    cfg.model.backbone = dict(
        type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=1,
        strides=(1,), dilations=(1,), out_indices=(0,), norm_eval=False,
    )  # fmt: skip
    tasks = cfg.model.tasks
    del tasks.det, cfg.train_dataloader.det
    tasks.cls.features, tasks.cls.head.in_channels = (0,), 8
    batches = list(itertools.islice(training_batches(cfg, tasks), 2))
    small = copy.deepcopy(batches[0])
    small['cls']['inputs'] = [image[:, :48, :32] for image in small['cls']['inputs']]
    counter = CompileCounterWithBackend('aot_eager')

    def trained(**options):
        cfg.model.update(options)
        model = build_model(cfg)
        optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
        graphs = []
        for batch in (batches[0], small, batches[1]):
            model.train().train_step(copy.deepcopy(batch), optimizer)
            with torch.no_grad():
                model.eval().backbone(torch.rand(2, 3, 64, 48))
            reestimate(model, copy.deepcopy(batches))
            graphs.append(counter.frame_count)
        return model.state_dict(), graphs

    expected, _ = trained()
    found, graphs = trained(compile_backbone=dict(backend=counter))
    assert 0 < graphs[0] and graphs[1] == graphs[2]
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_second_derivatives_are_not_compiled(cfg):
    cfg.model.compile_backbone = True
    cfg.model.balancer = dict(type='GradientOrthogonality', balancer=dict(type='FixedWeights'))
    with pytest.raises(ConfigError, match='GradientOrthogonality needs second derivatives'):
        build_model(cfg)
