"""Saving that survives a full disk, at once or in a thread of its own."""

import logging
import threading
from collections.abc import Callable, Mapping

import torch.distributed as dist
from mmengine.logging import print_log

from allinone.errors import AllInOneError, CheckpointError
from allinone.io.atomic import write_durably

from .folder import is_folder, write_folder
from .formats import files_of


class SaveError(CheckpointError):
    """One checkpoint could not be saved; the earlier ones are untouched."""


class CheckpointWriter:
    """Writes checkpoints one after the other, and decides what a failure means.

    A failed save is a warning and the run goes on, for the earlier checkpoints are untouched and
    a disk may be emptied; ``max_failures`` of them in a row end it.

    Args:
        background: Write in a thread. The next save waits for it, and so must the end of the run
            (:meth:`wait`).
        max_failures: So many failed saves in a row are an error.
        done: Called with the path when a checkpoint is in place, in the thread that wrote it.
        failed: Called with the path of a failed save, in the thread that saves.

    Attributes:
        failures: Failed saves in a row, up to now.
        failure: What the last of them was.
    """

    def __init__(
        self,
        background: bool = False,
        max_failures: int = 3,
        done: Callable[[str], None] = lambda path: None,
        failed: Callable[[str], None] = lambda path: None,
    ):
        self.background = background
        self.max_failures = max_failures
        self.done = done
        self.failed = failed
        self.failures = 0
        self.failure = ''
        self._group: dist.ProcessGroup | None = None
        self._thread: threading.Thread | None = None
        self._error: tuple[str, Exception] | None = None

    @property
    def busy(self) -> bool:
        """Whether the thread is writing."""
        return self._thread is not None and self._thread.is_alive()

    def write(self, checkpoint: Mapping, path: str) -> None:
        """Save; with ``background``, return once the thread has begun.

        Args:
            checkpoint: With ``background`` it must share no memory with the training. For a
                folder what :func:`share_of` gives, in all processes.
            path: Its suffix is the format.

        Raises:
            SaveError: If this save failed. In the background: if the one before did.
            CheckpointError: If too many have failed in a row.
        """
        self.wait()
        if is_folder(path) and self._group is None and dist.is_initialized():
            # Of its own, for a thread's messages must not get between those of the training.
            self._group = dist.new_group(backend='gloo')
        if not self.background:
            self._write(checkpoint, path)
            self._judge()
            return
        # Not a daemon: a process that ends in another way still finishes its checkpoint.
        self._thread = threading.Thread(target=self._write, args=(checkpoint, path), name='save')
        self._thread.start()

    def wait(self) -> None:
        """Until nothing is being written any more. Raises as :meth:`write`."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._judge()

    def _write(self, checkpoint: Mapping, path: str) -> None:
        try:
            if is_folder(path):
                write_folder(checkpoint, path, self._group, self.done)
                return
            for file, content in files_of(checkpoint, path).items():
                write_durably(file, content)
            self.done(path)
        except Exception as error:  # Of any kind: a thread has nobody to raise to.
            self._error = path, error

    def _judge(self) -> None:
        if self._error is None:
            self.failures = 0
            return
        (path, error), self._error = self._error, None
        self.failures += 1
        self.failed(path)
        words = str(error)
        if not isinstance(error, AllInOneError):
            words = f'{path} cannot be saved: {type(error).__name__}: {words}'
        self.failure = words
        if self.failures >= self.max_failures:
            raise CheckpointError(
                f'{words}; {self.failures} saves in a row failed, so the run stops '
                '(default_hooks.checkpoint.max_failed_saves)'
            ) from error
        print_log(
            f'{words}; the earlier checkpoints are untouched, and the run goes on '
            f'({self.failures} of {self.max_failures} failed saves in a row)',
            'current',
            logging.WARNING,
        )
        raise SaveError(words) from error
