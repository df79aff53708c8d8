"""Misspelt, missing and contradictory config keys: refused with one sentence, nothing half-written."""

import re

import pytest
from bad_input import only, put, without

from allinone.config.loading import load_config
from allinone.errors import AllInOneError, ConfigError, DataError

SEG = dict(batch_size=1)


@pytest.mark.parametrize(
    'change, says',
    [
        (
            put('train_dataloader.depth', SEG),
            "train_dataloader has ['depth'], which model.tasks does not have (['cls', 'det', 'seg'])",
        ),
        (
            put('val_dataloader.depth', SEG),
            "val_dataloader has ['depth'], which model.tasks does not",
        ),
        (
            put('val_evaluator.depth', SEG),
            "val_evaluator has ['depth'], which model.tasks does not",
        ),
        (without('train_dataloader.seg'), "model.tasks has ['seg'], but train_dataloader does not"),
        (
            without('model.tasks.seg'),
            "train_dataloader has ['seg'], which model.tasks does not have",
        ),
        (without('val_evaluator.seg'), "val_dataloader has ['seg'], but val_evaluator does not"),
        (without('val_dataloader.seg'), "val_evaluator has ['seg'], but val_dataloader does not"),
        (without('val_evaluator'), 'the config has val_dataloader, val_cfg but not val_evaluator'),
        (
            put('train_dataloader.cls', 8),
            'train_dataloader.cls is 8; give the config of a dataloader',
        ),
        (put('balncer', dict(type='FixedWeights')), "has 'balncer'; do you mean 'model.balancer'?"),
        (
            put('balancer', dict(type='FixedWeights')),
            "has 'balancer' at the top, where nothing reads it; move it to model.balancer",
        ),
        (put('train_datalaoder', {}), "has 'train_datalaoder'; do you mean 'train_dataloader'?"),
        (put('train_cfg.max_iter', 5), "train_cfg has no key 'max_iter'; do you mean 'max_iters'?"),
        (
            put('train_cfg.val_intervall', 5),
            "train_cfg has no key 'val_intervall'; do you mean 'val_",
        ),
        (
            put('custom_hooks', [dict(type='EMAHook', begin_iter=5)]),
            'custom_hooks.0.begin_iter is 5, but training ends at train_cfg.max_iters=4; begin',
        ),
        (
            put('custom_hooks', [dict(type='EMAHook', begin_epoch=2)]),
            'custom_hooks.0.begin_epoch is 2, but training counts steps, not epochs; give begin_',
        ),
        (
            put('custom_hooks', [dict(type='EMAHook', begin_iter='5')]),
            "custom_hooks.0.begin_iter is '5'; give a whole number of at least 0",
        ),
        (put('val_cfg.scores', {}), "val_cfg has no key 'scores'; do you mean 'score'?"),
        (put('train_cfg.type', 'MultiTaskLoop'), "train_cfg.type is 'MultiTaskLoop'"),
        (without('train_cfg.type'), "train_cfg has no type; use 'MultiTaskTrainLoop'"),
        (
            put('train_dataloader.det.batchsize', 4),
            "train_dataloader.det has no key 'batchsize'; do you mean 'batch_size'?",
        ),
        (
            put('val_dataloader.det.zzz', 4),
            "val_dataloader.det has no key 'zzz'; its keys are ['bat",
        ),
        (
            put('train_cfg.schedule.type', 'RoundRobbin'),
            "train_cfg.schedule.type is 'RoundRobbin'; the choices are ['AllTasks', 'AnnealedSampling', ",
        ),
        (
            put('train_cfg.schedule', dict(_delete_=True, kind='AllTasks')),
            'train_cfg.schedule.type is None',
        ),
        (put('model.tasks', None), 'model.tasks is None; give {name: model config}'),
        (put('model', 'AllInOne'), "model is 'AllInOne'; give dict(type='AllInOne', ...)"),
        (put('train_cfg.max_iters', 0), 'train_cfg.max_iters is 0; give a whole number of at'),
        (put('train_cfg.max_iters', 'x'), "train_cfg.max_iters is 'x'; give a whole number of at"),
        (put('train_cfg.val_interval', 0), 'train_cfg.val_interval is 0; give a whole number'),
        (
            put('optim_wrapper.optimizer.type', 'AdmW'),
            "optim_wrapper.optimizer.type is 'AdmW', which is no optimizer; do you mean 'AdamW'?",
        ),
        (put('optim_wrapper.optimizer.lr', '1e-x'), "optim_wrapper.optimizer.lr is '1e-x'; give a"),
        (put('optim_wrapper.optimizer', None), 'optim_wrapper.optimizer is None; give dict(type'),
        (
            put('optim_wrapper.clip_grad.maxnorm', 1),
            "optim_wrapper.clip_grad has no key 'maxnorm'; do you mean 'max_norm'?",
        ),
        (
            put('optim_wrapper.clip_grad.type', 'nrom'),
            "optim_wrapper.clip_grad.type is 'nrom'; the choices are ['norm', 'value']",
        ),
        (
            put('optim_wrapper.paramwise_cfg.norm_decay_mul', 0),
            "optim_wrapper.paramwise_cfg has no key 'norm_decay_mul'; do you mean 'norm_decay_mult'",
        ),
        (
            put('optim_wrapper.paramwise_cfg.custom_keys', dict(backbone=dict(lr_mul=0.1))),
            "optim_wrapper.paramwise_cfg.custom_keys.backbone has no key 'lr_mul'; do you mean 'lr_m",
        ),
        (
            put('default_hooks.chekpoint', dict(type='CheckpointHook')),
            "default_hooks has 'chekpoint'; do you mean 'checkpoint'?",
        ),
        (
            put('default_hooks.checkpoint.intervall', 5),
            "default_hooks.checkpoint has no key 'intervall'; do you mean 'interval'?",
        ),
        (
            put('optim_wrapper.paramwise_cfg.norm_decay_mult', 'no'),
            "optim_wrapper.paramwise_cfg.norm_decay_mult is 'no'; give a number of at least 0",
        ),
        (
            put('optim_wrapper.paramwise_cfg.custom_keys', dict(backbone=dict(lr_mult='x'))),
            "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult is 'x'; give a number of",
        ),
        (
            put('model.tasks.det.test_cfg.score_thrr', 0.1),
            "model.tasks.det.test_cfg has no key 'score_thrr'; do you mean 'score_thr'?",
        ),
        (
            put('model.tasks.det.test_cfg.nms.iou_treshold', 0.1),
            "model.tasks.det.test_cfg.nms has no key 'iou_treshold'; do you mean 'iou_threshold'?",
        ),
        (
            put('model.tasks.det.test_cfg.nms.type', 'nmms'),
            "model.tasks.det.test_cfg.nms.type is 'nmms', which mmcv does not have; use 'nms' or",
        ),
        (put('randomness.sed', 1), "randomness has no key 'sed'; do you mean 'seed'?"),
        (put('randomness.seed', 'abc'), "randomness.seed is 'abc'; give a whole number of at"),
        (put('env_cfg.cudnn_benchmrk', True), "env_cfg has no key 'cudnn_benchmrk'; do you mean"),
        (put('log_processor.by_epok', True), "log_processor has no key 'by_epok'; do you mean"),
        (
            put('runner_type', 'MultiDatasetRuner'),
            "runner_type is 'MultiDatasetRuner', which is no runner; use 'MultiDatasetRunner'",
        ),
    ],
)
def test_the_program_refuses_keys_and_tasks_that_do_not_agree(cfg, refused, tmp_path, change, says):
    change(cfg)
    assert says in refused()
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    'change, says',
    [
        (
            put('visualizer.type', 'Visualzer'),
            "^visualizer.type is 'Visualzer', which no visualizer of .*; do you mean 'Visualizer'",
        ),
        (
            put('default_hooks.logger.intervall', 5),
            "^default_hooks.logger has no key 'intervall'; do you mean 'interval'[?]$",
        ),
        (
            put('default_hooks.checkpoint.type', 'ChekpointHook'),
            "^default_hooks.checkpoint.type is 'ChekpointHook', which no hook of .*; do you mean",
        ),
        (
            put('custom_hooks', [dict(type='EMAHook', momentm=1)]),
            "^custom_hooks.0 has no key 'momentm'; check its spelling$",
        ),
        (
            put('optim_wrapper.optimizer.learning_rate', 1),
            "^optim_wrapper.optimizer has no key 'learning_rate'",
        ),
        (
            put('optim_wrapper.clip_grd', 1),
            "^optim_wrapper has no key 'clip_grd'; do you mean 'clip_grad'[?]$",
        ),
        (
            put('optim_wrapper.type', 'OptimWraper'),
            "^optim_wrapper.type is 'OptimWraper', .*; do you mean 'OptimWrapper'[?]$",
        ),
        (
            put('param_scheduler.0.start_facto', 1),
            "^param_scheduler.0 has no key 'start_facto'; do you mean 'start_factor'[?]$",
        ),
        (
            put('param_scheduler.0.type', 'LinearLRR'),
            "^param_scheduler.0.type is 'LinearLRR', .*; do you mean 'LinearLR'[?]$",
        ),
        (
            put('train_cfg.schedule.weigths', 1),
            '^train_cfg.schedule.weigths is 1, but AllTasks has no such option; its options are',
        ),
        (
            put('val_evaluator.cls.type', 'mmpretrain.Acuracy'),
            "^val_evaluator.cls.type is 'mmpretrain.Acuracy', .*; do you mean 'mmpretrain.Accuracy",
        ),
        (
            put('val_evaluator.cls.topkk', 1),
            "^val_evaluator.cls has no key 'topkk'; do you mean 'topk'[?]$",
        ),
        (
            put('default_hooks.checkpoint.save_best', 'cls/top2'),
            r"^default_hooks.checkpoint.save_best names 'cls/top2', but val_evaluator.cls gives "
            r"\['top1', 'top5'\]$",
        ),
        (
            put('default_hooks.checkpoint.save_best', 'score'),
            "^default_hooks.checkpoint.save_best is 'score', but val_cfg has no score; give its",
        ),
    ],
)
def test_the_program_names_the_place_of_a_misspelt_key_or_type(cfg, refused, change, says):
    only(cfg, 'cls', validate=True)
    change(cfg)
    assert re.search(says, refused())


def test_the_program_refuses_a_misspelt_key_of_the_model(cfg, refused):
    cfg.model.balncer = dict(type='FixedWeights')
    text = refused()
    assert text == "model has no key 'balncer'; do you mean 'balancer'?"


@pytest.mark.parametrize(
    'option, says',
    [
        (
            'max_iters=3',
            "--cfg-options has 'max_iters', but max_iters is a variable of {config}, used up when "
            'the file is read; set the keys that are made of it',
        ),
        ('zebra.x=1', "--cfg-options has 'zebra.x', which nothing reads; check its spelling"),
        (
            'trian_cfg.max_iters=3',
            "--cfg-options has 'trian_cfg.max_iters', which nothing reads; do you mean 'train_cfg'?",
        ),
        ('train_cfg', "--cfg-options has 'train_cfg'; give KEY=VALUE"),
        (
            'param_scheduler.7.end=1',
            "--cfg-options has 'param_scheduler.7.end', which does not fit {config}: Index 7 exceeds",
        ),
    ],
)
def test_an_option_that_changes_nothing_is_refused(tmp_path, option, says):
    config = tmp_path / 'config.py'
    config.write_text(
        'max_iters = 9\ntrain_cfg = dict(max_iters=max_iters)\nparam_scheduler = []\n'
    )
    with pytest.raises(ConfigError) as error:
        load_config(str(config), [option])
    assert str(error.value).startswith(says.format(config=config))


def test_a_config_that_fails_is_one_sentence(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text('custom_imports = dict(imports=["nowhere_at_all"])\n')
    with pytest.raises(ConfigError) as error:
        load_config(str(config))
    assert str(error.value).startswith(f'{config} cannot be read: ImportError: ')
    assert '\n' not in str(error.value)


def test_a_configs_own_variables_are_legal(cfg):
    from allinone.config.check import check_config

    cfg.model.balancer = cfg.balancer = dict(type='FixedWeights')
    cfg.max_iters = cfg.classes = cfg.img_size = 4
    check_config(cfg)


def test_all_errors_are_of_one_family():
    """What the tools print as one sentence."""
    assert issubclass(DataError, AllInOneError) and issubclass(ConfigError, AllInOneError)
