"""Fault-tolerant saving of checkpoints, synchronously or in a background thread."""

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
    """A checkpoint could not be saved; earlier ones are unchanged."""


class CheckpointWriter:
    """Writes checkpoints one by one, and handles failures.

    A failed save logs a warning and the run continues, because earlier checkpoints are unchanged
    and the user may free disk space. ``max_failures`` failed saves in a row end the run.

    Args:
        background: Write in a thread. The next save waits for it; call :meth:`wait` at the end of
            the run.
        max_failures: Number of failed saves in a row that raises an error.
        done: Called with the path of a completed checkpoint, in the thread that wrote it.
        failed: Called with the path of a failed save, in the thread that calls :meth:`write` or
            :meth:`wait`.

    Attributes:
        failures: Current number of failed saves in a row.
        failure: Message of the last failure.
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
            checkpoint: With ``background`` it must not share memory with the training. For a
                folder, the result of :func:`share_of`, in all processes.
            path: Its suffix selects the format.

        Raises:
            SaveError: If this save failed; in the background, if the previous one failed.
            CheckpointError: If ``max_failures`` saves failed in a row.
        """
        self.wait()
        if is_folder(path) and self._group is None and dist.is_initialized():
            # A separate group, because a thread's messages must not mix with those of the training
            self._group = dist.new_group(backend='gloo')
        if not self.background:
            self._write(checkpoint, path)
            self._judge()
            return
        # Not a daemon: a process that exits early still finishes its checkpoint.
        self._thread = threading.Thread(target=self._write, args=(checkpoint, path), name='save')
        self._thread.start()

    def wait(self) -> None:
        """Wait until the current save is complete. Raises as :meth:`write`."""
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
        except Exception as error:  # Any type: a thread cannot raise to its caller.
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
