"""Teachers: frozen trained models, joint or of one library."""

import os.path as osp
from collections.abc import Iterable, Mapping

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from allinone.checkpoint.loading import read_checkpoint, state_dict_of
from allinone.config.expansion import expand_config
from allinone.errors import CheckpointError, ConfigError, with_key
from allinone.io.renames import rename_keys
from allinone.registry.kinds import kind_of_class
from allinone.tasks import TaskKind
from allinone.tasks.class_lists import names_of

from .taps import tapped


class Teacher:
    """One task of a trained model, frozen and in evaluation mode.

    Args:
        whole: The loaded model, which may have further tasks.
        task: The model of the task: ``whole`` or a part of it.
        kind: Its kind.
        classes: Names of the classes that it was trained on; None if unknown.
    """

    def __init__(
        self,
        whole: BaseModel,
        task: BaseModel,
        kind: TaskKind,
        classes: list[str] | None = None,
    ):
        self.whole, self.task, self.kind, self.classes = whole, task, kind, classes

    @torch.no_grad()
    def answers(
        self, student: BaseModel, inputs: Tensor, samples: list, names: Iterable[str]
    ) -> dict[str, list]:
        """Outputs of the named modules on a batch, with a single backbone pass.

        Args:
            student: The task whose preprocessor made the batch. If the teacher was trained with
                another normalisation, the batch is renormalised for it. (Padding, which is 0 after
                the student's normalisation, then becomes the student's mean colour.)
            inputs: Normalised images ``(N, 3, H, W)``.
            samples: Their data samples.
            names: Modules of the teacher's task.
        """
        if next(self.whole.parameters()).device != inputs.device:
            self.whole.to(inputs.device)
        names = set(names)
        inputs = renormalised(inputs, student.data_preprocessor, self.task.data_preprocessor)
        with tapped(self.task, names) as heard:
            features = (self.kind.entry, 'neck')
            if all(name.split('.')[0] in features for name in names):
                self.task.extract_feat(inputs)
            else:
                self.task(inputs, samples, mode='tensor')
        return heard


def load_teacher(key: str, config: str, checkpoint: str) -> BaseModel:
    """Build the model of a config with a checkpoint's weights, frozen and in evaluation mode.

    Args:
        key: The config key that names the files, for messages.
        config: Config of a joint or an upstream model; ``'mmdet::...'`` works, too.
        checkpoint: Read without executing code from it.

    Raises:
        ConfigError: If the config is missing or cannot be built.
        CheckpointError: If the checkpoint cannot be read, or lacks weights.
    """
    if '::' not in config and not osp.isfile(config):
        raise ConfigError(f'{key}.config is {config!r}, and there is no such file')
    try:
        cfg = Config.fromfile(config)
        expand_config(cfg)
        rename_keys(cfg._cfg_dict)
        scope = 'allinone' if 'tasks' in cfg.model else cfg.get('default_scope')
        model_cfg = ConfigDict(cfg.model, _scope_=scope)
        # A teacher's teacher and frozen parts only concern its training.
        for name in ('distill', 'frozen'):
            model_cfg.pop(name, None)
        with DefaultScope.overwrite_default_scope(scope):
            model = MMENGINE_MODELS.build(model_cfg)
    except Exception as error:
        raise ConfigError(
            f'{key}.config {config!r} cannot be built: {type(error).__name__}: {error}'
        ) from error
    with with_key(f'{key}.checkpoint', CheckpointError):
        loaded = read_checkpoint(checkpoint)
        state = state_dict_of(loaded, checkpoint)
    lacking = [
        name
        for name, value in model.state_dict().items()
        if not name.endswith('num_batches_tracked')
        and not name.startswith('balancer.')
        and getattr(state.get(name), 'shape', None) != value.shape
    ]
    if lacking:
        raise CheckpointError(
            f'{key}.checkpoint {checkpoint} does not fit {config}: {len(lacking)} tensors are '
            f'missing or of another shape, such as {lacking[0]!r}'
        )
    model.load_state_dict(
        {name: value for name, value in state.items() if not name.startswith('balancer.')},
        strict=False,
    )
    model.dataset_meta = (loaded.get('meta') or {}).get('dataset_meta') or {}
    return model.requires_grad_(False).eval()


def teacher_of(key: str, model: BaseModel, task: str) -> Teacher:
    """The teacher of one task: a library's model, or one task of a joint model.

    Raises:
        ConfigError: If a joint model does not have the task.
    """
    if not isinstance(getattr(model, 'tasks', None), nn.ModuleDict):
        kind = kind_of_class(f'the model of {key}.config', type(model)).of_model(model)
        return Teacher(model, model, kind, names_of(getattr(model, 'dataset_meta', None)))
    if task not in model.tasks:
        raise ConfigError(
            f'{key} has no task {task!r} but {list(model.tasks)}; name it with {key}.task'
        )
    classes = names_of(getattr(model, 'dataset_meta', {}).get(task))
    return Teacher(model, model.tasks[task], model.kinds[task], classes)


def renormalised(
    inputs: Tensor, made_by: BaseDataPreprocessor, wanted_by: BaseDataPreprocessor
) -> Tensor:
    """Convert images from the normalisation of one data preprocessor to that of another."""
    mean, std, rgb = _normalisation(made_by, inputs)
    other_mean, other_std, other_rgb = _normalisation(wanted_by, inputs)
    if rgb == other_rgb and torch.equal(mean, other_mean) and torch.equal(std, other_std):
        return inputs
    pixels = inputs * std + mean
    pixels = pixels if rgb == other_rgb else pixels.flip(1)
    return (pixels - other_mean) / other_std


def _normalisation(preprocessor: BaseDataPreprocessor, like: Tensor) -> tuple[Tensor, Tensor, bool]:
    flags = ('to_rgb', '_channel_conversion', 'channel_conversion')
    rgb = any(bool(getattr(preprocessor, flag, False)) for flag in flags)
    if not getattr(preprocessor, '_enable_normalize', False):
        return like.new_zeros(3, 1, 1), like.new_ones(3, 1, 1), rgb
    return (
        preprocessor.mean.to(like).view(3, 1, 1),
        preprocessor.std.to(like).view(3, 1, 1),
        rgb,
    )


def check_source(key: str, source: Mapping) -> None:
    """Check that a value is ``dict(config=..., checkpoint=...)``, optionally with ``task``.

    Raises:
        ConfigError: If it is not.
    """
    if not isinstance(source, Mapping) or not (
        {'config', 'checkpoint'} <= set(source) <= {'config', 'checkpoint', 'task'}
    ):
        raise ConfigError(f'{key} is {source!r}; give dict(config=..., checkpoint=...)')
