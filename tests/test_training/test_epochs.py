"""Parts that count epochs: as in their library where one task is trained, else refused."""

import re
import shutil
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from bad_input import only
from conftest import ROOT, classification, single, tiny
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS, LOOPS, PARAM_SCHEDULERS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from allinone.data.samplers import SeededInfiniteSampler
from allinone.data.task_loaders import TaskPart
from allinone.errors import ConfigError
from allinone.registry import LIBRARIES, RUNNERS
from allinone.training import epochs, upstream_hooks
from allinone.training.epochs import (
    in_iterations,
    iterations_per_epoch,
    scheduler_parts,
    translate_loops,
    with_epoch_length,
)
from allinone.training.train_loop import MultiTaskTrainLoop
from allinone.training.upstream_hooks import (
    BY_EPOCH,
    OF_A_TASK,
    REFUSED,
    REPLACED,
    check_hooks,
    hook_parts,
    model_parts,
)

PAGE = ROOT / 'docs/epochs.md'
EPOCH = 2  # iterations of cls in these tests: 16 images in batches of 8


def loader(images, sampler=SeededInfiniteSampler, **options):
    dataset = list(range(images))
    return DataLoader(dataset, sampler=sampler(dataset), **options)


@pytest.mark.parametrize(
    'images, options, micro_batches, processes, iterations',
    [
        (16, dict(batch_size=8), 1, 1, 2),
        (17, dict(batch_size=8), 1, 1, 3),
        (17, dict(batch_size=8, drop_last=True), 1, 1, 2),
        (17, dict(batch_size=8), 2, 1, 2),
        (17, dict(batch_size=2), 1, 4, 3),  # 5 images a process
        (3, dict(batch_size=8, drop_last=True), 1, 1, 1),
        (17, dict(batch_size=8, sampler=DefaultSampler), 1, 1, 3),
    ],
)
def test_an_epoch_is_one_pass_over_the_data_set(
    monkeypatch, images, options, micro_batches, processes, iterations
):
    monkeypatch.setattr(epochs, 'get_world_size', lambda: processes)
    loaders = dict(a=loader(images, **options))
    assert iterations_per_epoch(loaders, dict(a=micro_batches)) == iterations


def test_of_several_tasks_one_must_be_named():
    loaders = dict(a=loader(16, batch_size=8), b=loader(9, batch_size=1))
    assert iterations_per_epoch(loaders) is None
    assert iterations_per_epoch(loaders, source='b') == 9


def test_validations_fall_on_the_same_epochs_as_in_mmengine():
    """12 epochs of 5 iterations; from epoch 10 on, every epoch is validated."""
    options = dict(val_begin=2, val_interval=3, dynamic_intervals=[(10, 1)])
    assert in_iterations(5, 12, **options) == (60, 10, 15, [(46, 5)])
    validated = {False: [], True: []}
    for by_iteration, intervals in ((False, [(10, 1)]), (True, [(46, 5)])):
        length = 5 if by_iteration else 1
        loop = SimpleNamespace(
            dynamic_milestones=[0, intervals[0][0]],
            dynamic_intervals=[3 * length, intervals[0][1]],
        )
        for done in range(1, 12 * length + 1):
            loop.epoch = done
            EpochBasedTrainLoop._decide_current_val_interval(loop)
            if done >= 2 * length and done % loop.val_interval == 0:
                validated[by_iteration].append(done // length)
    assert validated[True] == validated[False] == [3, 6, 9, 10, 11, 12]


@pytest.mark.parametrize(
    'loop, translated',
    [
        (
            dict(type='EpochBasedTrainLoop', max_epochs=3),
            dict(type='MultiTaskTrainLoop', max_epochs=3, val_interval=1),
        ),
        (
            dict(by_epoch=True, max_epochs=3, val_interval=2),
            dict(type='MultiTaskTrainLoop', max_epochs=3, val_interval=2),
        ),
        (
            dict(type='IterBasedTrainLoop', max_iters=3, fast_forward_on_resume=True),
            dict(type='MultiTaskTrainLoop', max_iters=3),
        ),
        (dict(type=EpochBasedTrainLoop), dict(type='MultiTaskTrainLoop', val_interval=1)),
        (
            dict(type='MultiTaskTrainLoop', max_iters=3),
            dict(type='MultiTaskTrainLoop', max_iters=3),
        ),
    ],
)
def test_loops_of_mmengine_become_those_of_the_suite(loop, translated):
    cfg = dict(train_cfg=loop, val_cfg=dict(type='ValLoop', fp16=True), test_cfg={})
    translate_loops(cfg)
    assert cfg['train_cfg'] == translated
    assert cfg['val_cfg'] == dict(type='MultiTaskValLoop', fp16=True)
    assert cfg['test_cfg'] == dict(type='MultiTaskTestLoop')


@pytest.mark.parametrize(
    'key, kind, says',
    [
        ('val_cfg', 'mmdet.TeacherStudentValLoop', "use 'MultiTaskValLoop'"),
        ('test_cfg', 'mmpretrain.RetrievalTestLoop', "use 'MultiTaskTestLoop'"),
    ],
)
def test_other_loops_of_the_libraries_are_refused(key, kind, says):
    with pytest.raises(ConfigError, match=f'^{key}.type is .*{kind.split(".")[1]}.*{says}'):
        translate_loops({key: dict(type=kind)})


SCHEDULES = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
    dict(type='MultiStepLR', begin=0, end=5, milestones=[1, 3], gamma=0.5),
    dict(type='CosineAnnealingLR', begin=2, T_max=3),  # to the end of the training
    dict(type='PolyLR', power=0.9, begin=1, end=4, convert_to_iter_based=True),
]


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, number, mode):
        return dict(loss=self.weight * number.sum())


class Rates(Hook):
    def __init__(self):
        self.values = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.values.append(runner.optim_wrapper.get_lr()['lr'][0])


def rates_of_mmengine(work_dir, lr):
    hook = Rates()
    runner = Runner(
        Line(),
        str(work_dir),
        DataLoader([dict(number=torch.ones(()))] * EPOCH),
        train_cfg=dict(by_epoch=True, max_epochs=5),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=lr)),
        param_scheduler=SCHEDULES,
        default_hooks=dict(checkpoint=None),
        custom_hooks=[hook],
        default_scope='allinone',  # It stays set.
        experiment_name=f'{work_dir.name}_of_mmengine',
        log_level='ERROR',
    )
    runner.train()
    return hook.values


def trained(cfg, *hooks):
    runner = RUNNERS.build(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def by_epoch(work_dir, max_epochs, **options):
    """A training of cls by mmengine's loop of epochs, without validation."""
    cfg = classification(work_dir, **options)
    only(cfg, 'cls')
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
    return cfg


def test_rates_are_those_of_mmengine(toy_root, tmp_path):
    cfg = by_epoch(tmp_path / 'work', 5, param_scheduler=SCHEDULES)
    hook = Rates()
    trained(cfg, hook)
    reference = rates_of_mmengine(tmp_path / 'reference', cfg.optim_wrapper.optimizer.lr)
    assert len(reference) == 10 and len(set(reference)) > 6
    assert hook.values == pytest.approx(reference, rel=1e-12)


class Borders(Hook):
    """What is called when, and what inputs the iterations get."""

    def __init__(self):
        self.calls, self.shapes = [], []

    def before_train_epoch(self, runner):
        self.calls.append(('begin', runner.epoch, runner.iter))

    def after_train_epoch(self, runner):
        self.calls.append(('end', runner.epoch, runner.iter))

    def after_val_epoch(self, runner, metrics=None):
        self.calls.append(('val', runner.epoch, runner.iter))

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        hub = runner.message_hub.get_info('epoch')
        assert (hub, runner.epoch) == (runner.iter // EPOCH,) * 2
        self.shapes.append(tuple(data_batch['cls']['inputs'][0].shape[1:]))


def test_hooks_are_called_where_an_epoch_ends(toy_root, tmp_path):
    cfg = classification(tmp_path / 'work')
    cfg.train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=2)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1, save_best='cls/top1')
    cfg.log_processor = dict(by_epoch=True)
    hook = Borders()
    runner = trained(cfg, hook)
    assert hook.calls == [
        ('begin', 0, 0),
        ('end', 0, 2),
        ('begin', 1, 2),
        ('end', 1, 4),
        ('val', 2, 4),
    ]
    assert (runner.max_epochs, runner.max_iters) == (2, 4)
    saved = {path.name for path in (tmp_path / 'work').glob('*.pth')}
    assert saved == {'iter_2.pth', 'iter_4.pth', 'best_cls_top1_iter_4.pth'}
    (log,) = (tmp_path / 'work').rglob('2*.log')
    text = log.read_text()
    assert 'an epoch is 2 iterations of cls, and training makes 4, for train_cfg.max_epochs' in text
    assert 'Iter(train) [4/4]' in text


@pytest.mark.parametrize(
    'iteration, saved, epoch',
    [
        (5, 2, 2),
        (6, 3, 3),  # saved by a validation, after after_train_epoch
        (6, 2, 2),  # saved in the last iteration of the epoch, before
        (6, 0, 3),  # saved by an earlier version, which counted no epochs
        (5, 0, 2),
    ],
)
def test_a_resumed_run_begins_in_its_epoch(iteration, saved, epoch):
    loop = SimpleNamespace(epoch_length=2, _iter=iteration, _epoch=saved)
    MultiTaskTrainLoop._count_epochs(loop)
    assert loop._epoch == epoch


def test_a_part_of_an_epoch_ends_with_the_training(toy_root, tmp_path):
    cfg = classification(tmp_path / 'work', **{'train_cfg.max_iters': 3})
    only(cfg, 'cls')
    hook = Borders()
    assert trained(cfg, hook).max_epochs == 2
    assert hook.calls == [('begin', 0, 0), ('end', 0, 2), ('begin', 1, 2), ('end', 1, 3)]


SMALL = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=32),
    dict(type='PackInputs'),
]


@pytest.mark.parametrize(
    'hook, workers',
    [
        (
            dict(
                type='mmpretrain.SwitchRecipeHook',
                schedule=[
                    dict(
                        action_epoch=2,
                        train_pipeline=SMALL,
                        batch_augments=dict(augments=[dict(type='CutMix', alpha=1.0)]),
                        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=8),
                    )
                ],
            ),
            1,
        ),
        (
            dict(
                type='mmdet.PipelineSwitchHook',
                switch_epoch=1,
                switch_pipeline=[dict(part, _scope_='mmpretrain') for part in SMALL],
            ),
            0,
        ),
    ],
)
def test_a_switch_is_exact_with_workers_and_after_a_resume(toy_root, tmp_path, hook, workers):
    options = {'train_dataloader.cls.num_workers': workers, 'default_hooks.checkpoint.interval': 1}
    cfg = by_epoch(tmp_path / 'work', 2, custom_hooks=[hook], **options)
    cfg.param_scheduler = dict(type='MultiStepLR', milestones=[1], gamma=0.1)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    borders, rates = Borders(), Rates()
    whole = trained(Config(cfg.to_dict()), borders, rates)
    (before, after) = (shape[0] for shape in borders.shapes[1:3])
    assert [shape[0] for shape in borders.shapes] == [before] * 2 + [32] * 2 and after != before
    assert rates.values == pytest.approx([2e-3, 2e-3, 2e-4, 2e-4])
    # At the border of an epoch, and amid one
    for step in (2, 3) if workers == 0 else (2,):
        work_dir = tmp_path / f'from_{step}'
        work_dir.mkdir()
        shutil.copy(tmp_path / f'work/iter_{step}.pth', work_dir)
        again = Config(cfg.to_dict())
        again.work_dir, again.resume = str(work_dir), True
        again.experiment_name = str(work_dir).replace('/', '_')
        resumed = Borders()
        states = [runner.model.state_dict() for runner in (whole, trained(again, resumed))]
        assert resumed.shapes == borders.shapes[step:]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


WORKING = [
    dict(type='mmdet.CheckInvalidLossHook', interval=1),
    dict(type='mmdet.NumClassCheckHook'),
    dict(type='mmdet.SyncNormHook'),
    dict(type='mmdet.DetVisualizationHook'),
    dict(type='mmdet.TrainAugmentDetVisualizationHook'),
    dict(type='mmpretrain.ClassNumCheckHook'),
    dict(type='mmpretrain.EMAHook', momentum=0.1),
    dict(type='mmpretrain.VisualizationHook'),
    dict(type='mmseg.SegVisualizationHook'),
    dict(type='EarlyStoppingHook', monitor='cls/top1', stopping_threshold=-1.0),
    dict(type='EmptyCacheHook', before_epoch=True, after_iter=True),
    dict(type='SyncBuffersHook'),
]
BY_THE_EPOCH = [
    dict(type='ProfilerHook', json_trace_path='trace.json'),
    dict(type='mmpretrain.SimSiamHook', fix_pred_lr=True, lr=0.5),
    dict(
        type='mmpretrain.WarmupParamHook',
        module_name='head.loss_module',
        param_name='loss_weight',
        warmup_epochs=2,
    ),
]


class Weights(Hook):
    """The weight of the loss in each iteration, after the hooks that set it."""

    priority = 'LOWEST'

    def __init__(self):
        self.values = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.values.append(runner.model.tasks.cls.head.loss_module.loss_weight)


def test_hooks_of_the_libraries_work_for_one_task(toy_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = classification(tmp_path / 'work', custom_hooks=[*WORKING, *BY_THE_EPOCH])
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=2)
    cfg.default_hooks.checkpoint.pop('save_best')
    cfg.visualizer = dict(type='mmdet.DetLocalVisualizer')
    weights = Weights()
    runner = trained(cfg, weights)
    # Stopped early, by the first validation; the weight would be 1 after two epochs.
    assert runner.iter == 4
    assert weights.values == pytest.approx([0, 0.25, 0.5, 0.75])
    # One epoch was profiled.
    assert (tmp_path / 'trace.json').read_text().count('Optimizer.step#') == EPOCH


def test_hooks_of_the_libraries_work_for_several_tasks(toy_root, tmp_path):
    cfg = tiny(tmp_path / 'work', custom_hooks=WORKING)
    only(cfg, 'cls', 'seg', validate=True)
    cfg.train_cfg.val_interval = 1
    cfg.visualizer = dict(type='mmdet.DetLocalVisualizer')
    assert trained(cfg).iter == 1


def test_several_tasks_have_no_epoch(toy_root, tmp_path):
    cfg = tiny(tmp_path / 'work')
    cfg.param_scheduler = [
        dict(type='LinearLR', by_epoch=False, end=2),
        dict(type='MultiStepLR', begin=0, end=12, milestones=[8, 11]),
    ]
    with pytest.raises(ConfigError) as error:
        RUNNERS.build(cfg).train()
    assert str(error.value) == (
        'param_scheduler.1: MultiStepLR counts epochs (by_epoch=True, which is the default), but '
        'several tasks are trained, and an epoch is 2 iterations for cls, 8 iterations for det, 8 '
        'iterations for seg; give by_epoch=False and iterations, or add '
        'convert_to_iter_based=True and epoch_length=ITERATIONS'
    )


@pytest.mark.parametrize(
    'change, says',
    [
        (
            dict(train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=12, _delete_=True)),
            'train_cfg.max_epochs: training is to end after 12 epochs, but several .*max_iters',
        ),
        (
            {'default_hooks.checkpoint': dict(type='CheckpointHook', interval=1, _delete_=True)},
            'default_hooks.checkpoint: CheckpointHook saves every 1 epochs .*by_epoch=False',
        ),
        (
            dict(custom_hooks=[dict(type='EMAHook', begin_epoch=2)]),
            'custom_hooks.0.begin_epoch is 2, .*give begin_iter',
        ),
        (
            dict(custom_hooks=[dict(type='mmpretrain.SimSiamHook', fix_pred_lr=True, lr=1)]),
            'custom_hooks.0: SimSiamHook counts epochs .*, but several .*adjust_by_epoch=False',
        ),
        (
            {'log_processor.custom_cfg': [dict(data_src='loss', window_size='epoch')]},
            "log_processor.custom_cfg.0.window_size is 'epoch', .*'global'",
        ),
    ],
)
def test_the_program_refuses_epochs_of_several_tasks(cfg, refused, change, says):
    only(cfg, 'cls', 'seg')
    cfg.merge_from_dict(change)
    assert re.match(says, refused())


def test_schedulers_that_need_no_epoch_of_a_task():
    sound = [
        dict(type='LinearLR', by_epoch=False, end=2),
        dict(type='ReduceOnPlateauLR', monitor='cls/top1'),
        dict(type='StepLR', step_size=3, convert_to_iter_based=True, epoch_length=7),
    ]
    counting = [dict(type='StepLR', step_size=3, convert_to_iter_based=True), dict(type='PolyLR')]
    parts = list(scheduler_parts(dict(a=sound, b=counting)))
    assert [part.key for part in parts] == ['param_scheduler.b.0', 'param_scheduler.b.1']
    # 20 iterations are 3 epochs of 7.
    assert with_epoch_length(sound, None, 20) == [*sound[:2], dict(sound[2], end=3)]
    assert with_epoch_length(counting, 5, 20)[0] == dict(counting[0], epoch_length=5, end=4)


def test_without_a_word_on_checkpoints_the_end_is_saved(toy_root, tmp_path):
    """mmengine's default would be each epoch."""
    cfg = tiny(tmp_path / 'work', experiment_name=str(tmp_path).replace('/', '_'))
    only(cfg, 'cls', 'seg')
    cfg.default_hooks.pop('checkpoint')
    cfg.train_cfg.max_iters = 1
    trained(cfg)
    assert [path.name for path in (tmp_path / 'work').glob('*.pth')] == ['iter_1.pth']
    (log,) = (tmp_path / 'work').rglob('2*.log')
    assert 'default_hooks.checkpoint: only the end of the training is saved' in log.read_text()


class Upstream(torch.nn.Module):
    """What hooks of the libraries use of a model."""

    def __init__(self):
        super().__init__()
        self.bbox_head = torch.nn.Module()
        self.bbox_head.use_l1 = False
        self.epochs = []
        self.set_epoch = self.epochs.append


class Images(list):
    """What they use of a data set."""

    pipeline = ()
    _skip_type_keys = None

    def update_skip_type_keys(self, keys):
        self._skip_type_keys = keys


def joint(**models):
    """A runner of these tasks, as far as hooks see it."""
    sets = {task: SimpleNamespace(dataset=Images()) for task in models}
    restarted = []
    loaders = SimpleNamespace(
        loaders={task: SimpleNamespace(dataset=part) for task, part in sets.items()},
        parts=[TaskPart(task, task, task, part.dataset, 0) for task, part in sets.items()],
        restart=restarted.append,
    )
    loop = SimpleNamespace(dataloader=loaders, epoch_length=4, max_iters=42)
    return SimpleNamespace(
        model=SimpleNamespace(tasks=models),
        _train_loop=loop,
        _val_loop=loop,
        logger=SimpleNamespace(info=print),
        epoch=0,
        restarted=restarted,
        sets={task: part.dataset for task, part in sets.items()},
    )


def call(runner, kind, stage='before_train_epoch', **options):
    hook = kind if isinstance(kind, Hook) else HOOKS.build(dict(type=kind, **options))
    upstream_hooks.call_hook(hook, runner, stage, {})
    return hook


def test_yolox_switches_its_own_task_and_data_set():
    runner = joint(det=Upstream())
    hook = call(runner, 'mmdet.YOLOXModeSwitchHook', num_last_epochs=2)
    for runner.epoch in range(1, 11):
        # 42 iterations of 4 are 10.5 epochs: the last two begin in that of number 8, from 0.
        call(runner, hook)
        assert runner.model.tasks['det'].bbox_head.use_l1 == (runner.epoch >= 8)
        assert runner.restarted == (['det'] if runner.epoch >= 8 else [])
    assert runner.sets['det']._skip_type_keys == hook.skip_type_keys


def test_a_model_is_told_its_epoch():
    runner = joint(det=Upstream())
    runner.epoch = 3
    call(runner, 'mmdet.SetEpochInfoHook')
    assert runner.model.tasks['det'].epochs == [3]


@pytest.mark.parametrize('kind', ['mmdet.NumClassCheckHook', 'mmpretrain.ClassNumCheckHook'])
def test_the_classes_of_each_task_are_compared(cfg, refused, kind):
    only(cfg, 'cls', 'seg')
    cfg.custom_hooks = [dict(type=kind)]
    cfg.model.tasks.seg.decode_head.num_classes = 6
    assert re.match(r'train_dataloader.seg.*6', refused())


def test_what_a_hook_needs_is_looked_for_before_the_first_step(toy_root, tmp_path):
    cfg = by_epoch(tmp_path / 'work', 1, custom_hooks=[dict(type='mmdet.YOLOXModeSwitchHook')])
    with pytest.raises(ConfigError) as error:
        RUNNERS.build(cfg).train()
    assert str(error.value) == (
        'custom_hooks.0: YOLOXModeSwitchHook uses bbox_head.use_l1 of the model and '
        'update_skip_type_keys of the data set, which no trained task has; remove it'
    )
    cfg.custom_hooks = [
        dict(type='mmdet.PipelineSwitchHook', switch_epoch=1, switch_pipeline=[dict(type='Nix')])
    ]
    with pytest.raises(ConfigError, match=r'^custom_hooks.0.switch_pipeline.*Nix'):
        RUNNERS.build(cfg).train()


def test_averages_begin_at_an_epoch(toy_root, tmp_path):
    """As from the iteration that begins it, bit for bit."""
    states = []
    for number, begin in enumerate((dict(begin_epoch=2), dict(begin_iter=3))):
        hook = dict(type='EMAHook', momentum=0.5, **begin)
        cfg = by_epoch(tmp_path / f'{number}', 2, custom_hooks=[hook])
        trained(cfg)
        states.append(torch.load(tmp_path / f'{number}/iter_4.pth', weights_only=False))
    first, second = (state['state_dict'] for state in states)
    assert all(torch.equal(first[name], second[name]) for name in first)
    trained_only = states[0]['ema_state_dict']
    assert any(
        not torch.equal(trained_only[f'module.{name}'], first[name])
        for name in first
        if f'module.{name}' in trained_only
    )
    cfg.custom_hooks = [dict(type='EMAHook', begin_epoch=3)]
    with pytest.raises(ConfigError, match='begin_epoch of EMAHook is 3, but .* ends at epoch 2'):
        RUNNERS.build(cfg).train()


def test_a_head_that_changes_at_an_epoch_is_found():
    head = torch.nn.Module()
    head.initial_epoch = 4
    (part,) = model_parts(dict(det=torch.nn.Sequential(head), cls=torch.nn.Identity()))
    assert part.key == 'model.tasks.det.train_cfg.initial_epoch'
    head.initial_epoch = 0
    assert not list(model_parts(dict(det=torch.nn.Sequential(head))))


class AtEpochs(Hook):
    def _before_epoch(self, runner, mode='train'):
        """Something."""


def test_hooks_of_the_users_own_are_named():
    warned = []
    runner = SimpleNamespace(
        hooks=[AtEpochs(), Rates(), HOOKS.build(dict(type='EmptyCacheHook'))],
        logger=SimpleNamespace(warning=warned.append),
    )
    upstream_hooks.warn_of_own_hooks(runner)
    assert len(warned) == 1 and warned[0].startswith('AtEpochs acts where an epoch begins')


def test_hooks_that_count_epochs_are_found():
    """Also by their default, and of built hooks; not where they count iterations."""
    switch = dict(switch_epoch=0, switch_pipeline=[])
    hooks = [
        dict(type='EMAHook'),
        dict(type='EMAHook', begin_epoch=2),
        dict(type='ProfilerHook', by_epoch=False),
        dict(type='ProfilerHook'),
        dict(type='mmpretrain.SimSiamHook', adjust_by_epoch=False),
        HOOKS.build(dict(type='mmpretrain.SimSiamHook', fix_pred_lr=True, lr=1)),
        dict(type='mmdet.YOLOXModeSwitchHook'),
        dict(type='mmdet.PipelineSwitchHook', **switch),
        dict(type='mmdet.SyncNormHook'),
    ]
    found = {part.key: part.what for part in hook_parts(dict(custom_hooks=hooks))}
    assert found == {
        'custom_hooks.1': 'EMAHook counts epochs (begin_epoch=2)',
        'custom_hooks.3': 'ProfilerHook counts epochs (by_epoch=True)',
        'custom_hooks.5': 'SimSiamHook counts epochs (adjust_by_epoch=True)',
        'custom_hooks.6': 'YOLOXModeSwitchHook counts epochs',
        'custom_hooks.7': 'PipelineSwitchHook counts epochs (switch_epoch=0)',
    }


@pytest.mark.parametrize('name', sorted(REFUSED))
def test_hooks_that_cannot_work_are_refused_by_name(name):
    option = REFUSED[name][0]
    library = next(
        lib for lib in ('mmpretrain', 'mmdet', 'mmseg', 'mmengine') if in_hooks(lib, name)
    )
    part = dict(type=f'{library}.{name}')
    cfg = dict(custom_hooks=[part])
    if option:
        check_hooks(cfg)  # It is off.
        part[option] = True
    with pytest.raises(ConfigError, match=f'^custom_hooks.0.*{name}.*; '):
        check_hooks(cfg)


def in_hooks(library, name):
    return any(lib == library and kind.__name__ == name for lib, kind in registered(HOOKS))


def registered(root):
    """Library and class of each entry of a registry of mmengine, and of the libraries' children."""
    for library in ('mmengine', *LIBRARIES):
        import_module(f'{library}.registry')
        registry = root if library == 'mmengine' else root.children.get(library)
        if registry is None:
            continue  # mmseg has no loops.
        registry.import_from_location()
        for kind in registry.module_dict.values():
            if kind.__module__.split('.')[0] == library:
                yield library, kind


@pytest.mark.parametrize('root', [HOOKS, LOOPS, PARAM_SCHEDULERS], ids=lambda root: root.name)
def test_the_page_names_every_part_of_the_libraries(root):
    rows = [row[:2] for row in documented()]
    found = {(kind.__name__, library) for library, kind in registered(root)}
    assert len(found) > 4 and found <= set(rows)
    everything = {
        (kind.__name__, lib)
        for part in (HOOKS, LOOPS, PARAM_SCHEDULERS)
        for lib, kind in registered(part)
    }
    assert set(rows) == everything


def documented():
    """Name, library and verdict in the tables of the page."""
    return re.findall(r'^\| `(\w+)` \| (\w+) \| ([\w ]+?) \|', PAGE.read_text(), re.M)


def test_the_page_says_what_the_code_does():
    for name, library, verdict in documented():
        if library == 'mmengine' and name == 'CheckpointHook':
            expected = 'one task'
        elif name in BY_EPOCH:
            expected = 'one task'
        elif name in REFUSED:
            expected = 'refused'
        elif name in OF_A_TASK:
            expected = 'each task'
        elif name in REPLACED:
            expected = 'translated'
        else:
            expected = '(works|one task|translated|refused)'
        assert re.fullmatch(expected, verdict), (name, verdict)


def test_the_tables_name_hooks_that_there_are():
    names = {kind.__name__ for _, kind in registered(HOOKS)}
    assert {*BY_EPOCH, *OF_A_TASK, *REFUSED, *REPLACED} <= names


def test_one_detection_task_by_epochs(toy_root, tmp_path):
    """A second kind of task, with its schedule, its loop and its checkpoints in epochs."""
    cfg = single('det', 'bbox_mAP', tmp_path / 'work')
    only(cfg, 'det')
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    cfg.train_dataloader.det.batch_size = 8
    cfg.param_scheduler = dict(type='MultiStepLR', milestones=[1], gamma=0.1)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=2)
    rates = Rates()
    trained(cfg, rates)
    assert rates.values == pytest.approx([2e-3, 2e-3, 2e-4, 2e-4])
    assert [path.name for path in (tmp_path / 'work').glob('*.pth')] == ['iter_4.pth']
