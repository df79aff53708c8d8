"""Hooks of the libraries, which expect one model, one data set and epochs."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import Any, NamedTuple, cast

from mmcv.transforms import Compose
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import DefaultScope
from torch import nn

from allinone.config.build_errors import named
from allinone.errors import ConfigError
from allinone.io.program import program
from allinone.registry import HOOKS

from .epochs import EpochPart, class_of, is_upstream
from .task_view import TaskView, pipelines_of

TWO_RUNS = (
    'remove it, or train up to there and then, with load_from, a second run of the changed config'
)
DRAWING = "use 'PredictionVisualizationHook'"
AT_EPOCHS = ('before_train_epoch', 'after_train_epoch', '_before_epoch', '_after_epoch')


class Counts(NamedTuple):
    """How a hook counts epochs.

    Attributes:
        option: What says how many, or whether at all.
        remedy: What to write in iterations.
        default: Of the option, if it says whether the hook counts epochs; else None.
    """

    option: str
    remedy: str
    default: object = None


class Needs(NamedTuple):
    """What a hook reads: an attribute of a task's model, and one of its data set."""

    model: str = ''
    dataset: str = ''


BY_EPOCH = dict(
    EMAHook=Counts('begin_epoch', 'give begin_iter', 0),
    PipelineSwitchHook=Counts('switch_epoch', TWO_RUNS),
    ProfilerHook=Counts('by_epoch', 'give by_epoch=False and profile_times in iterations', True),
    SetEpochInfoHook=Counts('', 'remove it'),
    SimSiamHook=Counts('adjust_by_epoch', 'give adjust_by_epoch=False', True),
    SwitchRecipeHook=Counts('', TWO_RUNS),
    WarmupParamHook=Counts('warmup_epochs', 'remove it'),
    YOLOXModeSwitchHook=Counts('num_last_epochs', TWO_RUNS),
)
# Hooks that get, for each task that has what they need, a runner with this task alone
OF_A_TASK = dict(
    DenseCLHook=Needs(model='loss_lambda'),
    DistSamplerSeedHook=Needs(),
    PipelineSwitchHook=Needs(dataset='pipeline'),
    SetAdaptiveMarginsHook=Needs(model='head.set_margins', dataset='get_gt_labels'),
    SetEpochInfoHook=Needs(model='set_epoch'),
    SwitchRecipeHook=Needs(),
    WarmupParamHook=Needs(),
    YOLOXModeSwitchHook=Needs(model='bbox_head.use_l1', dataset='update_skip_type_keys'),
)
# They fail at a preprocessor, whose number of classes is not set. The suite compares the classes of
# each head with its data set.
REPLACED = ('ClassNumCheckHook', 'NumClassCheckHook')
TOLD_APART = frozenset((*OF_A_TASK, *REPLACED))
ONE_PIPELINE = ('PipelineSwitchHook', 'SwitchRecipeHook')
SWITCHING = ('PipelineSwitchHook', 'SwitchRecipeHook', 'YOLOXModeSwitchHook')
# Hooks that cannot work, or not with this option: why, and what to write
REFUSED: dict[str, tuple[str, str, str]] = dict(
    DetVisualizationHook=('draw', 'it draws the predictions of one model', DRAWING),
    EMAHook=(
        'evaluate_on_origin',
        'it evaluates a second time by the evaluator of one data set',
        'remove it',
    ),
    GroundingVisualizationHook=('draw', 'it draws the predictions of one model', DRAWING),
    MeanTeacherHook=(
        '',
        'no task has a teacher and a student',
        "average the weights with 'EMAHook', or distil with model.distill",
    ),
    NaiveVisualizationHook=('', 'it draws the predictions of one model', DRAWING),
    PreciseBNHook=(
        '',
        'it reads the loader of one data set',
        "use type='PreciseBNHook', that of this suite, with batches",
    ),
    PrepareProtoBeforeValLoopHook=(
        '',
        'no task is a retriever of mmpretrain',
        'remove it (val_cfg.references hands a task its gallery)',
    ),
    PrepareTTAHook=(
        '',
        'it puts one merged model in the place of the joint one',
        "end the task's test pipeline with TestTimeAug instead",
    ),
    SegVisualizationHook=('draw', 'it draws the predictions of one model', DRAWING),
    SwAVHook=('', 'no task is a SwAV model', 'remove it'),
    TrackVisualizationHook=('draw', 'it draws the predictions of one model', DRAWING),
    TrainAugmentDetVisualizationHook=(
        'draw',
        'it draws the batch of one data set',
        f'look at training images with {program("browse_dataset")}',
    ),
    VisualizationHook=('enable', 'it draws the predictions of one model', DRAWING),
)


def configured_hooks(cfg: Mapping) -> Iterator[tuple[str, Mapping, type]]:
    """Key, config and class of each hook in ``default_hooks`` and ``custom_hooks``.

    Of a built hook, its attributes stand for its config.
    """
    default = [(f'default_hooks.{k}', v) for k, v in (cfg.get('default_hooks') or {}).items()]
    custom = [(f'custom_hooks.{i}', v) for i, v in enumerate(cfg.get('custom_hooks') or ())]
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'allinone'):
        for key, part in (*default, *custom):
            if isinstance(part, Hook):
                yield key, vars(part), type(part)
                continue
            kind = part.get('type') if isinstance(part, Mapping) else None
            kind = class_of(kind, HOOKS)
            if inspect.isclass(kind):  # Others are refused when they are built.
                yield key, part, kind


def check_hooks(cfg: Mapping) -> None:
    """Refuse hooks of the libraries that cannot work on a joint model.

    Raises:
        ConfigError: With the name of the hook, and what to write.
    """
    for key, part, kind in configured_hooks(cfg):
        option, why, remedy = REFUSED.get(kind.__name__, ('', '', ''))
        if not why or not is_upstream(kind):
            continue
        if not option:
            raise ConfigError(f'{key}.type is {kind.__name__!r}, but {why}; {remedy}')
        if part.get(option) and part.get('evaluate_on_ema', True):
            raise ConfigError(
                f'{key}.{option} of {kind.__name__} is {part[option]!r}, but {why}; {remedy}'
            )


def hook_parts(cfg: Mapping) -> Iterator[EpochPart]:
    """The hooks of a config that count epochs."""
    for key, part, kind in configured_hooks(cfg):
        name = 'EMAHook' if issubclass(kind, EMAHook) else kind.__name__
        counts = BY_EPOCH.get(name)
        if counts is None or not (is_upstream(kind) or name == 'EMAHook'):
            continue
        value = part.get(counts.option, counts.default)
        if value or counts.default is None:
            what = f'{kind.__name__} counts epochs'
            if value is not None:
                what += f' ({counts.option}={value!r})'
            yield EpochPart(key, what, counts.remedy)


def warn_of_own_hooks(runner) -> None:
    """Tell that hooks of the user's own see one epoch, where several tasks are trained."""
    for hook in runner.hooks:
        kind = type(hook)
        if is_upstream(kind) or kind.__module__.split('.')[0] == 'allinone':
            continue
        if any(getattr(kind, name) is not getattr(Hook, name) for name in AT_EPOCHS):
            runner.logger.warning(
                f'{kind.__name__} acts where an epoch begins or ends; several tasks are trained, '
                'so the whole training is one epoch (use before_train_iter or after_train_iter)'
            )


def is_of_a_task(hook: Hook) -> bool:
    """Whether a hook is one of the libraries that expects one task (:func:`call_hook`)."""
    return type(hook).__name__ in TOLD_APART and is_upstream(type(hook))


def prepare_hooks(runner) -> None:
    """Check what hooks of the libraries need of the tasks, before the first step and not amid.

    Raises:
        ConfigError: If no trained task has it, or a transform cannot be built.
    """
    keys = {kind: key for key, _, kind in configured_hooks(runner.cfg)}
    for hook in filter(is_of_a_task, runner.hooks):
        name = type(hook).__name__
        key = keys.get(type(hook), 'custom_hooks')
        if name in REPLACED:
            runner.logger.info(
                f'{key}: {name} is not called; train_cfg.check_data compares the classes of each '
                'task with its head'
            )
            continue
        needs = _needs(hook)
        if name in ONE_PIPELINE:
            _refuse_shared(key, name, runner.train_loop.dataloader)
        if any(needs) and not list(_views(hook, runner, 'train')):
            missing = ' and '.join(
                f'{attribute} of the {owner}'
                for owner, attribute in zip(('model', 'data set'), needs, strict=True)
                if attribute
            )
            raise ConfigError(f'{key}: {name} uses {missing}, which no trained task has; remove it')
        if name == 'PipelineSwitchHook':
            library = type(hook).__module__.split('.')[0]
            with (
                named(f'{key}.switch_pipeline', hook.switch_pipeline),
                DefaultScope.overwrite_default_scope(library),
            ):
                hook.switch_pipeline = Compose(hook.switch_pipeline).transforms


def _refuse_shared(key: str, name: str, loaders) -> None:
    shared = [source for source, tasks in loaders.tasks.items() if len(tasks) > 1]
    if shared:
        raise ConfigError(
            f'{key}: {name} changes the pipeline of a task, but source {shared[0]!r} has one '
            f'pipeline for {list(loaders.tasks[shared[0]])}; {TWO_RUNS}'
        )


def call_hook(hook: Hook, runner, fn_name: str, kwargs: Mapping[str, Any]) -> None:
    """Call a hook of the libraries for each task, with a runner that has this task alone.

    Where it changes how the images are read, the loader starts again at its next batch: its workers
    have copies of the data set, and have read ahead.
    """
    if type(hook).__name__ in REPLACED:
        return
    stage = next((stage for stage in ('train', 'val', 'test') if stage in fn_name), None)
    if stage is None or getattr(Hook, fn_name, None) is getattr(type(hook), fn_name):
        getattr(hook, fn_name)(runner, **kwargs)
        return
    for view in _views(hook, runner, stage):
        before = list(pipelines_of(view.dataset))
        getattr(hook, fn_name)(view, **kwargs)
        if type(hook).__name__ in SWITCHING and list(pipelines_of(view.dataset)) != before:
            view.loaders.restart(view.source)


def _views(hook: Hook, runner, stage: str) -> Iterator[TaskView]:
    loop = getattr(runner, f'_{stage}_loop')
    needs = _needs(hook)
    for part in getattr(getattr(loop, 'dataloader', None), 'parts', ()):
        view = TaskView(runner, part, stage, loop)
        if _has(view.model, needs.model) and _has(view.dataset, needs.dataset):
            yield view


def _needs(hook: Hook) -> Needs:
    needs = OF_A_TASK[type(hook).__name__]
    if hasattr(hook, 'module_getter'):
        # WarmupParamHook names the attribute by its options, of which one is hidden in a getter.
        return Needs(model=_dotted(hook.module_getter, hook.param_name))
    return needs


def _dotted(getter: Callable, name: str) -> str:
    return f'{cast(Any, getter).__reduce__()[1][0]}.{name}'


def _has(value, path: str) -> bool:
    with suppress(AttributeError):
        return not path or attrgetter(path)(value) is not None
    return False


def library_scope(cfg):
    """A hook's config whose parts belong to its library where it builds them with itself."""
    kind = cfg.get('type') if isinstance(cfg, Mapping) else None
    kind = class_of(kind, HOOKS)
    if inspect.isclass(kind) and kind.__name__ == 'SwitchRecipeHook' and is_upstream(kind):
        return dict(_scope_=kind.__module__.split('.')[0]) | dict(cfg)
    return cfg


def model_parts(tasks: Mapping[str, nn.Module]) -> Iterator[EpochPart]:
    """Heads that read the number of the epoch, of the models of tasks."""
    for name, task in tasks.items():
        for module in task.modules():
            if getattr(module, 'initial_epoch', None):
                yield EpochPart(
                    f'model.tasks.{name}.train_cfg.initial_epoch',
                    f'{type(module).__name__} changes its targets after {module.initial_epoch} '
                    'epochs',
                    'give initial_epoch=0',
                )
