"""mmengine's runner over several tasks' data sets."""

import os
from copy import copy
from datetime import timedelta

import torch
from mmengine.config import Config
from mmengine.device import get_device, is_cuda_available
from mmengine.dist import is_distributed
from mmengine.runner.base_loop import BaseLoop

from allinone.config.build_errors import misspelt, named
from allinone.config.check import check_config
from allinone.config.expansion import expand_config
from allinone.data.task_loaders import TaskLoaders
from allinone.distributed.launchers import set_variables
from allinone.errors import ConfigError
from allinone.io.host_memory import keep_freed_memory
from allinone.registry import MODEL_WRAPPERS, RUNNERS
from allinone.registry.options import check_choice
from allinone.step.clipping import ClipWithoutWaiting

from . import console
from .checkpoint_runner import CheckpointRunner
from .epochs import check_log, translate_loops, with_epoch_length
from .follow_length import configured_schedulers, followed_schedulers
from .prepare_epochs import prepare_epochs
from .resume import newest_checkpoint, read_resumable
from .shared_layers import shared_layers_grouped_once
from .signals import StopSignals
from .train_loop import MultiTaskTrainLoop
from .upstream_hooks import call_hook, check_hooks, is_of_a_task, library_scope

# Beside mmengine's default hooks, also where a config does not name them
FURTHER_HOOKS = dict(
    batch_sizes=dict(type='BatchSizeHook'), follow_validation=dict(type='FollowValidationHook')
)


@RUNNERS.register_module()
class MultiDatasetRunner(CheckpointRunner):
    """Trains, validates and tests an :class:`AllInOne` model on one data set a task.

    The upstream runner throughout: dataloaders and evaluators are keyed by task, the loops of
    this package draw from them, checkpoints are read without executing code.

    Attributes:
        stop_signals: What was asked of this run by SIGTERM or SIGINT.
    """

    @classmethod
    def from_cfg(cls, cfg):
        """Check the config, choose the checkpoint to go on from, then build.

        Beside mmengine's keys, ``force_resume=True`` goes on from another run's checkpoint, and
        ``resume='auto'`` from the newest in the work dir, or starts with ``load_from`` if there
        is none.

        Raises:
            ConfigError: As :func:`check_config`; or if nothing gives what is frozen its weights.
            CheckpointError: If a run is to be resumed, and its checkpoint cannot be read.
        """
        cfg = copy(cfg)
        if isinstance(cfg, Config):
            expand_config(cfg, strict=False)
        force = cfg.pop('force_resume', False)
        translate_loops(cfg)
        check_config(cfg)
        check_hooks(cfg)
        check_log(cfg)
        resumed = None
        if cfg.get('resume'):
            given = cfg['resume'] != 'auto' and cfg.get('load_from')
            path = os.fspath(given).rstrip('/') if given else None
            resumed = (path, read_resumable(path)) if path else newest_checkpoint(cfg['work_dir'])
            cfg['resume'] = resumed is not None
            randomness = cfg.get('randomness') or {}
            if resumed and randomness.get('seed') is None:
                # Order and augmentation follow from it, and loaders are built before loading.
                cfg['randomness'] = dict(randomness, seed=resumed[1]['meta'].get('seed'))
        try:
            os.makedirs(cfg['work_dir'], exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f'work_dir is {cfg["work_dir"]!r}, which cannot be made: '
                f'{error.strerror}; give another'
            ) from error
        if cfg.get('train_cfg') and not resumed and not cfg.get('load_from'):
            _require_source(cfg['model'])
        with named('', dict(cfg.items())):
            runner = super().from_cfg(cfg)
        runner._resumed, runner._force_resume = resumed, force
        if resumed:
            runner._load_from = resumed[0]
        return runner

    def __init__(self, *args, **kwargs):
        self.stop_signals = StopSignals()
        super().__init__(*args, **kwargs)

    def dump_config(self) -> None:
        """Not yet: until the run is known to start, an earlier one's config is not overwritten."""

    def setup_env(self, env_cfg) -> None:
        if self.distributed and not is_distributed():
            set_variables(self.launcher)
            if not is_cuda_available():
                # mmengine selects a GPU whatever the backend.
                timeout = env_cfg.get('dist_cfg', {}).get('timeout', 1800)
                torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=timeout))
        if not is_cuda_available():
            keep_freed_memory()
        super().setup_env(env_cfg)

    def build_logger(self, *args, **kwargs):
        logger = super().build_logger(*args, **kwargs)
        console.attach(logger)
        return logger

    def build_optim_wrapper(self, optim_wrapper):
        with (
            named('optim_wrapper', optim_wrapper),
            shared_layers_grouped_once(self.model, optim_wrapper),
        ):
            built = super().build_optim_wrapper(optim_wrapper)
        # On resuming mmengine asks again for what is built.
        if built is not optim_wrapper and getattr(built, 'clip_grad_kwargs', None):
            built.clip_func = ClipWithoutWaiting(built.clip_func)
        return built

    def build_train_loop(self, loop):
        built = super().build_train_loop(loop)
        if built is not loop and isinstance(built, MultiTaskTrainLoop):
            self._train_loop = built
            prepare_epochs(self)
            if self.param_schedulers is None:
                # The warm-up is one, without another.
                self.param_schedulers = configured_schedulers(self)
        return built

    def build_param_scheduler(self, scheduler):
        length = getattr(self._train_loop, 'epoch_length', None)
        scheduler = followed_schedulers(self, scheduler)
        scheduler = with_epoch_length(scheduler, length, self.max_iters)
        with named('param_scheduler', scheduler):
            return super().build_param_scheduler(scheduler)

    def register_default_hooks(self, hooks=None) -> None:
        hooks = FURTHER_HOOKS | dict(hooks or {})
        hooks = {k: v for k, v in hooks.items() if v is not None or k not in FURTHER_HOOKS}
        with named('default_hooks', hooks):
            super().register_default_hooks(hooks)

    def register_custom_hooks(self, hooks) -> None:
        with named('custom_hooks', hooks):
            super().register_custom_hooks(list(map(library_scope, hooks)))

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        for hook in console.hooks():
            self.register_hook(hook)

    def call_hook(self, fn_name: str, **kwargs) -> None:
        if fn_name != 'before_run':
            return self._call_hook(fn_name, kwargs)
        try:
            self._call_hook(fn_name, kwargs)
        except (KeyError, TypeError) as error:
            # Some hooks build their parts only now.
            hooks = {key: self.cfg.get(key) for key in ('default_hooks', 'custom_hooks')}
            sentence = misspelt('', hooks, error)
            if sentence is None:
                raise
            raise ConfigError(sentence) from error

    def _call_hook(self, fn_name: str, kwargs: dict) -> None:
        """As in mmengine; hooks that expect one task get it."""
        for hook in self._hooks:
            if not hasattr(hook, fn_name):
                continue
            try:
                if is_of_a_task(hook):
                    call_hook(hook, self, fn_name, kwargs)
                else:
                    getattr(hook, fn_name)(self, **kwargs)
            except TypeError as error:
                raise TypeError(f'{error} in {hook}') from None

    def test(self) -> dict:
        """As in mmengine; a checkpoint that lacks weights of the tested tasks is refused."""
        self._testing = True
        try:
            return super().test()
        finally:
            self._close_loaders()

    def train(self):
        """As in mmengine, until done or stopped by a signal.

        Raises:
            Stopped: If SIGTERM or SIGINT came. The state is saved.
        """
        self._training = True
        try:
            with self.stop_signals:
                return super().train()
        finally:
            self._close_loaders()

    def _close_loaders(self) -> None:
        for loop in (self._train_loop, self._val_loop, self._test_loop):
            if isinstance(loop, BaseLoop) and isinstance(loop.dataloader, TaskLoaders):
                loop.dataloader.close()

    def wrap_model(self, model_wrapper_cfg, model):
        """As in mmengine; over several processes the default is :class:`AllInOneDDP`.

        The weights of a training are initialised before, while they are whole.

        Raises:
            ConfigError: If ``model_wrapper_cfg`` is of an upstream wrapper, whose reducer would
                average the sum of the tasks' gradients, or has an unknown option.
        """
        if not self.distributed:
            return super().wrap_model(None, model)
        if self.cfg.get('sync_bn'):
            raise ConfigError(
                f"sync_bn is {self.cfg['sync_bn']!r}; for the backbone, model.bn='sync' does that"
            )
        cfg = dict(type='AllInOneDDP') | dict(model_wrapper_cfg or {})
        MODEL_WRAPPERS.import_from_location()
        check_choice('model_wrapper_cfg.type', cfg['type'], sorted(MODEL_WRAPPERS.module_dict))
        if not getattr(MODEL_WRAPPERS.get(cfg['type']), 'begins_on_host', False):
            model = model.to(get_device())
        if self._train_loop is not None:
            model.init_weights()
        return MODEL_WRAPPERS.build(cfg, default_args=dict(module=model))

    def _init_model_weights(self) -> None:
        if not self.distributed:
            super()._init_model_weights()


def _require_source(model) -> None:
    """Refuse to freeze what has random weights.

    Raises:
        ConfigError: If anything but a pretrained backbone is frozen.
    """
    frozen = set(model.get('frozen') or ())
    if ((model.get('backbone') or {}).get('init_cfg') or {}).get('type') == 'Pretrained':
        frozen -= {'backbone'}
    if frozen:
        raise ConfigError(
            f'model.frozen has {sorted(frozen)}, but no file gives them weights; set load_from to '
            'a checkpoint of the joint model'
        )
