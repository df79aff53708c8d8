"""mmengine's ``CheckpointHook``, which removes nothing before its successor is on the disk."""

import hashlib
import io
import os
import os.path as osp
from collections import deque
from contextlib import suppress
from glob import escape, glob
from typing import Any

from mmengine.dist import broadcast_object_list, get_world_size, is_main_process, master_only
from mmengine.hooks import CheckpointHook as StockCheckpointHook

from allinone.checkpoint.folder import SUFFIX as FOLDER
from allinone.checkpoint.folder import is_folder, remove_folder, tidy
from allinone.checkpoint.formats import FORMATS, files_of, json_beside
from allinone.checkpoint.loading import read_checkpoint
from allinone.checkpoint.writer import SaveError
from allinone.config.fractions import interval_in, is_fraction
from allinone.errors import CheckpointError, ConfigError
from allinone.io.atomic import SUFFIX, write_durably
from allinone.registry import HOOKS
from allinone.training.accumulation import ended_with

POINTER = 'last_checkpoint'


@HOOKS.register_module()
class CheckpointHook(StockCheckpointHook):
    """Saves as mmengine's hook does, durably, to a local folder.

    A file is written beside its place, flushed to the disk and renamed; only then are the files
    that it supersedes removed and is ``last_checkpoint`` set. When a save fails, everything is as
    if it had not been tried: the best score, too, is again that of the file on the disk.

    Args:
        interval: Iterations, or epochs with ``by_epoch=True``, between checkpoints; a fraction of
            the training; or -1 for the end alone. Default: as often as validation
            (``train_cfg.val_interval``).
        save_format: ``'pth'``, or ``'safetensors'`` with a JSON of what is no tensor beside it;
            or ``'dcp'``, a folder to which each process writes its own share.
        async_save: Copy the state to host memory and write it in a thread, while training goes
            on. The next save, the end of the training and signals wait for it.
        max_failed_saves: So many failed saves in a row end the run; fewer are warnings.
        *args: As in mmengine.
        **kwargs: As in mmengine.

    Raises:
        ConfigError: If an option is out of range.
    """

    filename_tmpl: str
    keep_ckpt_ids: deque[int]
    _before: dict[str, Any]

    def __init__(
        self,
        interval: int | float | None = None,
        *args,
        save_format: str = 'pth',
        async_save: bool = False,
        max_failed_saves: int = 3,
        **kwargs,
    ):
        super().__init__(-1 if interval is None else interval, *args, **kwargs)
        # Until the length of the training is known
        self.unresolved = interval if interval is None or is_fraction(interval) else -1
        if save_format not in FORMATS:
            raise ConfigError(f'save_format is {save_format!r}; the formats are {list(FORMATS)}')
        if not isinstance(max_failed_saves, int) or max_failed_saves < 1:
            raise ConfigError(
                f'max_failed_saves is {max_failed_saves!r}; give a whole number of at least 1'
            )
        self.filename_tmpl = f'{osp.splitext(self.filename_tmpl)[0]}.{save_format}'
        self.async_save = async_save
        self.max_failed_saves = max_failed_saves
        self._on_disk: set[str] = set()
        self._hidden: dict[str, str | None] = {}

    def follow_length(self, val_interval: int, max_iters: int) -> None:
        """Set an interval that is a fraction of the training, or that of validation."""
        if self.unresolved == -1:
            return
        self.interval = interval_in(self.unresolved or val_interval, max_iters)
        self.by_epoch = False
        self.filename_tmpl = self.filename_tmpl.replace('epoch_', 'iter_', 1)

    def before_train(self, runner) -> None:
        super().before_train(runner)
        if not hasattr(self, 'keep_ckpt_ids'):
            self.keep_ckpt_ids = deque()
        writer = runner.checkpoint_writer
        writer.background, writer.max_failures = self.async_save, self.max_failed_saves
        writer.done = lambda path: self._saved(runner, path)
        writer.failed = lambda path: self._restore(runner)
        # The work dir may be a copy; what its original wrote is not this run's to remove.
        self._set_best({key: path and self._here(path) for key, path in self._best().items()})
        self._remember(runner)
        self._on_disk = self._wanted()
        if is_main_process():
            for leftover in glob(osp.join(escape(self.out_dir), f'*{SUFFIX}')):
                os.remove(leftover)
            for folder in glob(osp.join(escape(self.out_dir), f'*{FOLDER}')):
                tidy(folder)

    def every_n_train_iters(self, runner, n: int, start: int = 0) -> bool:
        """Also after the optimizer step that such an iteration is in, instead of amid it."""
        since = runner.iter + 1 - start
        return 0 < n and 0 <= since and since % n < ended_with(runner, runner.iter + 1)

    def _here(self, path: str) -> str:
        return osp.join(self.out_dir, osp.basename(path))

    def after_train(self, runner) -> None:
        if self.save_last and runner.train_loop.stop_training:
            # Stopped early, perhaps between two checkpoints
            path = osp.join(self.out_dir, self.filename_tmpl.format(runner.iter))
            if self.last_ckpt != path:
                self._save_checkpoint_with_step(
                    runner, runner.iter, dict(epoch=runner.epoch, iter=runner.iter)
                )
        self.finish(runner)
        super().after_train(runner)

    def finish(self, runner) -> None:
        """Wait for the save in progress.

        Raises:
            CheckpointError: If the last save failed.
        """
        with suppress(SaveError):
            runner.checkpoint_writer.wait()
        if runner.checkpoint_writer.failures:
            raise CheckpointError(
                f'{runner.checkpoint_writer.failure}; it was the last of the run, and the earlier '
                'ones are untouched: make room and go on from them with --resume'
            )

    def save_now(self, runner) -> str:
        """Save between two steps, whatever the interval; the path.

        Raises:
            CheckpointError: If it cannot be saved.
        """
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        self._save_checkpoint_with_step(runner, runner.iter, meta)
        self.finish(runner)
        return self.last_ckpt

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        with suppress(SaveError):
            runner.checkpoint_writer.wait()
        self._remember(runner)
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)  # At its length it drops the oldest.
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.last_ckpt = osp.join(self.out_dir, self.filename_tmpl.format(step))
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        with suppress(SaveError):  # The writer has logged it.
            runner.save_checkpoint(
                self.out_dir,
                osp.basename(self.last_ckpt),
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                **self.args,
            )

    def _save_best_checkpoint(self, runner, metrics) -> None:
        if not self.save_best:
            return
        with suppress(SaveError):
            runner.checkpoint_writer.wait()
        self._remember(runner)
        if get_world_size() > 1:
            # A save that failed was undone by the main process, which made it; all must agree on
            # what is the best, for they save it together.
            shared = [self._before]
            broadcast_object_list(shared)
            (self._before,) = shared
            self._restore(runner)
        # What the upstream hook does not know it does not remove before the new one is there.
        self._hidden = self._best()
        self._set_best(dict.fromkeys(self._hidden))
        try:
            with suppress(SaveError):
                super()._save_best_checkpoint(runner, metrics)
        finally:
            self._set_best(self._best())
            self._hidden = {}

    def _best(self) -> dict[str, str | None]:
        """Path of the best checkpoint of each metric; one metric alone goes by the name ''."""
        if not self.save_best:
            return {}
        alone = len(self.key_indicators) == 1
        paths = {'': self.best_ckpt_path} if alone else self.best_ckpt_path_dict
        return {key: path or self._hidden.get(key) for key, path in paths.items()}

    def _set_best(self, paths: dict[str, str | None]) -> None:
        if self.save_best and len(self.key_indicators) == 1:
            (self.best_ckpt_path,) = paths.values()
        elif self.save_best:
            self.best_ckpt_path_dict = dict(paths)

    def _remember(self, runner) -> None:
        info = runner.message_hub.runtime_info
        self._before = dict(
            last=self.last_ckpt,
            keep=list(self.keep_ckpt_ids),
            best=self._best(),
            info={name: value for name, value in info.items() if _is_own(name)},
        )

    def _restore(self, runner) -> None:
        self.last_ckpt = self._before['last']
        self.keep_ckpt_ids = deque(self._before['keep'], self.keep_ckpt_ids.maxlen)
        self._set_best(self._before['best'])
        info = runner.message_hub.runtime_info
        for name in [name for name in info if _is_own(name)]:
            del info[name]
        info.update(self._before['info'])

    def _wanted(self) -> set[str]:
        steps = [osp.join(self.out_dir, self.filename_tmpl.format(i)) for i in self.keep_ckpt_ids]
        return {*steps, *filter(None, self._best().values())}

    def _saved(self, runner, path: str) -> None:
        if not is_main_process():
            return  # Of a folder, which all have written, the first process keeps account.
        wanted = self._wanted()
        for old in self._on_disk - wanted - {path}:
            with suppress(FileNotFoundError):
                _remove(old)
        self._on_disk = (self._on_disk | {path}) & wanted
        if path == self.last_ckpt:
            write_durably(osp.join(runner.work_dir, POINTER), path.encode())

    @master_only
    def _publish_model(self, runner, ckpt_path: str) -> None:
        checkpoint = read_checkpoint(ckpt_path)
        kept = {key: value for key, value in checkpoint.items() if key in self.published_keys}
        stem, suffix = osp.splitext(ckpt_path)
        suffix = '.safetensors' if suffix == FOLDER else suffix
        (write, *_) = files_of(kept, stem + suffix).values()
        write(content := io.BytesIO())
        final_path = f'{stem}-{hashlib.sha256(content.getbuffer()).hexdigest()[:8]}{suffix}'
        for file, write in files_of(kept, final_path).items():
            write_durably(file, write)
        runner.logger.info(f'The checkpoint ({ckpt_path}) is published to {final_path}.')


def _remove(path: str) -> None:
    if is_folder(path):
        return remove_folder(path)
    for file in (path, json_beside(path)) if path.endswith('.safetensors') else (path,):
        with suppress(FileNotFoundError):
            os.remove(file)


def _is_own(name: str) -> bool:
    return name in ('last_ckpt', 'keep_ckpt_ids') or name.startswith(('best_ckpt', 'best_score'))
