"""Schedules, intervals and the end of a training that follow its length."""

from math import cos, pi

import pytest
import torch
from conftest import ROOT, classification, run_tool, tiny, write_config
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from allinone.config.fractions import check_iterations, interval_in, point_in
from allinone.config.loading import load_config
from allinone.errors import AllInOneError, ConfigError
from allinone.registry import RUNNERS
from allinone.training.hooks import CheckpointHook
from allinone.training.passes import max_iters_of
from allinone.training.run_manifest import changes, flat_config
from allinone.training.schedule_ends import ends_of_schedules
from allinone.training.schedule_length import (
    check_cycles,
    contradictions,
    follow_length,
    keeping_ends,
)

LR = 2e-3
COSINE = dict(type='CosineAnnealingLR', by_epoch=False)
EPOCHS = dict(by_epoch=True, convert_to_iter_based=True, epoch_length=8)
LINEAR = dict(type='LinearLR', start_factor=0.01, by_epoch=False)
FOLLOWING = [LINEAR, dict(COSINE, eta_min=0)]


def written_out(max_iters, warmup, factor=0.01):
    return [
        dict(type='LinearLR', start_factor=factor, by_epoch=False, begin=0, end=warmup),
        dict(
            type='CosineAnnealingLR',
            by_epoch=False,
            begin=warmup,
            end=max_iters,
            T_max=max_iters - warmup,
            eta_min=0,
        ),
    ]


def rates(schedulers, max_iters, lr=LR):
    """The learning rate of each iteration, by mmengine's schedulers."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(()))], lr=lr)
    wrapper = OptimWrapper(optimizer)
    built = [
        PARAM_SCHEDULERS.build(
            dict(dict(end=max_iters), **part), default_args=dict(optimizer=wrapper)
        )
        for part in schedulers
    ]
    found = []
    for _ in range(max_iters):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in built:
            scheduler.step()
    return found


RECIPES = {
    'toy/mobilenetv2_toy': (300, 30, 100, 0.01),
    'traffic_mini/mobilenetv2_joint': (1200, 100, 600, 0.01),
    'traffic_mini/mobilenetv2_composed': (280, 30, 140, 0.01),
    'track1/swin-l_dino_mask2former_track1': (60000, 1000, 5000, 0.001),
    'track1/convnext-t_rtmdet_upernet_track1': (60000, 1000, 5000, 0.001),
    'track1/mobilenetv2_fcos_fcn_track1': (40000, 500, 4000, 0.01),
    'track1/vit-b_dino_setr_track1': (52440, 200, 1311, 0.01),
}


def recipe(name, *options):
    cfg = load_config(str(ROOT / f'configs/{name}.py'), list(options))
    loop = cfg.train_cfg
    found = follow_length(
        cfg.param_scheduler, loop.max_iters, point_in(loop.warmup, loop.max_iters)
    )
    assert 'interval' not in cfg.default_hooks.checkpoint
    return found, interval_in(loop.val_interval, loop.max_iters)


@pytest.mark.parametrize('name', RECIPES)
def test_recipes_have_the_schedule_that_they_had_in_iterations(name):
    max_iters, warmup, val_interval, factor = RECIPES[name]
    found, interval = recipe(name)
    assert interval == val_interval
    expected = written_out(max_iters, warmup, factor)
    last = dict(expected[1])
    assert found == [expected[0], {key: last[key] for key in last if key not in ('end', 'T_max')}]
    # A run that was recorded with the numbers written out is the same run.
    before, now = (
        flat_config(dict(param_scheduler=schedulers, train_cfg=dict(max_iters=max_iters)))
        for schedulers in (expected, found)
    )
    assert before | ends_of_schedules(before) == now | ends_of_schedules(now)
    if max_iters < 2000:
        assert rates(found, max_iters) == rates(expected, max_iters)


def test_a_shorter_run_of_a_recipe_has_the_whole_schedule():
    schedulers, interval = recipe('traffic_mini/mobilenetv2_joint', 'train_cfg.max_iters=60')
    assert interval == 30
    found = rates(schedulers, 60)
    # Warm-up of a twelfth, 5 iterations, and a cosine over 55
    assert found[0] == LR * 0.01
    assert found[4] == pytest.approx(LR)
    assert found[5:] == pytest.approx([LR * (1 + cos(pi * i / 55)) / 2 for i in range(55)])
    assert found[-1] < LR / 1000


@pytest.mark.parametrize(
    'cfg, warmup, expected',
    [
        (FOLLOWING, None, FOLLOWING),
        (COSINE, None, COSINE),
        (None, None, None),
        (None, 3, [dict(LINEAR, begin=0, end=3)]),
        # No one describes the warm-up
        (COSINE, 3, [dict(COSINE, begin=3), dict(LINEAR, begin=0, end=3)]),
        # A warm-up of one iteration would stay at its start factor.
        (FOLLOWING, 1, [dict(COSINE, eta_min=0, begin=0)]),
        (FOLLOWING, 0, [dict(COSINE, eta_min=0, begin=0)]),
        # A warm-up of its own holds, and an empty list.
        ([dict(LINEAR, end=5), COSINE], 3, [dict(LINEAR, end=5), COSINE]),
        ([], 3, []),
        *(
            ([own, COSINE], 3, [own, COSINE])
            for own in (
                dict(type='mmdet.QuadraticWarmupLR', by_epoch=False, end=4),
                dict(type='ConstantLR', by_epoch=False, factor=0.1, end=4),
                dict(type='OneCycleLR', by_epoch=False, eta_max=0.1, total_steps=40),
                dict(type='LinearLR', start_factor=0.1, begin=0, end=2),  # epochs
            )
        ),
        # As products give them
        (
            [dict(LINEAR, begin=0.0, end=8.0), dict(COSINE, begin=8.0)],
            None,
            [dict(LINEAR, begin=0, end=8), dict(COSINE, begin=8)],
        ),
        # Epochs may be fractions where they are converted.
        (
            COSINE | EPOCHS | dict(begin=0.5, end=1.5),
            None,
            COSINE | EPOCHS | dict(begin=0.5, end=1.5),
        ),
        # A decay that is linear, and a begin that is given
        (
            [dict(LINEAR, start_factor=1.0, end_factor=0.0), dict(COSINE, begin=1)],
            3,
            [
                dict(LINEAR, start_factor=1.0, end_factor=0.0, begin=3),
                dict(COSINE, begin=1),
                dict(LINEAR, begin=0, end=3),
            ],
        ),
        # Milestones count from the begin of the training.
        (
            [LINEAR, dict(type='MultiStepLR', by_epoch=False, milestones=[0.5, 30], begin=0.25)],
            3,
            [
                dict(LINEAR, begin=0, end=3),
                dict(type='MultiStepLR', by_epoch=False, milestones=[10, 30], begin=10),
            ],
        ),
        # Epochs stay epochs.
        (
            [LINEAR, dict(type='PolyLR', power=0.9)],
            3,
            [dict(LINEAR, begin=0, end=3), dict(type='PolyLR', power=0.9)],
        ),
        # Longer than the training, which is then without a decay
        ([COSINE], 50, [dict(COSINE, begin=50, end=51), dict(LINEAR, begin=0, end=50)]),
        (dict(a=COSINE), None, dict(a=COSINE)),
    ],
)
def test_schedulers_in_iterations_of_a_training_of_40(cfg, warmup, expected):
    assert follow_length(cfg, 40, warmup) == expected


@pytest.mark.parametrize(
    'value, length, point, interval',
    [(1 / 3, 100, 33, 34), (0.07, 100, 7, 7), (1 / 40, 52440, 1311, 1311), (0.1, 4, 0, 1)],
)
def test_fractions_are_rounded(value, length, point, interval):
    assert (point_in(value, length), interval_in(value, length)) == (point, interval)
    assert point_in(7, length) == interval_in(7, length) == 7


@pytest.mark.parametrize('value', [1.0, 0.0, -0.5, 2.5, True, '3', 0])
def test_numbers_that_are_no_iterations_are_refused(value):
    with pytest.raises(ConfigError, match=r'^train_cfg.warmup is .*; give a whole number of at'):
        check_iterations('train_cfg.warmup', value)


@pytest.mark.parametrize(
    'part, says',
    [
        (
            dict(type='CosineAnnealingLR', begin=0.1),
            r'^param_scheduler\.0\.begin is 0\.1, a fraction of the training, but the scheduler '
            r'counts epochs .*; give by_epoch=False$',
        ),
        (dict(COSINE, end=1.5), r'^param_scheduler\.0\.end is 1\.5; give a whole number of at'),
        (
            dict(type='MultiStepLR', by_epoch=False, milestones=[3, 1.5]),
            r'^param_scheduler\.0\.milestones\.1 is 1\.5; give',
        ),
    ],
)
def test_fractions_that_mean_nothing_are_refused(part, says):
    with pytest.raises(ConfigError, match=says):
        follow_length([part], 40)


@pytest.mark.parametrize(
    'cfg, says',
    [
        (FOLLOWING, []),
        (written_out(40, 4), []),
        (None, []),
        (dict(LINEAR, end=4), []),  # a warm-up, and then a rate that stays
        ([dict(COSINE, end=20), dict(type='ConstantLR', by_epoch=False, begin=20, end=40)], []),
        (dict(type='MultiStepLR', by_epoch=False, end=20, milestones=[10]), []),
        (dict(type='CosineAnnealingLR', T_max=3, end=3), []),  # of epochs
        (
            written_out(60, 4),
            [
                'param_scheduler.1.end is 60, but training ends at iteration 40, amid the '
                'schedule; leave out end and T_max, so that it follows'
            ],
        ),
        (
            written_out(20, 4),
            [
                'param_scheduler.1.end is 20, but training ends at iteration 40: from iteration 20 '
                'on, the value stays where the schedule ended; leave out end and T_max, so'
            ],
        ),
        (
            dict(COSINE, T_max=10, begin=5),
            [
                'param_scheduler.T_max is 10, but the schedule acts on 35 iterations, so the value '
                'rises again after iteration 15; leave out T_max'
            ],
        ),
        (
            dict(COSINE, T_max=50),
            [
                'param_scheduler.T_max is 50, but the schedule acts on 40 iterations only, so the '
                'value does not come down'
            ],
        ),
        (
            dict(a=[dict(COSINE, begin=50, end=90)]),
            [
                'param_scheduler.a.0 begins at iteration 50, but training ends at iteration 40, so '
                'it never acts; give train_cfg.warmup as a fraction'
            ],
        ),
    ],
)
def test_numbers_that_contradict_the_length_are_told(cfg, says):
    found = list(contradictions(cfg, dict(iteration=40)))
    assert len(found) == len(says)
    for sentence, start in zip(found, says, strict=True):
        assert sentence.startswith(start)


def test_a_cycle_that_fails_amid_the_training_is_refused():
    """mmengine's own error comes at the iteration after the cycle."""
    cycle = dict(type='OneCycleLR', by_epoch=False, eta_max=LR, total_steps=8)
    for length, fails in ((8, False), (9, False), (10, True)):
        if fails:
            with pytest.raises(ValueError, match='number of total steps is 8'):
                rates([cycle], length)
            with pytest.raises(
                ConfigError, match=r'^param_scheduler\.0\.total_steps is 8, but .*10'
            ):
                check_cycles([cycle], length)
        else:
            rates([cycle], length)
            check_cycles([cycle], length)


LOADERS = dict(cls=None, det=None)


@pytest.mark.parametrize(
    'epochs, schedule, says',
    [
        (3, None, r"^train_cfg\.epochs is 3; give dict\(source='cls', n=12\)$"),
        (dict(source='cls'), None, r"^train_cfg\.epochs is {'source': 'cls'}; give dict"),
        (dict(n=2, task='cls'), None, r'^train_cfg\.epochs is .*; give dict'),
        (dict(source='cls', n=1.5), None, r'^train_cfg\.epochs\.n is 1\.5; give a whole number'),
        (dict(n=2), None, r"without a source, but several tasks .*; add the one of \['cls', 'det'"),
        (dict(source='seg', n=2), None, r"^train_cfg\.epochs\.source is 'seg'; the choices are"),
        (
            dict(source='det', n=2),
            'RoundRobin',
            r"type 'RoundRobin' det is not in every iteration, .*; give max_iters instead$",
        ),
    ],
)
def test_epochs_that_have_no_length_are_refused(epochs, schedule, says):
    with pytest.raises(ConfigError, match=says):
        max_iters_of(epochs, LOADERS, {}, schedule)


def train(cfg):
    runner = RUNNERS.build(cfg)
    runner.train()
    return runner


def built(cfg):
    """Its training loop, hooks and schedulers, as they are before the first iteration."""
    runner = RUNNERS.build(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    return runner


def checkpoint_hook(runner):
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    return hook


def test_several_tasks_are_trained_for_passes_over_one_of_them(toy_root, tmp_path):
    """8 iterations of det, 16 images two at a time, are a pass."""
    cfg = tiny(
        tmp_path / 'work',
        experiment_name=tmp_path.name,
        **{
            'train_cfg.max_iters': None,
            'train_cfg.val_interval': None,
            'train_cfg.epochs': dict(source='det', n=3),
            'train_cfg.warmup': 4,
        },
    )
    cfg.param_scheduler = dict(COSINE)
    del cfg.default_hooks.checkpoint['interval']
    runner = built(cfg)
    assert (runner.max_iters, runner.train_loop.val_interval) == (24, 8)
    assert checkpoint_hook(runner).interval == 8
    cosine, linear = runner.param_schedulers
    assert (linear.begin, linear.end) == (0, 4)
    assert (cosine.begin, cosine.end, cosine.T_max) == (4, 24, 20)


def following(work_dir, max_iters, **options):
    """The toy classifier with the schedule of its config, checked and saved as its config says."""
    cfg = classification(
        work_dir,
        **{
            'train_cfg.max_iters': max_iters,
            'train_cfg.warmup': 0.1,
            'train_cfg.val_interval': 1 / 3,
            'param_scheduler': FOLLOWING,
            **options,
        },
    )
    del cfg.default_hooks.checkpoint['interval']
    return cfg


def test_a_toy_run_of_60_validates_and_saves_at_its_thirds(toy_root, tmp_path):
    runner = built(following(tmp_path / 'work', 60))
    assert (runner.train_loop.val_interval, checkpoint_hook(runner).interval) == (20, 20)
    linear, cosine = runner.param_schedulers
    assert (linear.end, cosine.begin, cosine.end, cosine.T_max) == (6, 6, 60, 54)


def test_a_fraction_is_an_interval_of_checkpoints(toy_root, tmp_path):
    cfg = following(tmp_path / 'work', 60)
    cfg.default_hooks.checkpoint.update(interval=0.25, by_epoch=True)
    hook = checkpoint_hook(built(cfg))
    assert (hook.interval, hook.by_epoch, hook.filename_tmpl) == (15, False, 'iter_{}.pth')


def test_a_run_without_a_scheduler_can_warm_up(toy_root, tmp_path):
    cfg = following(tmp_path / 'work', 60, **{'param_scheduler': None})
    assert built(cfg).param_schedulers is None
    cfg.pop('param_scheduler')
    (linear,) = built(cfg).param_schedulers
    assert (linear.begin, linear.end) == (0, 6)


def test_a_following_run_is_not_made_longer(toy_root, tmp_path):
    """Its steps so far would have had other learning rates. Where they would not, it is."""
    work = tmp_path / 'work'
    straight = train(following(work, 4))
    written = Config(following(work, 4, param_scheduler=written_out(4, 0)[1:]).to_dict())
    written.train_cfg.update(warmup=None, val_interval=2)
    written.resume = True
    # What it follows, written out, is the same run.
    again = train(written)
    assert again.iter == straight.iter == 4
    longer = following(work, 8)
    longer.resume = True
    with pytest.raises(AllInOneError) as error:
        train(longer)
    assert (
        'param_scheduler.0.T_max was 4 and is 8 (it follows the length of the training)'
    ) in str(error.value)


def flat(**options):
    return {
        'train_cfg.max_iters': '40',
        **{key.replace('__', '.'): v for key, v in options.items()},
    }


def test_the_manifest_names_what_a_schedule_takes_from_the_length():
    plain = {'param_scheduler.type': "'PolyLR'", 'param_scheduler.by_epoch': 'False'}
    assert ends_of_schedules(flat(**plain)) == {
        'param_scheduler.begin': '0',
        'param_scheduler.end': '40',
    }
    # What is as it was before, however long the training
    for kind in ("'MultiStepLR'", "'ExponentialLR'"):
        assert ends_of_schedules(flat(**plain | {'param_scheduler.type': kind})) == {}
    period = {'param_scheduler.type': "'CosineAnnealingLR'", 'param_scheduler.T_max': '40'}
    assert ends_of_schedules(flat(**plain | period)) == {}
    epochs = {'param_scheduler.type': "'PolyLR'", 'train_cfg.max_epochs': '3'}
    assert ends_of_schedules(epochs)['param_scheduler.end'] == '3'
    records = [
        dict(
            config=flat(**plain) | {'train_cfg.max_iters': length},
            processes=1,
            seed=0,
            datasets={},
            environment={},
            git=None,
        )
        for length in ('40', '50')
    ]
    other, same = changes(*records, False, False)
    assert other == ['param_scheduler.end was 40 and is 50 (it follows the length of the training)']
    assert same == ['train_cfg.max_iters was 40 and is 50']


def test_milestones_beyond_the_first_end_come_in_a_longer_training():
    """mmengine's state has the end of the training that saved it."""

    def scheduler(end):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(()))], lr=1.0)
        cfg = dict(type='MultiStepLR', by_epoch=False, milestones=[6], end=end)
        return PARAM_SCHEDULERS.build(cfg, default_args=dict(optimizer=OptimWrapper(optimizer)))

    state = scheduler(4).state_dict()
    longer = scheduler(8)
    with keeping_ends([longer]):
        longer.load_state_dict(state)
    assert longer.end == 8
    poly = dict(type='PolyLR', by_epoch=False)
    saved, later = (
        PARAM_SCHEDULERS.build(
            dict(poly, end=end),
            default_args=dict(
                optimizer=OptimWrapper(
                    torch.optim.SGD([torch.nn.Parameter(torch.ones(()))], lr=1.0)
                )
            ),
        )
        for end in (4, 8)
    )
    with keeping_ends(dict(a=[later])):
        later.load_state_dict(saved.state_dict())
    assert later.end == 4  # its curve ends there


def test_intervals_beyond_the_end_are_told(toy_root, tmp_path, capsys):
    cfg = classification(tmp_path / 'work', **{'train_cfg.val_interval': 9})
    cfg.default_hooks.checkpoint.interval = 7
    run_tool('check', write_config(cfg, tmp_path / 'config.py'))
    said = capsys.readouterr().out
    assert 'train_cfg.val_interval is 9, but training ends at iteration 4: only its end is' in said
    assert 'CheckpointHook.interval is 7 iterations, but training ends at iteration 4: only' in said


@pytest.mark.parametrize(
    'options, says',
    [
        ({'train_cfg.val_interval': 1.5}, r'train_cfg\.val_interval is 1\.5; give a whole number'),
        ({'train_cfg.warmup': -1}, r'train_cfg\.warmup is -1; give a whole number of at least 0'),
        (
            {'default_hooks.checkpoint.interval': 2.5},
            r'default_hooks\.checkpoint\.interval is 2\.5; give a whole number of at least 1, or',
        ),
        (
            {'train_cfg.epochs': dict(n=1)},
            r'max_iters is 4, train_cfg\.max_epochs is None and train_cfg\.epochs is .*; give one',
        ),
    ],
)
def test_numbers_of_the_loop_that_mean_nothing_are_refused(toy_root, tmp_path, options, says):
    with pytest.raises(ConfigError, match=says):
        built(classification(tmp_path / 'work', **options))


def stopping(work_dir, monitor='cls/top1', **options):
    cfg = classification(
        work_dir, **{'train_cfg.max_iters': 12, 'train_cfg.val_interval': 2, 'custom_hooks': []}
    )
    # No learning: the metric stays.
    cfg.optim_wrapper.optimizer.lr = 1e-12
    cfg.optim_wrapper.optimizer.weight_decay = 0.0
    cfg.default_hooks.checkpoint.update(interval=5, max_keep_ckpts=-1, save_best=None)
    cfg.custom_hooks = [dict(type='EarlyStoppingHook', monitor=monitor, patience=2, **options)]
    return cfg


def test_a_training_that_does_not_improve_stops_and_is_saved(toy_root, tmp_path):
    """Validated after 2, 4 and 6: the first is the best, and two are no better."""
    runner = train(stopping(tmp_path / 'work'))
    assert runner.iter == 6
    assert sorted(path.name for path in (tmp_path / 'work').glob('iter_*')) == [
        'iter_5.pth',
        'iter_6.pth',
    ]
    cfg = stopping(tmp_path / 'work')
    cfg.resume = True
    assert train(cfg).iter == 6


def test_a_resumed_training_stops_where_one_without_an_interruption_does(toy_root, tmp_path):
    """From iteration 5, after two validations; the count was 1."""
    work = tmp_path / 'work'
    train(stopping(work))
    (work / 'iter_6.pth').unlink()
    cfg = stopping(work)
    cfg.update(resume=True, load_from=str(work / 'iter_5.pth'))
    assert train(cfg).iter == 6


def test_the_score_can_stop_a_training(toy_root, tmp_path):
    cfg = stopping(tmp_path / 'work', monitor='score')
    cfg.val_cfg.score = {'cls/top1': 1}
    assert train(cfg).iter == 6


@pytest.mark.parametrize(
    'monitor, says',
    [
        ('score', r"^monitor of EarlyStoppingHook is 'score', but val_cfg has no score; give"),
        ('cls/mAP', r"^monitor of EarlyStoppingHook names 'cls/mAP', but val_evaluator\.cls gives"),
        ('det/mAP', r"^monitor of EarlyStoppingHook names \['det/mAP'\], but validation evaluates"),
    ],
)
def test_a_metric_that_no_validation_gives_is_refused(toy_root, tmp_path, monitor, says):
    with pytest.raises(ConfigError, match=says):
        train(stopping(tmp_path / 'work', monitor=monitor))
    assert not list(tmp_path.rglob('*.pth'))
