"""Consistency checks of a config, made before any folder is created or file is read."""

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from os import PathLike

from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.registry import DefaultScope
from mmengine.runner import LogProcessor, Runner
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from allinone.errors import ConfigError
from allinone.registry import HOOKS, LOOPS, OPTIMIZERS, TASK_SCHEDULES
from allinone.registry.options import check_choice, check_count, check_number, check_type

from .build_errors import accepted_keys, unknown_key
from .fractions import check_iterations
from .parts import BACKBONE, SHARED_NECK
from .source_checks import check_sources
from .sources import LABEL_WEIGHTS, MIN_LABELLED, TASKS, sources_of, tasks_served

STAGES = ('train', 'val', 'test')
EXTRA_KEYS = (
    'runner_type',
    'custom_imports',
    'model_wrapper_cfg',
    'compile',
    'sync_bn',
    'activation_checkpointing',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'vis_backends',
    'inference',
    'force_resume',
    'load_classes',
)
KNOWN_KEYS = {*inspect.signature(Runner.__init__).parameters, *EXTRA_KEYS} - {'self', 'cfg'}
MODEL_KEYS = (BACKBONE, SHARED_NECK, 'tasks', 'balancer')
LOADER_KEYS = {
    *inspect.signature(DataLoader.__init__).parameters,
    'num_batch_per_epoch',
    'disable_subprocess_warning',
    'skip_corrupt',
    TASKS,
    MIN_LABELLED,
    LABEL_WEIGHTS,
} - {'self', 'shuffle'}
LIKENESS = 0.85
# Parts without a class, or whose class passes all keys on: a misspelt key would have no effect.
PARTS = dict(
    randomness=accepted_keys(Runner.set_randomness),
    env_cfg={'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    log_processor=accepted_keys(LogProcessor),
)
DEFAULT_HOOKS = (
    *('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint'),
    *('bad_steps', 'visualization'),
)
TEST_KEYS = (
    *('nms_pre', 'min_bbox_size', 'score_thr', 'nms', 'max_per_img', 'mask_thr_binary'),
    *('type', 'iou_threshold', 'class_agnostic', 'split_thr', 'max_num', 'min_score'),
    *('mode', 'crop_size', 'stride', 'threshold'),
)
NMS = import_module('mmcv.ops.nms')  # The attribute mmcv.ops.nms is a function.
CLIP = dict(norm=clip_grad_norm_, value=clip_grad_value_)
MULTIPLIERS = {'lr_mult', 'decay_mult'}
PARAMWISE = {
    *('bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult'),
    *('dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate', 'custom_keys'),
}


def check_config(cfg: Mapping) -> None:
    """Raise :class:`ConfigError` for misspelt keys or inconsistent tasks.

    A config may define variables, so a top-level key is refused only if it resembles a key of the
    runner, or if it is a key of the model that the model lacks.
    """
    for key in cfg:
        near = difflib.get_close_matches(key, [*KNOWN_KEYS, *MODEL_KEYS], 1, LIKENESS)
        if near and near[0] != key:
            place = 'model.' if near[0] in MODEL_KEYS else ''
            raise ConfigError(f'the config has {key!r}; do you mean {place + near[0]!r}?')
    model = cfg.get('model') or {}
    for key in MODEL_KEYS:
        if key in cfg and key not in model:
            raise ConfigError(
                f'the config has {key!r} at the top, where nothing reads it; move it to model.{key}'
            )
    if not isinstance(model, Mapping):
        raise ConfigError(f"model is {model!r}; give dict(type='AllInOne', ...)")
    tasks = model.get('tasks')
    if not isinstance(tasks, Mapping):
        raise ConfigError(f'model.tasks is {tasks!r}; give {{name: model config}}')
    for name in tasks:
        if not isinstance(name, str) or not name or set(name) & {'/', '.'}:
            raise ConfigError(
                f"model.tasks has the name {name!r}; leave '/' and '.' out, which metrics "
                '(TASK/metric) and weights (tasks.TASK.*) are written with'
            )
    frozen = check_frozen(model.get('frozen') or (), list(tasks))
    if model.get(SHARED_NECK) is not None:
        check_shared_neck(model[SHARED_NECK], list(tasks))
    for stage in STAGES:
        _check_stage(cfg, stage, list(tasks), frozen)
    for name, task in tasks.items():
        if isinstance(task, Mapping):
            _check_test_cfg(f'model.tasks.{name}.test_cfg', task.get('test_cfg') or {})
    for key, known in PARTS.items():
        if isinstance(cfg.get(key), Mapping) and 'type' not in cfg[key]:
            _check_keys(key, cfg[key], known)
    _check_load_from(cfg.get('load_from'), list(tasks), cfg.get('resume'))
    if cfg.get('load_classes') is not None:
        check_choice('load_classes', cfg['load_classes'], ['by_name'])
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None:
        check_count('randomness.seed', seed, 0)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'allinone'):
        _check_hooks(cfg.get('default_hooks') or {})
        _check_averages(
            cfg.get('custom_hooks') or (),
            cfg.get('train_cfg') or {},
            len(cfg.get('train_dataloader') or ()),
        )
        if isinstance(cfg.get('optim_wrapper'), Mapping):
            _check_optimizer(cfg['optim_wrapper'])


def _check_load_from(value, tasks: list[str], resume) -> None:
    """A checkpoint, or one for each of some tasks."""
    if value is None or isinstance(value, (str, PathLike)):
        return
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(
            f"load_from is {value!r}; give a checkpoint, or {{task or 'backbone': checkpoint}}"
        )
    unknown = [name for name in value if name not in (BACKBONE, *tasks)]
    if unknown:
        raise ConfigError(
            f'load_from names {unknown}; name {BACKBONE!r} or some of the tasks {tasks}'
        )
    for name, source in value.items():
        if not isinstance(source, (str, PathLike)) or not str(source):
            raise ConfigError(
                f'load_from.{name} is {source!r}; give the path, the URL or the zoo name of a '
                'checkpoint'
            )
    if value.get(BACKBONE) in tasks and value[BACKBONE] not in value:
        raise ConfigError(
            f'load_from.{BACKBONE} is {value[BACKBONE]!r}, a task whose checkpoint load_from does '
            f'not name; give load_from.{value[BACKBONE]}, or a checkpoint (a file of this name is '
            f"'./{value[BACKBONE]}')"
        )
    if resume is True:
        raise ConfigError(
            f'resume is True and load_from is {dict(value)}; a run is resumed from one checkpoint: '
            "name it with --resume, or set resume='auto' for the newest of the work dir"
        )


def _check_test_cfg(key: str, cfg: Mapping) -> None:
    """Refuse misspelt keys, for which heads would silently use their defaults."""
    for name, value in cfg.items():
        near = difflib.get_close_matches(name, TEST_KEYS, 1, LIKENESS)
        if near and near[0] != name:
            raise ConfigError(f'{key} has no key {name!r}; do you mean {near[0]!r}?')
        if isinstance(value, Mapping):
            _check_test_cfg(f'{key}.{name}', value)
    kind = cfg.get('type')
    # mmcv looks the name up in its module, but only at the first detection.
    if key.endswith('.nms') and isinstance(kind, str) and not hasattr(NMS, kind):
        raise ConfigError(
            f"{key}.type is {kind!r}, which mmcv does not have; use 'nms' or 'soft_nms'"
        )


def _check_hooks(hooks: Mapping) -> None:
    for name, hook in hooks.items():
        near = difflib.get_close_matches(name, DEFAULT_HOOKS, 1, LIKENESS)
        if near and near[0] != name:
            # A second hook of the same class would run in addition to the default one.
            raise ConfigError(f'default_hooks has {name!r}; do you mean {near[0]!r}?')
        kind = hook.get('type') if isinstance(hook, Mapping) else None
        kind = HOOKS.get(kind) if isinstance(kind, str) else kind
        if inspect.isclass(kind) and issubclass(kind, CheckpointHook):
            known = accepted_keys(kind) | accepted_keys(Runner.save_checkpoint)
            _check_keys(f'default_hooks.{name}', hook, {*known, 'type', '_scope_', 'priority'})
            interval = hook.get('interval')
            if interval is not None and not isinstance(interval, int):
                check_iterations(f'default_hooks.{name}.interval', interval)


def _check_averages(hooks: Sequence, loop: Mapping, sources: int) -> None:
    """Check what mmengine's ``EMAHook`` asserts only after the build, without a config key."""
    for index, hook in enumerate(hooks):
        kind = hook.get('type') if isinstance(hook, Mapping) else None
        kind = HOOKS.get(kind) if isinstance(kind, str) else kind
        if not (inspect.isclass(kind) and issubclass(kind, EMAHook)):
            continue
        key = f'custom_hooks.{index}'
        begin = check_count(f'{key}.begin_iter', hook.get('begin_iter', 0), 0)
        if begin > (loop.get('max_iters') or begin):
            raise ConfigError(
                f'{key}.begin_iter is {begin}, but training ends at '
                f'train_cfg.max_iters={loop["max_iters"]}; begin before it'
            )
        if hook.get('begin_epoch') and sources > 1:
            raise ConfigError(
                f'{key}.begin_epoch is {hook["begin_epoch"]}, but training counts steps, not '
                'epochs; give begin_iter'
            )


def _check_optimizer(cfg: Mapping) -> None:
    """Check what mmengine reports only at the first step, ignores, or reports unclearly."""
    clip = cfg.get('clip_grad')
    if clip is not None:
        if not isinstance(clip, Mapping) or not clip:
            raise ConfigError(f'optim_wrapper.clip_grad is {clip!r}; give dict(max_norm=...)')
        kind = check_choice('optim_wrapper.clip_grad.type', clip.get('type', 'norm'), list(CLIP))
        known = accepted_keys(CLIP[kind]) - {'parameters'}
        _check_keys('optim_wrapper.clip_grad', clip, {*known, 'type'})
        for name in ('max_norm', 'clip_value'):
            if name in clip:
                check_number(f'optim_wrapper.clip_grad.{name}', clip[name], 0, open_low=True)
    if 'constructor' in cfg:
        return
    paramwise = cfg.get('paramwise_cfg') or {}
    _check_keys('optim_wrapper.paramwise_cfg', paramwise, PARAMWISE)
    for name, part in (paramwise.get('custom_keys') or {}).items():
        key = f'optim_wrapper.paramwise_cfg.custom_keys.{name}'
        _check_keys(key, part, MULTIPLIERS)
        for multiplier in part:
            check_number(f'{key}.{multiplier}', part[multiplier], 0)
    for name in paramwise.keys() - {'bypass_duplicate', 'custom_keys'}:
        check_number(f'optim_wrapper.paramwise_cfg.{name}', paramwise[name], 0)
    optimizer = cfg.get('optimizer')
    if not isinstance(optimizer, Mapping) or 'type' not in optimizer:
        raise ConfigError(f'optim_wrapper.optimizer is {optimizer!r}; give dict(type=..., lr=...)')
    kind = optimizer['type']
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        optimizers = [*OPTIMIZERS.module_dict, *OPTIMIZERS.parent.module_dict]
        near = difflib.get_close_matches(kind, optimizers, 1)
        raise ConfigError(
            f'optim_wrapper.optimizer.type is {kind!r}, which is no optimizer; '
            + (f'do you mean {near[0]!r}?' if near else f'the optimizers are {sorted(optimizers)}')
        )
    # A learning rate or a largest norm of 0 would train nothing.
    if 'lr' in optimizer:
        check_number('optim_wrapper.optimizer.lr', optimizer['lr'], 0, open_low=True)
    if 'weight_decay' in optimizer:
        check_number('optim_wrapper.optimizer.weight_decay', optimizer['weight_decay'], 0)


def check_frozen(frozen: Sequence[str], tasks: Sequence[str]) -> tuple[str, ...]:
    """Return ``model.frozen`` as a tuple.

    Raises:
        ConfigError: If it names an unknown part, or leaves nothing to train.
    """
    parts = [BACKBONE, *tasks]
    if not isinstance(frozen, (list, tuple)) or not set(map(str, frozen)) <= set(parts):
        raise ConfigError(
            f'model.frozen is {frozen!r}; name some of {parts}, as in ({BACKBONE!r},)'
        )
    if set(frozen) == set(parts):
        raise ConfigError(f'model.frozen has all of {parts}; leave something to train')
    return tuple(frozen)


def check_shared_neck(neck, tasks: Sequence[str]) -> Mapping:
    """Return ``model.shared_neck``, after a check of what is not of its class.

    Raises:
        ConfigError: If it has no type, or does not say which tasks use it.
    """
    key, example = f'model.{SHARED_NECK}', "dict(tasks=('TASK', ...), type='mmdet.FPN', ...)"
    if not isinstance(neck, Mapping) or 'type' not in neck:
        raise ConfigError(f'{key} is {neck!r}; give {example}')
    users = neck.get('tasks')
    if not isinstance(users, (list, tuple)) or not users or not set(users) <= set(tasks):
        raise ConfigError(
            f'{key}.tasks is {users!r}; name those of {list(tasks)} that use its feature maps'
        )
    chosen = neck.get('feature_indices')
    if chosen is not None and not (
        isinstance(chosen, (list, tuple)) and all(type(index) is int for index in chosen)
    ):
        raise ConfigError(
            f'{key}.feature_indices is {chosen!r}; give numbers of feature maps of the backbone, '
            'as in (1, 2, 3)'
        )
    return neck


def _check_stage(cfg: Mapping, stage: str, tasks: list[str], frozen: Sequence[str]) -> None:
    loader_key, loop_key, evaluator_key = (
        f'{stage}_{part}' for part in ('dataloader', 'cfg', 'evaluator')
    )
    keyed = [loader_key] if stage == 'train' else [loader_key, evaluator_key]
    present = [key for key in (*keyed, loop_key) if cfg.get(key) is not None]
    if not present:
        return
    absent = [key for key in (*keyed, loop_key) if key not in present]
    if absent:
        raise ConfigError(
            f'the config has {", ".join(present)} but not {", ".join(absent)}; '
            f'{stage} needs all of them, or none'
        )
    for key in keyed:
        if not isinstance(cfg[key], Mapping) or 'type' in cfg[key] or 'dataset' in cfg[key]:
            raise ConfigError(f'{key} must be keyed by task: {{{", ".join(tasks)}}}')
        if key != loader_key:
            extra = [name for name in cfg[key] if name not in tasks]
            if extra:
                raise ConfigError(
                    f'{key} has {extra}, which model.tasks does not have ({tasks}); '
                    'add the task, or remove the key'
                )
    check_sources(stage, cfg[loader_key], tasks, cfg.get('default_scope') or 'allinone')
    served = tasks_served(cfg[loader_key])
    if stage == 'train' and BACKBONE in frozen:
        idle = [
            source
            for source, names in sources_of(cfg[loader_key]).items()
            if set(names) <= set(frozen)
        ]
        if idle:
            raise ConfigError(
                f'{loader_key} has {idle}, which model.frozen has too, with the backbone: nothing '
                f'learns from their images; leave them out of {loader_key} (_delete_=True)'
            )
    # Validation and test may omit tasks, but then from dataloader and evaluator.
    learning = [name for name in tasks if name not in frozen]
    present_in = {key: served if key == loader_key else cfg[key] for key in keyed}
    needed = {'model.tasks': learning} if stage == 'train' else present_in
    for place, names in needed.items():
        for key in keyed:
            missing = [name for name in names if name not in present_in[key]]
            if missing:
                raise ConfigError(
                    f'{place} has {missing}, but {key} does not; add it to {key}, '
                    f'or remove it from {place}'
                )
    for source, loader in cfg[loader_key].items():
        _check_keys(f'{loader_key}.{source}', loader, LOADER_KEYS)
    _check_loop(loop_key, cfg[loop_key], stage, cfg.get('default_scope') or 'allinone')


def _check_loop(key: str, cfg: Mapping, stage: str, scope: str) -> None:
    kind = cfg.get('type')
    if kind is None:
        raise ConfigError(f"{key} has no type; use 'MultiTask{stage.title()}Loop'")
    with DefaultScope.overwrite_default_scope(scope):
        loop = LOOPS.get(kind) if isinstance(kind, str) else kind
    if loop is None:
        raise ConfigError(
            f"{key}.type is {kind!r}, which no registry has; use 'MultiTask{stage.title()}Loop'"
        )
    parameters = inspect.signature(loop).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        _check_keys(
            key, cfg, {*parameters, 'type', '_scope_'} - {'runner', 'dataloader', 'evaluator'}
        )
    for name, low in dict(max_iters=1, max_epochs=1, val_begin=0).items():
        # None is that of a base config, taken back.
        if cfg.get(name) is not None:
            check_count(f'{key}.{name}', cfg[name], low)
    for name, low in dict(val_interval=1, warmup=0).items():
        if cfg.get(name) is not None:
            check_iterations(f'{key}.{name}', cfg[name], low)
    if cfg.get('score') is not None:
        _check_score(f'{key}.score', cfg['score'])
    if cfg.get('schedule') is not None:
        check_type(f'{key}.schedule', cfg['schedule'], TASK_SCHEDULES)


def _check_score(key: str, score) -> None:
    if not isinstance(score, Mapping):
        raise ConfigError(f"{key} is {score!r}; give a dictionary {{'TASK/metric': factor}}")
    for name, factor in score.items():
        check_number(f'{key}[{name!r}]', factor, float('-inf'))


def _check_keys(key: str, cfg: Mapping, known: Iterable[str]) -> None:
    for name in cfg:
        if name not in known:
            raise ConfigError(unknown_key(key, name, known))
