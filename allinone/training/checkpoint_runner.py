"""What mmengine's runner saves and loads, without executing code of a checkpoint."""

import os.path as osp
import time
from functools import cached_property

import mmengine
import torch
from mmengine.dist import is_main_process, master_only
from mmengine.runner import Runner
from torch.utils.data import Dataset

from allinone.checkpoint.folder import is_folder, share_of
from allinone.checkpoint.loading import (
    TO_TRAIN,
    load_state_dict,
    read_checkpoint,
    require_weights,
    state_dict_of,
)
from allinone.checkpoint.shards import all_read, map_tensors, shard_state, whole
from allinone.checkpoint.writer import CheckpointWriter
from allinone.distributed.consistency import require_same_everywhere
from allinone.distributed.processes import is_sharded
from allinone.errors import AllInOneError, CheckpointError
from allinone.io.atomic import write_durably
from allinone.io.renames import current_log_key
from allinone.models.allinone import AllInOne
from allinone.models.exported import ExportedModel

from .accumulation import ended_with, iterations_of
from .checkpoint_classes import match_classes
from .follow_length import run_config
from .graph_test import predict_by_graph
from .resume import keep_earlier_run, move_later_checkpoints
from .run_manifest import changes, record_text, require_same_run, run_record
from .schedule_length import keeping_ends
from .start_weights import load_start


class CheckpointRunner(Runner):
    """mmengine's runner with safe checkpoints, and a manifest of each run in its work dir.

    Attributes:
        checkpoint_writer: Where :meth:`save_checkpoint` sends checkpoints.
        record: :func:`run_record` of a training; also ``meta.run`` of its checkpoints.
        graph: An exported graph that is tested in the place of a checkpoint.
    """

    _training = False
    _testing = False
    _force_resume = False
    _resumed: tuple[str, dict] | None = None
    graph: ExportedModel | None = None

    def __init__(self, *args, **kwargs):
        self.checkpoint_writer = CheckpointWriter()
        self.record: dict | None = None
        super().__init__(*args, **kwargs)

    def load_or_resume(self) -> None:
        """As in mmengine; then the start of a training is recorded in the work dir.

        Raises:
            ConfigError: If the checkpoint is of a run that this one cannot go on as.
        """
        if not self._training or self._testing or self._has_loaded:
            return super().load_or_resume()
        record = run_record(self, run_config(self))
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
        self._write_record(record)

    def _compare(self, path: str, meta: dict, record: dict) -> None:
        before, step = meta.get('run'), meta['iter']
        if before is None:
            self.logger.warning(f'{path} has no record of its run; what changed is not known')
            return
        loop = self.train_loop
        other, same = changes(
            before,
            record,
            loop.uses_metrics,
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
    def _write_record(self, record: dict) -> None:
        write_durably(osp.join(self.log_dir, 'run.json'), record_text(record))
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
        model = _unwrapped(self.model)
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

    def resume(self, filename: str, **kwargs) -> None:
        """As in mmengine.

        Raises:
            CheckpointError: If optimizer or schedules are of another run.
        """
        try:
            with keeping_ends(self.param_schedulers):
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
            filename: A local file; to start a training also what :func:`load_start` takes.
            map_location: As in ``torch.load``.
            strict: Refuse a checkpoint whose keys are not exactly the model's; not for a start.
            revise_keys: Not used; a leading ``module.`` is always dropped.

        Raises:
            CheckpointError: If the file cannot be read safely, or nothing in it fits.
        """
        sharded = any(is_sharded(param) for param in self.model.parameters())
        map_location = 'cpu' if sharded else map_location
        model, datasets = _unwrapped(self.model), self._datasets()
        if self._testing and self.graph is not None:
            predict_by_graph(self.graph, model, datasets)
            self._has_loaded = True
            return {}
        if not (self._resume or self._testing):
            by_name = bool(self.cfg.get('load_classes'))
            checkpoint = load_start(model, filename, datasets, by_name, map_location, sharded)
            self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
            self._has_loaded = True
            return checkpoint
        if self._resumed and self._resumed[0] == filename:
            checkpoint = self._resumed[1]
        else:
            checkpoint = read_checkpoint(filename, map_location, sharded)
        if not sharded:
            checkpoint = all_read(checkpoint)
        for part in ('log_scalars', 'resumed_keys'):
            scalars = (checkpoint.get('message_hub') or {}).get(part) or {}
            for key in list(scalars):
                scalars[current_log_key(key)] = scalars.pop(key)  # in their order
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        state = state_dict_of(checkpoint, filename)
        state = match_classes(
            filename, checkpoint, state, model, datasets, bool(self.cfg.get('load_classes'))
        )
        if strict:
            model.load_state_dict(all_read(state), strict=True)
        else:
            load_state_dict(model, state, filename)
        served = (
            [task for tasks in self.test_dataloader.tasks.values() for task in tasks]
            if (self._testing)
            else model.tasks
        )
        require_weights(model, state, list(served), filename, remedy=TO_TRAIN)
        if self._resume and 'optimizer' in checkpoint:
            optimizer = shard_state(self.optim_wrapper.optimizer, checkpoint['optimizer'])
            checkpoint = dict(checkpoint, optimizer=optimizer)
        self._has_loaded = True
        return checkpoint

    def _datasets(self) -> dict[str, tuple[str, Dataset]]:
        """``{task: (config key, data set)}`` of what is tested, or else trained."""
        stage = 'test' if self._testing else 'train'
        loop = self._test_loop if self._testing else self._train_loop
        found: dict[str, tuple[str, Dataset]] = {}
        for part in getattr(getattr(loop, 'dataloader', None), 'parts', ()):
            found.setdefault(part.task, (f'{stage}_dataloader.{part.key}', part.dataset))
        return found


def _unwrapped(model) -> AllInOne:
    """The joint model, without what shares it between processes."""
    return getattr(model, 'module', model)


def _on_host(value, copy: bool):
    """A checkpoint with its tensors in host memory, and with ``copy`` sharing none of them."""
    return map_tensors(
        value,
        lambda tensor, path: (
            tensor.detach().to('cpu', copy=copy) if isinstance(tensor, torch.Tensor) else tensor
        ),
    )
