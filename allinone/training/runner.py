"""mmengine's runner over several tasks' data sets."""

import os
import os.path as osp
import time
from copy import copy
from datetime import timedelta
from functools import cached_property

import mmengine
import torch
from mmengine.device import get_device, is_cuda_available
from mmengine.dist import is_distributed, is_main_process, master_only
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from allinone.checkpoint.folder import is_folder, share_of
from allinone.checkpoint.loading import (
    load_state_dict,
    read_checkpoint,
    require_weights,
    state_dict_of,
)
from allinone.checkpoint.shards import all_read, map_tensors, shard_state, whole
from allinone.checkpoint.writer import CheckpointWriter
from allinone.config.build_errors import misspelt, named
from allinone.config.check import check_config
from allinone.data.task_loaders import TaskLoaders
from allinone.distributed.consistency import require_same_everywhere
from allinone.distributed.launchers import set_variables
from allinone.distributed.processes import is_sharded
from allinone.errors import AllInOneError, CheckpointError, ConfigError
from allinone.io.atomic import write_durably
from allinone.io.host_memory import keep_freed_memory
from allinone.registry import MODEL_WRAPPERS, RUNNERS
from allinone.registry.options import check_choice
from allinone.step.clipping import ClipWithoutWaiting

from .accumulation import ended_with, iterations_of
from .resume import keep_earlier_run, move_later_checkpoints, newest_checkpoint, read_resumable
from .run_manifest import changes, record_text, require_same_run, run_record
from .signals import StopSignals

# Beside mmengine's default hooks, also where a config does not name them
FURTHER_HOOKS = dict(
    batch_sizes=dict(type='BatchSizeHook'), follow_validation=dict(type='FollowValidationHook')
)


@RUNNERS.register_module()
class MultiDatasetRunner(Runner):
    """Trains, validates and tests an :class:`AllInOne` model on one data set a task.

    The stock runner throughout: dataloaders and evaluators are keyed by task, the loops of
    this package draw from them, checkpoints are read without executing code.

    Attributes:
        checkpoint_writer: Where :meth:`save_checkpoint` sends checkpoints.
        stop_signals: What was asked of this run by SIGTERM or SIGINT.
        record: :func:`run_record` of a training; also ``meta.run`` of its checkpoints.
    """

    _training = False
    _testing = False
    _force_resume = False
    _resumed: tuple[str, dict] | None = None

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
        force = cfg.pop('force_resume', False)
        check_config(cfg)
        resumed = None
        if cfg.get('resume'):
            path = (cfg.get('load_from') or '').rstrip('/') if cfg['resume'] != 'auto' else None
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
        self.checkpoint_writer = CheckpointWriter()
        self.stop_signals = StopSignals()
        self.record: dict | None = None
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

    def build_optim_wrapper(self, optim_wrapper):
        with named('optim_wrapper', optim_wrapper):
            built = super().build_optim_wrapper(optim_wrapper)
        # On resuming mmengine asks again for what is built.
        if built is not optim_wrapper and getattr(built, 'clip_grad_kwargs', None):
            built.clip_func = ClipWithoutWaiting(built.clip_func)
        return built

    def build_param_scheduler(self, scheduler):
        with named('param_scheduler', scheduler):
            return super().build_param_scheduler(scheduler)

    def register_default_hooks(self, hooks=None) -> None:
        hooks = FURTHER_HOOKS | dict(hooks or {})
        hooks = {k: v for k, v in hooks.items() if v is not None or k not in FURTHER_HOOKS}
        with named('default_hooks', hooks):
            super().register_default_hooks(hooks)

    def register_custom_hooks(self, hooks) -> None:
        with named('custom_hooks', hooks):
            super().register_custom_hooks(hooks)

    def call_hook(self, fn_name: str, **kwargs) -> None:
        if fn_name != 'before_run':
            return super().call_hook(fn_name, **kwargs)
        try:
            super().call_hook(fn_name, **kwargs)
        except (KeyError, TypeError) as error:
            # Some hooks build their parts only now.
            hooks = {key: self.cfg.get(key) for key in ('default_hooks', 'custom_hooks')}
            sentence = misspelt('', hooks, error)
            if sentence is None:
                raise
            raise ConfigError(sentence) from error

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

    def load_or_resume(self) -> None:
        """As in mmengine; then the start of a training is recorded in the work dir.

        Raises:
            ConfigError: If the checkpoint is of a run that this one cannot go on as.
        """
        if not self._training or self._testing or self._has_loaded:
            return super().load_or_resume()
        record = run_record(self)
        require_same_everywhere(
            record,
            self._resumed[1]['meta']['iter'] if self._resumed else 0,
            lambda first, other: changes(first, other, True, True)[0],
        )
        if self._resumed:
            path, checkpoint = self._resumed
            self._compare(path, checkpoint['meta'], record)
            if is_main_process():
                move_later_checkpoints(self.work_dir, path)
        super().load_or_resume()
        if not self._resumed and is_main_process():
            # Not before this: a run that is refused moves nothing.
            keep_earlier_run(self.work_dir)
        self._resumed = None  # Its memory is not needed any more.
        record['resumed_from'] = self._load_from if self._resume else None
        self.record = record
        self._write_record()

    def _compare(self, path: str, meta: dict, record: dict) -> None:
        before, step = meta.get('run'), meta['iter']
        if before is None:
            self.logger.warning(f'{path} has no record of its run; what changed is not known')
            return
        loop, balancer = self.train_loop, getattr(self.model, 'module', self.model).balancer
        other, same = changes(
            before,
            record,
            balancer.uses_metrics or loop.schedule.uses_metrics,
            loop.schedule.uses_length,
        )
        if not ended_with(self, step):
            other.append(
                f'step {step} is amid {iterations_of(self.optim_wrapper)} iterations of '
                'optim_wrapper.accumulative_counts, whose gradients are not saved'
            )
        for clause in same:
            self.logger.info(f'since {path} was saved, {clause}')
        if not self._force_resume:
            require_same_run(path, other)
        for clause in other:
            self.logger.warning(f'forced to resume, though {clause}')

    @master_only
    def _write_record(self) -> None:
        write_durably(osp.join(self.log_dir, 'run.json'), record_text(self.record))
        name = osp.basename(self.cfg.filename or f'{self.timestamp}.py')
        write_durably(osp.join(self.work_dir, name), self._config_text.encode())

    @cached_property
    def _config_text(self) -> str:
        # Laid out once: it takes seconds, and no save should.
        return self.cfg.pretty_text

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Save what mmengine's runner saves, through :attr:`checkpoint_writer`.

        All processes call it. A folder they write together, a file the first one alone.

        Args:
            out_dir: A local folder.
            filename: Its suffix is the format.
            file_client_args: Not used.
            save_optimizer: With the optimizer.
            save_param_scheduler: With the schedulers of learning rate and the like.
            meta: Further entries; ``epoch`` and ``iter`` default to those after this step.
            by_epoch: Not used: loops count iterations.
            backend_args: Not used.

        Raises:
            SaveError: As :meth:`CheckpointWriter.write`.
            CheckpointError: As :meth:`CheckpointWriter.write`.
        """
        self.call_hook('flush_log')
        model = getattr(self.model, 'module', self.model)
        checkpoint = dict(
            meta=dict(
                dict(epoch=self.epoch, iter=self.iter + 1) | (meta or {}),
                cfg=self._config_text,
                seed=self.seed,
                experiment_name=self.experiment_name,
                time=time.strftime('%Y%m%d_%H%M%S', time.localtime()),
                mmengine_version=mmengine.__version__,
                dataset_meta=self.train_dataloader.dataset.metainfo,
                run=self.record,
            ),
            state_dict=model.state_dict(),
            message_hub=self.message_hub.state_dict(),
        )
        if save_optimizer:
            checkpoint['optimizer'] = self.optim_wrapper.state_dict()
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint['param_schedulers'] = [s.state_dict() for s in self.param_schedulers]
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        # Of sharded tensors every process has a part.
        checkpoint = share_of(checkpoint) if is_folder(filename) else whole(checkpoint)
        if is_main_process() or is_folder(filename):
            self.checkpoint_writer.write(
                _on_host(checkpoint, self.checkpoint_writer.background),
                osp.join(out_dir, filename),
            )

    def wrap_model(self, model_wrapper_cfg, model):
        """As in mmengine; over several processes the default is :class:`AllInOneDDP`.

        The weights of a training are initialised before, while they are whole.

        Raises:
            ConfigError: If ``model_wrapper_cfg`` is of a stock wrapper, whose reducer would average
                the sum of the tasks' gradients, or has an unknown option.
        """
        if not self.distributed:
            return super().wrap_model(None, model)
        if self.cfg.get('sync_bn'):
            raise ConfigError(
                f"sync_bn is {self.cfg['sync_bn']!r}; for the trunk, model.bn='sync' does that"
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

    def resume(self, filename: str, **kwargs) -> None:
        """As in mmengine.

        Raises:
            CheckpointError: If optimizer or schedules are of another run.
        """
        try:
            super().resume(filename, **kwargs)
        except AllInOneError:
            raise
        except (ValueError, KeyError, RuntimeError) as error:
            words = ' '.join(str(error).split())
            raise CheckpointError(
                f'{filename} does not fit the optimizer or schedules of the config: {words}'
            ) from error

    def load_checkpoint(self, filename, map_location='cpu', strict=False, revise_keys=()) -> dict:
        """Load weights, or on resuming the whole model, and say what was missing or left over.

        Args:
            filename: A local file.
            map_location: As in ``torch.load``.
            strict: Refuse a checkpoint whose keys are not exactly the model's.
            revise_keys: Not used; a leading ``module.`` is always dropped.

        Raises:
            CheckpointError: If the file cannot be read safely, or nothing in it fits.
        """
        sharded = any(is_sharded(param) for param in self.model.parameters())
        if self._resumed and self._resumed[0] == filename:
            checkpoint = self._resumed[1]
        else:
            checkpoint = read_checkpoint(filename, 'cpu' if sharded else map_location, sharded)
        if not sharded:
            checkpoint = all_read(checkpoint)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = getattr(self.model, 'module', self.model)
        state = state_dict_of(checkpoint, filename)
        if not (self._resume or self._testing):
            # What a balancer learned is of the run that it learned it in.
            state = {name: v for name, v in state.items() if not name.startswith('balancer.')}
        if strict:
            model.load_state_dict(all_read(state), strict=True)
        else:
            load_state_dict(model, state, filename)
        if self._resume or self._testing:
            tasks = self.test_dataloader.loaders if self._testing else model.tasks
            require_weights(model, state, list(tasks), filename)
        elif model.frozen:
            tasks = [name for name in model.frozen if name in model.tasks]
            require_weights(model, state, tasks, filename)
        if self._resume and 'optimizer' in checkpoint:
            optimizer = shard_state(self.optim_wrapper.optimizer, checkpoint['optimizer'])
            checkpoint = dict(checkpoint, optimizer=optimizer)
        self._has_loaded = True
        return checkpoint


def _require_source(model) -> None:
    """Refuse to freeze what has random weights.

    Raises:
        ConfigError: If anything but a pretrained trunk is frozen.
    """
    frozen = set(model.get('frozen') or ())
    if ((model.get('backbone') or {}).get('init_cfg') or {}).get('type') == 'Pretrained':
        frozen -= {'backbone'}
    if frozen:
        raise ConfigError(
            f'model.frozen has {sorted(frozen)}, but no file gives them weights; set load_from to '
            'a checkpoint of the joint model'
        )


def _on_host(value, copy: bool):
    """A checkpoint with its tensors in host memory, and with ``copy`` sharing none of them."""
    return map_tensors(
        value,
        lambda tensor, path: (
            tensor.detach().to('cpu', copy=copy) if isinstance(tensor, torch.Tensor) else tensor
        ),
    )
