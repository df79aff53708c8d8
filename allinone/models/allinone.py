"""One backbone, many tasks: the joint model."""

import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import cast

import torch
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmengine.model import BaseModel, ImgDataPreprocessor, ModuleDict
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from allinone.balancers.base import Balancer
from allinone.checkpoint.backbone_weights import load_backbone
from allinone.checkpoint.upstream_neck import UpstreamNeck, skipped_levels
from allinone.config.build_errors import accepted_keys, unknown_key
from allinone.config.check import check_frozen, check_shared_neck
from allinone.config.source_checks import check_label_weights
from allinone.data.shared_sample import is_shared, labelled_batch
from allinone.distributed.processes import Alone
from allinone.errors import ConfigError
from allinone.io.renames import renamed_arguments
from allinone.registry import BALANCERS, MODELS
from allinone.registry.kinds import model_class
from allinone.registry.options import check_choice, check_count, check_flag, check_number
from allinone.step import BalancedStep, build_step
from allinone.step.clipping import ClipWithoutWaiting
from allinone.step.iteration import micro_batches
from allinone.step.layers import check_layers
from allinone.step.shared_step import check_features
from allinone.tasks import TaskKind
from allinone.tasks.annotated_classes import LABELS
from allinone.tasks.ignored_regions import REGIONS

from . import batch_norm
from .adapters import build_adapter
from .backbones.normalisation import warn_of_mismatch
from .distillation import Distillation
from .frozen import check_balancer, freeze
from .probe import check_tasks
from .shared_backbone import SharedBackbone, backbone_pass, built_around, layers_of
from .shared_images import Losses, SharedImages, check_preprocessors, predict_shared
from .shared_neck import BackboneWithNeck
from .task_model import build_model, build_task
from .tta import build_merger, has_views

COMPILED = 64  # compiled graphs per class of blocks, which differ in structure, mode or size


@MODELS.register_module()
class AllInOne(BaseModel):
    """Upstream models as tasks on one shared backbone.

    A task is the config of a model of a kind in ``TASK_KINDS``, without its backbone. The state
    dict holds the backbone once, under ``backbone.*``, task-specific parameters under
    ``tasks.NAME.*`` and parameters of the balancer under ``balancer.*``.

    Args:
        backbone: Config of the backbone, which returns one or several feature maps. An ``init_cfg``
            of type ``Pretrained`` is loaded without executing code; a file without any matching key
            is an error.
        shared_neck: Config of a neck, with ``tasks``, the names of those that use its feature maps
            instead of the backbone's, and ``feature_indices``, the backbone's feature maps that it
            takes (default: all). It is a part of the backbone: what is said of the backbone's
            gradients, batch norm, learning rate and freezing applies to it. Its state is under
            ``shared_neck.*``, and it runs once for all its tasks.
        tasks: ``{name: model config}``; the user chooses the names. Besides the upstream keys, a
            config may have ``feature_indices``, the backbone's feature maps that the task uses, in
            order (default: all); ``adapter``, the config of a :class:`BackboneAdapter`; ``tta``,
            the config of the library's model that merges the views of test-time augmentation
            (:mod:`.tta`); and ``kind``, a name of ``TASK_KINDS`` (default: by the model's class).
        balancer: Config of a method of ``BALANCERS``. Default: ``FixedWeights``, all 1.
        data_preprocessor: Normalisation ``mean``, ``std``, ``bgr_to_rgb`` and ``pad_size_divisor``
            of the images, for one-pass prediction and as the default of each task's preprocessor.
        clip_grad_per_task: Clip each task's gradient to this norm before the tasks are combined.
        grad_similarity_interval: Number of iterations between logged comparisons of the tasks'
            backbone gradients (norms, cosines, conflicts); 0: never. With balancers that need the
            gradients, every iteration compares them.
        skip_non_finite: Skip a task's contribution to a step if its loss or gradient is non-finite;
            the log then has ``TASK/dropped``.
        frozen: Parts that training does not change by a single bit: ``'backbone'`` and names of
            tasks. Their weights come from ``load_from``; frozen tasks need no training data.
        distill: ``dict(teacher=..., losses=...)`` of a :class:`Distillation`, which adds losses
            towards teachers to those of the labels.
        channels_last: Use the channels-last memory format for weights and images, which is faster
            for convolutional backbones on most devices.
        bn: Mode of the backbone's batch norm. ``'shared'``: one set of statistics, updated by the
            batches of all tasks. ``'frozen'``: statistics do not change. ``'per_task'`` or
            ``dict(type='per_task', affine=True)``: task-specific statistics (and, with ``affine``,
            scale and shift), at the cost of one backbone pass per task. ``'sync'``: statistics of
            the batch over all processes.
        compile_backbone: Compile the backbone's layers with ``torch.compile``, once for all image
            sizes; or a dictionary of its options.
        init_cfg: As in mmengine.

    Raises:
        ConfigError: If a key is misspelt, ``feature_indices`` or channels do not match the
            backbone, or a balancer's options do not match the tasks.
    """

    @renamed_arguments(
        compile_trunk='compile_backbone',
        conflict_interval='grad_similarity_interval',
        drop_bad='skip_non_finite',
        max_task_norm='clip_grad_per_task',
    )
    def __init__(
        self,
        backbone: dict,
        tasks: Mapping[str, dict],
        balancer: dict | None = None,
        data_preprocessor: dict | None = None,
        clip_grad_per_task: float | None = None,
        grad_similarity_interval: int = 50,
        skip_non_finite: bool = True,
        frozen: Sequence[str] = (),
        distill: Mapping | None = None,
        channels_last: bool = False,
        bn: str | Mapping = 'shared',
        compile_backbone: bool | Mapping = False,
        shared_neck: Mapping | None = None,
        init_cfg: dict | None = None,
        **misspelt,
    ):
        if misspelt:
            known = set(inspect.signature(AllInOne).parameters) - {'misspelt'}
            raise ConfigError(unknown_key('model', min(misspelt), known))
        if not tasks:
            raise ConfigError('model.tasks is empty; name at least one task')
        if clip_grad_per_task is not None:
            check_number('model.clip_grad_per_task', clip_grad_per_task, 0, open_low=True)
        check_count('model.grad_similarity_interval', grad_similarity_interval, 0)
        check_flag('model.skip_non_finite', skip_non_finite)
        frozen = check_frozen(frozen or (), list(tasks))
        kind, affine = batch_norm.parse(bn)
        normalisation = dict(data_preprocessor or {})
        for name in normalisation.keys() - accepted_keys(ImgDataPreprocessor) - {'type'}:
            known = accepted_keys(ImgDataPreprocessor)
            raise ConfigError(unknown_key('model.data_preprocessor', name, known))
        super().__init__(
            dict(normalisation, type='mmengine.ImgDataPreprocessor')
            if normalisation
            else dict(type='mmengine.ImgDataPreprocessor'),
            init_cfg,
        )
        self.frozen = frozen
        backbone = ConfigDict(backbone)
        self.backbone, self._pretrained = _build_backbone(backbone)
        self._set_shared_neck(shared_neck, list(tasks))
        self.channels_last = channels_last
        if channels_last:
            self.backbone.register_forward_pre_hook(_channels_last)
        self.kinds: dict[str, TaskKind] = {}
        self.tasks = ModuleDict(
            {
                # A copy, because mmdet modifies the config that it builds from.
                name: self._build_task(name, copy.deepcopy(ConfigDict(cfg)), normalisation)
                for name, cfg in tasks.items()
            }
        )
        self.bn = kind
        batch_norm.set_up(self, kind, affine)
        self._tta = {name: cfg.get('tta') for name, cfg in tasks.items()}
        self.distillation = None if distill is None else _build_distillation(distill, self)
        self.balancer = _build_balancer(balancer or dict(type='FixedWeights'))
        self.balancer.bind(list(self.tasks))
        check_layers(self.balancer, self.shared_part())
        if channels_last:
            self.to(memory_format=torch.channels_last)
        #: Labelled images that a task needs in a batch: 2 where batch norm sees one value an image
        self.min_labelled: dict[str, int] = check_tasks(self)
        freeze(self)
        check_balancer(self, clip_grad_per_task)
        self._step_options: dict = dict(
            clip_grad_per_task=clip_grad_per_task,
            grad_similarity_interval=grad_similarity_interval,
            skip_non_finite=skip_non_finite,
        )
        #: A sample of each task with labels, for images without labels beside it
        self.labels_like: dict[str, BaseDataElement] = {}
        self._sources: dict[str, tuple[str, ...]] = {}
        self._label_weights: dict[str, dict[str, float]] = {}
        self._step: BalancedStep | None = None
        if compile_backbone is not False:
            _compile(self, compile_backbone)

    def _build_task(self, name: str, cfg: ConfigDict, normalisation: dict) -> nn.Module:
        key = f'model.tasks.{name}'
        adapter = cfg.pop('adapter', None)
        cfg.pop('tta', None)
        if name in self.neck_tasks and 'neck' in accepted_keys(model_class(cfg)):
            cfg.setdefault('neck', None)  # Which some detectors require
        with built_around(self.backbone):
            task, self.kinds[name] = build_task(key, cfg, normalisation)
        if adapter is not None:
            task.adapter = build_adapter(f'{key}.adapter', adapter, self.shared_part([name]))
        self.bind_view(name, task)
        return task

    def bind_view(self, name: str, task: nn.Module | None = None) -> None:
        """Let a task see the backbone, or the shared neck, through its adapter if it has one."""
        task = self.tasks[name] if task is None else task
        adapter = getattr(task, 'adapter', None)
        self.view(name, task).bind(self.shared_part([name]), adapter, self._with_neck)

    def _set_shared_neck(self, cfg: Mapping | None, tasks: list[str]) -> None:
        self.neck_tasks: tuple[str, ...] = ()
        self.shared_neck: nn.Module | None = None
        with_neck = None
        if cfg is not None:
            neck = ConfigDict(copy.deepcopy(dict(check_shared_neck(cfg, tasks))))
            self.neck_tasks, chosen = tuple(neck.pop('tasks')), neck.pop('feature_indices', None)
            self.shared_neck = build_model('model.shared_neck', neck)
            with_neck = BackboneWithNeck(self.backbone, self.shared_neck, chosen)
        # Outside the module tree, in which both parts are
        object.__setattr__(self, '_with_neck', with_neck)

    def upstream_neck(self, task: str) -> UpstreamNeck | None:
        """Names of the shared neck in the upstream model of a task; None if it does not use it."""
        if task not in self.neck_tasks:
            return None
        neck, own = self.shared_neck, getattr(self.tasks[task], 'neck', None)
        listed = isinstance(own, nn.Sequential)
        skipped = skipped_levels(
            type(neck).__name__,
            getattr(neck, 'start_level', 0),
            getattr(neck, 'num_ins', 0),
            getattr(neck, 'num_outs', 0),
            self.view(task).feature_indices,
        )
        return UpstreamNeck(
            len(cast(nn.Sequential, own)) if listed else int(own is not None), listed, skipped or 0
        )

    def shared_part(self, tasks: Iterable[str] | None = None) -> nn.Module:
        """What tasks share: the backbone, with the shared neck if one of them uses it.

        Args:
            tasks: Names of the tasks. Default: all.
        """
        used = self._with_neck is not None and (
            tasks is None or not set(self.neck_tasks).isdisjoint(tasks)
        )
        return self._with_neck if used else self.backbone

    def view(self, name: str, task: nn.Module | None = None) -> SharedBackbone:
        """The shared backbone as a task sees it."""
        return getattr(self.tasks[name] if task is None else task, self.kinds[name].entry)

    def train(self, mode: bool = True) -> 'AllInOne':
        """As in torch, except that frozen parts stay in evaluation mode."""
        super().train(mode)
        freeze(self)
        if self.bn == 'frozen':
            for norm in batch_norm.norms_of(self.shared_part()):
                norm.eval()
        return self

    def freeze_statistics(self) -> None:
        """Freeze the statistics of the backbone's batch norm from now on."""
        self.bn = 'frozen'
        self.train()

    def step_with(self, processes: Alone) -> None:
        """Make training steps together with other processes."""
        self._step_options['processes'] = processes
        self._step = None

    def bind_sources(
        self,
        sources: Mapping[str, Sequence[str]],
        label_weights: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        """Set which tasks each source of training data serves, and how much its labels count.

        Args:
            sources: ``{source: tasks}``. Without it, a source serves the task of its name.
            label_weights: ``{source: {task: factor}}`` of a task's loss on the images of a source;
                default: 1.

        Raises:
            ConfigError: If the tasks of a source cannot share images, the balancer cannot work
                with such sources, or a factor is no positive number.
        """
        self._sources = {source: tuple(tasks) for source, tasks in sources.items()}
        self._label_weights = {}
        for source, weights in (label_weights or {}).items():
            served = self._sources.get(source, (source,))
            check_label_weights(f'train_dataloader.{source}', weights, served)
            self._label_weights[source] = dict(weights)
        self._step = None
        for source, tasks in self._sources.items():
            if len(tasks) > 1:
                check_preprocessors(self, source, tasks)
        for source, tasks in self._sources.items():
            adapted = [task for task in self._adapted() if task in tasks]
            if adapted and len(tasks) > 1:
                print_log(
                    f'train_dataloader.{source}: the tasks {adapted} have task-specific weights '
                    "of the backbone (adapter, or bn='per_task'), so each makes a separate pass "
                    'of the backbone',
                    'current',
                )
        clip = self._step_options['clip_grad_per_task']
        beside = [task for task in self.tasks if self.neck_tasks and task not in self.neck_tasks]
        check_features(self.balancer, self._sources, self._adapted(), clip, beside)
        self._build_step()

    def check_shared_batch(self, source: str, batch: Mapping) -> None:
        """Prepare a batch of a shared source for each of its tasks, without running the model.

        Raises:
            ConfigError: If their data preprocessors give images of different sizes.
        """
        tasks = self._sources[source]
        images = SharedImages(self, tasks, batch)
        for task in tasks:
            images.data(task)

    def _adapted(self) -> list[str]:
        """Tasks that make a separate pass of the backbone."""
        return [name for name in self.tasks if self.view(name).adapter is not None]

    def _build_step(self) -> BalancedStep:
        averaging = [
            name
            for name, task in self.tasks.items()
            if self.kinds[name].averages_over_processes(task)
        ]
        self._step = build_step(
            self.balancer,
            self.shared_part(),
            dict(self.tasks.items()),
            self._sources,
            synchronised=averaging,
            adapted=self._adapted(),
            label_weights=self._label_weights,
            **self._step_options,
        )
        return self._step

    @property
    def backbone_is_pretrained(self) -> bool:
        """Whether :meth:`init_weights` reads the backbone's weights from a file."""
        return self._pretrained is not None

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        batch_norm.inherit(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def init_weights(self) -> None:
        super().init_weights()
        if self._pretrained is not None:
            load_backbone(
                self.backbone,
                self._pretrained['checkpoint'],
                prefix=self._pretrained.get('prefix'),
                key='model.backbone.init_cfg.checkpoint',
            )
            warn_of_mismatch(self.backbone, self.data_preprocessor)
        batch_norm.start(self)
        if self.distillation is not None:
            self.distillation.start(self.tasks)

    def train_step(self, data: Mapping[str, dict], optim_wrapper) -> dict[str, Tensor]:
        """Forward and backward of each source in turn, the balancer, one optimizer step.

        Args:
            data: ``{source: batch}`` of the participating sources, each batch as collated by its
                data loader, or a list of such batches, over whose images losses are averaged.
            optim_wrapper: mmengine's optimizer wrapper; mixed precision and gradient accumulation
                are supported.

        Returns:
            Scalars for the log, ``'TASK/name'`` each, and ``'loss'``, the weighted sum.
        """
        for source in data:
            if source not in self._sources and source not in self.tasks:
                raise ConfigError(
                    f'the batch of {source!r} is of no task ({list(self.tasks)}); say which tasks '
                    f'a source serves with model.bind_sources({{{source!r}: [...]}})'
                )
        batches = {source: micro_batches(batch) for source, batch in data.items()}
        losses_of = Losses(self, partial(optim_wrapper.optim_context, self))
        step = self._step or self._build_step()
        log = step(batches, losses_of, optim_wrapper)
        trained = [task for task in self.tasks if f'{task}/loss' in log]
        if optim_wrapper.should_update():
            optim_wrapper.step()
            clip = getattr(optim_wrapper, 'clip_func', None)
            if isinstance(clip, ClipWithoutWaiting) and (norm := clip.take_norm()) is not None:
                log[optim_wrapper.grad_name] = norm
            optim_wrapper.zero_grad()
            weighted = [log[f'{task}/weight'] * log[f'{task}/loss'] for task in trained]
        else:
            weighted = [log[f'{task}/loss'] for task in trained]
        shares = torch.stack(weighted)
        # Only finite tasks count, because only they were trained.
        total = torch.where(torch.isfinite(shares), shares, 0).sum()
        return dict(loss=total, **log)

    def task_losses(self, task: str, batch: Mapping) -> dict[str, Tensor]:
        """``{name: loss}`` of one task on one collated batch, including distillation losses.

        Of a batch of a shared source, the images with labels of the task are used.
        """
        data = self.tasks[task].data_preprocessor(labelled_batch(batch, task), True)
        return self.losses_of_data(task, data)

    def losses_of_data(self, task: str, data: dict) -> dict[str, Tensor]:
        """As :meth:`task_losses`, of what the task's data preprocessor gives."""
        model, samples = self.tasks[task], data.get('data_samples')
        first = samples[0] if isinstance(samples, Sequence) and samples else None
        only: AbstractContextManager = nullcontext()
        if samples and (hasattr(first, LABELS) or hasattr(first, REGIONS)):
            annotated = getattr(first, LABELS, None)
            only = self.kinds[task].only_annotated(model, samples, annotated)
        with only:
            if self.distillation is not None:
                return self.distillation.losses(task, model, data)
            return model._run_forward(data, mode='loss')

    def val_step(self, data: Mapping[str, dict]) -> dict[str, list]:
        """Predictions of each task's model on its labelled images: ``{task: samples}``.

        Args:
            data: ``{source: batch}``; the images of a shared source pass the backbone once.
        """
        found: dict[str, list] = {}
        for source, batch in data.items():
            if is_shared(batch):
                found |= predict_shared(self, batch)
            else:
                found[source] = self.tasks[source].val_step(batch)
        return found

    def test_step(self, data: Mapping[str, dict]) -> dict[str, list]:
        """As :meth:`val_step`; several views of an image are merged into one prediction.

        Raises:
            ConfigError: If images of a shared source come in several views.
        """
        found: dict[str, list] = {}
        for source, batch in data.items():
            if not has_views(batch):
                found |= self.val_step({source: batch})
                continue
            if source not in self.tasks:
                raise ConfigError(
                    f'test_dataloader.{source} gives several views of an image (TestTimeAug), '
                    'which is for sources of one task; give each task its own test_dataloader'
                )
            merger = build_merger(self.tasks[source], self.kinds[source], self._tta[source])
            found[source] = merger.test_step(batch)
        return found

    @torch.no_grad()
    def predict(
        self,
        inputs: Tensor | Sequence[Tensor],
        tasks: Sequence[str] | None = None,
        metainfo: Sequence[dict] | None = None,
    ) -> dict[str, list]:
        """All tasks on the same images in one pass of the backbone.

        Args:
            inputs: Images ``(3, H, W)`` of any sizes as a list, or ``(N, 3, H, W)``; BGR,
                0 to 255, before normalisation.
            tasks: Names; default: all.
            metainfo: Metadata of each image's data samples, such as ``ori_shape`` and
                ``scale_factor`` (width, height) of a resized image; predictions are in pixels of
                the original image.

        Returns:
            ``{task: data samples}`` of the tasks' libraries, one sample per image.

        Raises:
            ConfigError: If a task is unknown.
        """
        names = self.task_names(tasks)
        batch = self.data_preprocessor(dict(inputs=list(inputs)), False)['inputs']
        return self.predict_batch(batch, names, [tuple(x.shape[-2:]) for x in inputs], metainfo)

    @torch.no_grad()
    def predict_batch(
        self,
        batch: Tensor,
        tasks: Sequence[str],
        sizes: Sequence[tuple[int, int]] | None = None,
        metainfo: Sequence[dict] | None = None,
    ) -> dict[str, list]:
        """As :meth:`predict`, on a normalised and padded batch ``(N, 3, H, W)``."""
        height, width = batch.shape[-2:]
        sizes = sizes or [(height, width)] * len(batch)
        with self._pass(tasks, batch):
            return {
                task: self._predict_task(
                    task, batch, self.kinds[task].samples(batch, sizes, metainfo)
                )
                for task in tasks
            }

    def _predict_task(self, task: str, batch: Tensor, samples: list) -> list:
        try:
            return self.tasks[task](batch, samples, mode='predict')
        except (KeyError, AttributeError) as error:
            raise ConfigError(
                f'model.tasks.{task}: {type(self.tasks[task]).__name__} cannot predict these '
                f'images without a data set: {type(error).__name__}: {error}; if it needs what a '
                'data set gives, such as proposals, use tools/test.py'
            ) from error

    def forward(
        self,
        inputs: Tensor,
        data_samples: Mapping[str, list] | None = None,
        mode: str = 'tensor',
        tasks: Sequence[str] | None = None,
    ) -> dict:
        """Each task's upstream ``forward`` on one normalised batch, with a single backbone pass.

        Args:
            inputs: Normalised images ``(N, 3, H, W)``.
            data_samples: ``{task: samples}``.
            mode: ``'tensor'``, ``'predict'`` or ``'loss'``, as in mmengine.
            tasks: Names; default: all.

        Returns:
            ``{task: result}``.
        """
        names = self.task_names(tasks)
        with self._pass(names, inputs):
            return {
                task: self.tasks[task](inputs, (data_samples or {}).get(task), mode=mode)
                for task in names
            }

    def _pass(self, tasks: Sequence[str], images: Tensor) -> AbstractContextManager:
        adapted = set(self._adapted())
        shared = self.shared_part([task for task in tasks if task not in adapted])
        return backbone_pass(shared, [self.view(task) for task in tasks], images)

    def task_names(self, tasks: Sequence[str] | None = None) -> list[str]:
        """``tasks`` after a check, or the names of all tasks."""
        unknown = set(tasks or ()) - set(self.tasks)
        if unknown:
            raise ConfigError(
                f'tasks {sorted(unknown)} are not in model.tasks, which has {list(self.tasks)}'
            )
        return list(self.tasks) if tasks is None else list(tasks)

    def views(self) -> list[SharedBackbone]:
        return [self.view(task) for task in self.tasks]


def _channels_last(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].contiguous(memory_format=torch.channels_last),)


def _compile(model: AllInOne, options: bool | Mapping) -> None:
    if options is not True and not isinstance(options, Mapping):
        raise ConfigError(
            f'model.compile_backbone is {options!r}; give True, or options of torch.compile as in '
            "dict(mode='reduce-overhead')"
        )
    adapted = [name for name, view in zip(model.tasks, model.views()) if view.adapter is not None]
    if adapted:
        raise ConfigError(
            f'model.compile_backbone is set, but the tasks {adapted} exchange weights of the '
            'backbone '
            "(adapter, or bn='per_task'); leave one of them out"
        )
    if model.balancer.regulariser is not None:
        raise ConfigError(
            f'model.compile_backbone is set, but {type(model.balancer).__name__} needs second '
            'derivatives, which compiled layers do not have; leave one of them out'
        )
    # PyTorch limits the graphs of all blocks of a class together, by default to 8.
    dynamo = torch._dynamo.config
    dynamo.cache_size_limit = max(dynamo.cache_size_limit, COMPILED)
    options = {'dynamic': True, **(options if options is not True else {})}
    # Layer by layer, because each then begins with plain symbolic sizes: through a full backbone
    # they become nested divisions, which take minutes. The modules stay, and with them their names.
    for layer in list(layers_of(model.shared_part())) or [model.backbone]:
        layer.compile(**options)


def _build_distillation(cfg: Mapping, model: AllInOne) -> Distillation:
    if not isinstance(cfg, Mapping) or set(cfg) != {'teacher', 'losses'}:
        raise ConfigError(f'model.distill is {cfg!r}; give dict(teacher=..., losses=...)')
    return Distillation(cfg['teacher'], cfg['losses'], dict(model.tasks.items()), model.kinds)


def _build_balancer(cfg: Mapping) -> Balancer:
    cfg = dict(cfg)
    gradients = cfg.pop('gradients', None)
    if gradients is not None:
        check_choice('model.balancer.gradients', gradients, ['backbone', 'features'])
    balancer = BALANCERS.build(cfg)
    if gradients is not None:
        balancer.gradients = gradients
    return balancer


def _build_backbone(cfg: ConfigDict) -> tuple[nn.Module, dict | None]:
    """The backbone, and its ``init_cfg`` of type ``Pretrained``, which mmengine would unpickle.

    Constructors see it where they accept it, because some initialise added layers otherwise
    without it. No module keeps it.
    """
    key, pretrained = 'model.backbone', cfg.get('init_cfg')
    if not _is_pretrained(pretrained):
        return build_model(key, cfg), None
    without = ConfigDict({name: value for name, value in cfg.items() if name != 'init_cfg'})
    cls = model_class(cfg)
    if cls is None or 'init_cfg' not in accepted_keys(cls):
        return build_model(key, without), pretrained
    try:
        backbone = build_model(key, cfg)
    except ConfigError:
        return build_model(key, without), pretrained
    for module in backbone.modules():
        if _is_pretrained(getattr(module, 'init_cfg', None)):
            module.init_cfg = None  # type: ignore[assignment]
    return backbone, pretrained


def _is_pretrained(init_cfg) -> bool:
    return isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained'
