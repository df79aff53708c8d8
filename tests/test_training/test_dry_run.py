"""What runs later is tried before the first step, and leaves no trace."""

from collections import deque
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import joined, run_tool, single, write_config
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import METRICS, OPTIM_WRAPPERS
from torch import nn
from torch.nn.parameter import is_lazy
from two_processes import TinyBackbone, config

from allinone.checkpoint.loading import read_checkpoint
from allinone.checkpoint.shards import map_tensors
from allinone.distributed.processes import local
from allinone.registry import MODELS, RUNNERS
from allinone.tasks import TaskKind
from allinone.tasks.segmentation import Segmentation
from allinone.training.snapshot import unchanged

PSP = dict(
    type='PSPHead',
    in_channels=160,
    in_index=3,
    channels=32,
    pool_scales=(1, 2),
    num_classes=7,
    norm_cfg=dict(type='BN'),
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss'),
)


@OPTIM_WRAPPERS.register_module()
class HostAmpWrapper(AmpOptimWrapper):
    """Autocast to bfloat16 and a scaler of gradients on the CPU, which the constructor refuses."""

    def __init__(self, **kwargs):
        OptimWrapper.__init__(self, **kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=1024.0, growth_interval=3)
        self._scale_update_param = None

    @contextmanager
    def optim_context(self, model):
        with OptimWrapper.optim_context(self, model), torch.autocast('cpu', torch.bfloat16):
            yield


class Coder:
    def __init__(self):
        self.calls = [0]


class Restless(nn.Module):
    """Changes all that a model may keep."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.register_buffer('queue', torch.zeros(4))
        self.register_buffer('replaced', torch.zeros(2))
        self.register_buffer('expanded', torch.zeros(1).expand(3))
        self.lazy = nn.LazyLinear(2)
        self.fixed = nn.Parameter(torch.ones(3), requires_grad=False)
        self.steps, self.history, self.recent = 0, [1.0], deque([1], maxlen=2)
        self.nested = dict(coder=Coder(), counts=np.zeros(2), seen={1})
        self.generator, self.random = torch.Generator().manual_seed(1), np.random.default_rng(2)

    def forward(self, x):
        self.steps += 1
        self.history.append(float(torch.rand(1, generator=self.generator)))
        self.recent.append(self.random.random())
        self.nested['coder'].calls.append(self.steps)
        self.nested['counts'] += 1
        self.nested['seen'].add(np.random.randint(9))
        self.nested['new'] = self.cached = True
        with torch.no_grad():
            self.queue += 1
            self.expanded[:1] += 1
            self.fixed += 1
        self.replaced = self.replaced + 1
        return self.conv(x).sum() + float(torch.rand(()))


def state_of(model):
    return (
        {n: v.clone() for n, v in model.state_dict().items() if not is_lazy(v)},
        (model.steps, list(model.history), list(model.recent), list(model.nested)),
        (
            model.nested['coder'].calls[:],
            model.nested['counts'].tolist(),
            set(model.nested['seen']),
        ),
        (model.generator.get_state().tolist(), model.random.bit_generator.state),
        (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),
        hasattr(model, 'cached'),
    )


def test_a_model_is_put_back_in_place():
    model = Restless().train()
    model(torch.rand(2, 3, 4, 4)).backward()
    history, coder, queue = model.history, model.nested['coder'], model.queue
    gradient = model.conv[0].weight.grad
    before = state_of(model)
    with unchanged(model):
        assert model.conv[0].weight.grad is None
        model.eval()
        model.train()(torch.rand(2, 3, 4, 4)).backward()
        during = state_of(model)
    after = state_of(model)
    assert [part == other for part, other in zip(before[1:5], during[1:5])] == [False] * 4
    assert before[1:] == after[1:]
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert model.history is history and model.nested['coder'] is coder and model.queue is queue
    assert model.conv[0].weight.grad is gradient and model.training


def restless_config(work_dir, dry_run, iters, **options):
    """Dropout, batch norm that moves, an EMA, bfloat16, a balancer with a state, two workers."""
    cfg = single('seg', 'mIoU', work_dir, **options)
    cfg.train_cfg.update(max_iters=iters, val_interval=iters, dry_run=dry_run)
    cfg.model.bn = 'shared'
    cfg.model.tasks.seg.decode_head.dropout_ratio = 0.3
    cfg.model.balancer = dict(type='Uncertainty')
    cfg.optim_wrapper.update(type='HostAmpWrapper')
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    cfg.train_dataloader.seg.update(num_workers=2)
    cfg.default_hooks.checkpoint.update(interval=iters, save_best=None)
    cfg.randomness = dict(seed=4)
    return cfg


def content(path):
    """All of a checkpoint but names and times."""
    read = read_checkpoint(path)
    hub = read['message_hub']
    losses = {k: v.data[0].tolist() for k, v in hub['log_scalars'].items() if 'time' not in k}
    return [
        read['state_dict'],
        read['ema_state_dict'],
        read['optimizer'],
        losses,
        read['meta']['iter'],
    ]


def assert_same(first, second):
    if isinstance(first, torch.Tensor):
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second):
            assert_same(one, other)
    else:
        assert first == second


def test_on_and_off_are_the_same_to_the_bit(toy_root, tmp_path):
    for name, dry_run in (('on', True), ('off', False)):
        RUNNERS.build(restless_config(tmp_path / name, dry_run, 20)).train()
    assert_same(*(content(str(tmp_path / name / 'iter_20.pth')) for name in ('on', 'off')))


@pytest.mark.parametrize('wrapper', ['AllInOneDDP', 'AllInOneFSDP'])
def test_on_and_off_are_the_same_in_two_processes(toy_root, tmp_path, wrapper):
    MODELS.register_module(module=TinyBackbone, force=True)

    def trained(rank):
        found = []
        for dry_run in (True, False):
            cfg = config(tmp_path / str(dry_run), frozen=False)
            cfg.train_cfg.update(max_iters=3, val_interval=3, dry_run=dry_run)
            cfg.model.tasks.seg.decode_head.dropout_ratio = 0.3
            cfg.model.balancer = dict(type='Uncertainty')
            cfg.launcher, cfg.model_wrapper_cfg = 'pytorch', dict(type=wrapper)
            runner = RUNNERS.build(cfg)
            runner.train()
            state = map_tensors(runner.model.state_dict(), lambda value, path: local(value))
            found.append(repr([value.tolist() for value in state.values()]))
        return found[0] == found[1], len(found[0])

    with joined(trained, tmp_path) as (_, answers):
        found = answers()
    assert [same for same, _ in found] == [True, True] and found[0][1] > 10000


def seg(cfg, **head):
    """The tiny config with this segmentation head as its one task."""
    for stage in ('train', 'val', 'test'):
        for part in ('dataloader', 'evaluator'):
            if f'{stage}_{part}' in cfg:
                cfg[f'{stage}_{part}'] = dict(seg=cfg[f'{stage}_{part}'].seg)
        cfg[f'{stage}_cfg'].pop('score', None)
    cfg.model.tasks = dict(seg=cfg.model.tasks.seg)
    cfg.model.tasks.seg.decode_head.update(head)
    cfg.default_hooks.checkpoint.pop('save_best')
    return cfg


@pytest.mark.parametrize('numbers', [3, 8])
def test_class_weights_are_of_another_length(cfg, refused, numbers):
    loss = dict(type='CrossEntropyLoss', class_weight=[1.0] * numbers)
    seg(cfg, loss_decode=loss)
    sentence = refused()
    assert sentence.startswith('model.tasks.seg: a training step with a batch of 2 fails')
    assert f'model.tasks.seg.decode_head.loss_decode.class_weight has {numbers} numbers' in sentence


def test_a_batch_of_one_under_batch_norm(cfg, refused):
    seg(cfg)
    cfg.model.tasks.seg.decode_head = PSP
    cfg.train_dataloader.seg.batch_size = 1
    sentence = refused()
    assert sentence.startswith('model.tasks.seg: a training step with a batch of 1 fails')
    assert 'raise train_dataloader.seg.batch_size to 2 or more' in sentence


def test_the_rest_of_a_finite_sampler_is_a_batch_of_one(cfg, refused):
    seg(cfg)
    cfg.model.tasks.seg.decode_head = PSP
    loader = cfg.train_dataloader.seg
    loader.update(batch_size=3, sampler=dict(type='DefaultSampler', shuffle=True))
    loader.dataset = dict(type='mmseg.RepeatDataset', dataset=loader.dataset, times=1)
    cfg.train_dataloader.seg = loader
    cfg.train_cfg.update(max_iters=6, val_interval=6)
    assert 'a training step with a batch of 1 fails' in refused()  # 16 images = 5 * 3 + 1


def test_a_model_that_needs_a_whole_batch_is_not_refused(cfg, launch, monkeypatch):
    seg(cfg)
    cfg.train_dataloader.seg.batch_size = 4
    from mmseg.models import EncoderDecoder

    loss = EncoderDecoder.loss

    def needs_four(self, inputs, data_samples):
        assert len(inputs) == 4, 'four images are compared'
        return loss(self, inputs, data_samples)

    monkeypatch.setattr(EncoderDecoder, 'loss', needs_four)
    assert launch()[0] == 0


@METRICS.register_module()
class FailsOnFew(BaseMetric):
    """A metric of the user's own, which needs more results than two."""

    needed = 3

    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        if len(results) < self.needed:
            raise ValueError('three results are needed')
        return dict(count=len(results))


@METRICS.register_module()
class FailsToProcess(FailsOnFew):
    def process(self, data_batch, data_samples):
        raise KeyError('gt_depth')


def test_a_metric_of_the_user_may_need_more_images(cfg, launch):
    seg(cfg)
    cfg.val_evaluator.seg = dict(type='FailsOnFew')
    status, out, error = launch()
    assert status == 0
    assert 'val_evaluator.seg: the evaluation of 2 images fails: ValueError: three results' in (
        ' '.join((out + error).split())
    )


def test_a_metric_that_takes_no_prediction_is_found(cfg, refused, tmp_path):
    seg(cfg)
    cfg.val_evaluator.seg = dict(type='FailsToProcess')
    sentence = refused()
    assert sentence.startswith('val_evaluator.seg: the metric of a prediction fails: KeyError')
    assert 'test_dry_run.py, line' in sentence and '--no-dry-run' in sentence
    log = next(path for path in tmp_path.rglob('*.log')).read_text()
    assert 'Traceback' in log and "raise KeyError('gt_depth')" in log


def test_a_drawing_that_fails_is_found(cfg, refused, tmp_path, monkeypatch):
    def fails(self, *args):
        raise ZeroDivisionError('no colours')

    monkeypatch.setattr(Segmentation, 'draw', fails)
    assert TaskKind.draw is not Segmentation.draw
    seg(cfg)
    folder = tmp_path / 'drawings'
    hook = dict(type='PredictionVisualizationHook', out_dir=str(folder), during_val=True)
    cfg.custom_hooks = [hook]
    assert 'a drawing of task seg fails: ZeroDivisionError: no colours' in refused()
    assert not folder.exists()


@METRICS.register_module()
class Writes(FailsOnFew):
    """Writes into its folder, and one more file that its name tells; fails if it is not there."""

    def __init__(self, output_dir, output_key='pred_sem_seg', **kwargs):
        super().__init__(**kwargs)
        self.output_dir, self.output_key = output_dir, output_key
        self.proposals_file = f'{output_dir}/p.pkl'

    def process(self, data_batch, data_samples):
        assert all(self.output_key in sample for sample in data_samples)
        Path(self.proposals_file).write_text('')
        Path(self.output_dir, 'other').write_text('')
        self.results.extend([1, 2, 3])


def test_nothing_is_written_where_a_metric_writes(cfg, launch, tmp_path):
    seg(cfg)
    folders = [tmp_path / 'maps', tmp_path / 'own']
    for folder in folders:
        folder.mkdir()
    cfg.val_evaluator.seg = [
        dict(type='mmseg.IoUMetric', output_dir=str(folders[0])),
        dict(type='Writes', output_dir=str(folders[1])),
        dict(type='mmengine.DumpResults', out_file_path=str(tmp_path / 'results.pkl')),
    ]
    # mmengine keeps one visualizer a name, with the folder of the first run.
    checked = Config(cfg.to_dict() | dict(experiment_name=f'{tmp_path.name}_checked'))
    config = write_config(checked, tmp_path / 'checked.py')
    assert run_tool('check', config) in (0, 1)  # with or without warnings
    assert not [*folders[0].iterdir(), *folders[1].iterdir(), *tmp_path.glob('*.pkl')]
    status, _, error = launch()
    assert status == 0, error
    assert len(list(folders[0].iterdir())) == 8 and (folders[1] / 'p.pkl').exists()


@METRICS.register_module()
class Counts(BaseMetric):
    """Keeps what it has seen beside ``results``, as metrics of users do."""

    found: list = []

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.images, self.seen = np.zeros(1), []

    def process(self, data_batch, data_samples):
        self.images += len(data_samples)
        self.seen.append(len(data_samples))
        self.results.append(1)

    def compute_metrics(self, results):
        self.found.append((self.images.item(), list(self.seen)))
        self.images, self.seen = np.zeros(1), []
        return dict(count=len(results))


def test_a_metric_does_not_count_what_was_tried(cfg, launch):
    seg(cfg)
    cfg.val_evaluator.seg = dict(type='Counts')
    Counts.found.clear()
    assert launch()[0] == 0
    assert Counts.found == [(2, [2]), (8, [2, 2, 2, 2])]


@pytest.mark.parametrize(
    'sampler, batches',
    [
        (dict(type='InfiniteSampler'), None),
        (dict(type='mmdet.MultiSourceSampler', batch_size=2, source_ratio=[1, 1]), None),
        (dict(type='DefaultSampler', shuffle=True), dict(type='mmdet.AspectRatioBatchSampler')),
    ],
)
def test_samplers_with_a_state_draw_as_without_it(toy_root, tmp_path, sampler, batches):
    losses = []
    for dry_run in (True, False):
        cfg = single('det', 'bbox_mAP', tmp_path / str(dry_run))
        loader = cfg.train_dataloader.det
        loader.sampler = sampler
        if batches:
            loader.batch_sampler = batches
        if 'source_ratio' in sampler:
            loader.dataset = dict(type='mmengine.ConcatDataset', datasets=[loader.dataset] * 2)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.update(save_best=None, interval=9)
        cfg.train_cfg.update(max_iters=3, dry_run=dry_run)
        runner = RUNNERS.build(cfg)
        runner.train()
        losses.append(runner.message_hub.get_scalar('train/loss').data[0].tolist())
    assert losses[0] == losses[1] and len(losses[0]) == 3


def test_a_rest_that_is_never_drawn_is_not_tried(cfg, launch):
    seg(cfg)
    cfg.model.tasks.seg.decode_head = PSP
    cfg.train_cfg.update(max_iters=3, val_interval=3)
    sampler = dict(type='DefaultSampler', shuffle=True)
    cfg.train_dataloader.seg.update(batch_size=3, sampler=sampler)
    assert launch()[0] == 0


def test_a_metric_that_needs_more_images_stops_no_process(toy_root, tmp_path):
    """The first process computes metrics while the others wait for them."""
    MODELS.register_module(module=TinyBackbone, force=True)

    def trained(rank):
        cfg = config(tmp_path / 'run')
        cfg.train_cfg.update(max_iters=1, val_interval=1)
        cfg.val_evaluator = dict.fromkeys(cfg.val_evaluator, dict(type='FailsOnFew'))
        FailsOnFew.needed = 6
        cfg.val_cfg.pop('score')
        cfg.default_hooks.checkpoint.pop('save_best')
        cfg.launcher = 'pytorch'
        RUNNERS.build(cfg).train()
        return rank

    with joined(trained, tmp_path) as (_, answers):
        assert answers() == [0, 1]


def test_it_can_be_left_out(cfg, tmp_path):
    seg(cfg, loss_decode=dict(type='CrossEntropyLoss', class_weight=[1.0] * 3))
    with pytest.raises(RuntimeError, match='weight tensor'):
        run_tool('train', write_config(cfg, tmp_path / 'config.py'), '--no-dry-run')


def test_check_finds_what_it_finds(cfg, tmp_path, capsys):
    seg(cfg, loss_decode=dict(type='CrossEntropyLoss', class_weight=[1.0] * 3))
    assert run_tool('check', write_config(cfg, tmp_path / 'config.py')) == 2
    assert 'class_weight has 3 numbers' in capsys.readouterr().err
