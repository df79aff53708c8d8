"""The console of a training or test: short lines there, everything in the log file."""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from rich.console import Console
from rich.text import Text

from allinone.distributed.launchers import is_first_process
from allinone.registry import LIBRARIES

from .noise import is_noise

# Of what they log, warnings and errors are for people. Others speak for the run.
FILE_ONLY = ('mmengine', 'mmcv', *LIBRARIES)
STYLES = {logging.WARNING: 'yellow', logging.ERROR: 'bold red', logging.CRITICAL: 'bold red'}
# No terminal has a width that a log redirected to a file would have to fit.
UNLIMITED = 10_000

_current: 'Screen | None' = None


class Screen:
    """Where short lines go: a terminal, or plain text.

    Args:
        console: The console of rich; default: stdout.
        first: Whether this process speaks; of the others only errors are shown.

    Attributes:
        load: Mean number of processes that were ready to run in the minute before.
    """

    def __init__(self, console: Console | None = None, first: bool = True):
        self.console = console or Console(file=sys.stdout, highlight=False)
        if not self.console.is_terminal:
            self.console.width = UNLIMITED
        self.first = first
        self.load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.0
        self.close: Callable[[], None] = lambda: None
        self._replaced: list[tuple[logging.Logger, logging.Handler, logging.Handler]] = []

    @property
    def live(self) -> bool:
        """Whether a line can be drawn anew, as a progress bar is."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    @property
    def width(self) -> int:
        """Columns of a line."""
        return self.console.width

    def print(self, text='', style: str | None = None) -> None:
        """One line, or a table of rich. A long line is the terminal's to wrap, not cut."""
        if self.first:
            text = Text(text, style or '') if isinstance(text, str) else text
            self.console.print(text, soft_wrap=isinstance(text, Text))

    def attach(self, logger: logging.Logger) -> None:
        """Take the place of the handler with which a logger of mmengine writes to stdout."""
        for index, handler in enumerate(logger.handlers):
            if type(handler) is logging.StreamHandler:
                logger.handlers[index] = _Handler(self, handler)
                self._replaced.append((logger, handler, logger.handlers[index]))

    def detach(self) -> None:
        """Put the handlers back."""
        for logger, handler, own in self._replaced:
            logger.handlers = [handler if each is own else each for each in logger.handlers]
        self._replaced.clear()

    def to_file(self, text: str) -> None:
        """Write what is kept off the console to the log file."""
        if not MMLogger._instance_dict:
            return
        logger = MMLogger.get_current_instance()
        record = logger.makeRecord(logger.name, logging.INFO, '', 0, text, (), None)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handle(record)


class _Handler(logging.Handler):
    """Warnings, errors, and what this suite or the user's own code says."""

    def __init__(self, screen: Screen, replaced: logging.StreamHandler):
        super().__init__(replaced.level)
        self.screen = screen
        # MLflowVisBackend reopens handlers that have none.
        self.stream = replaced.stream

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and _speaker() in FILE_ONLY:
            return
        text = record.getMessage()
        if record.levelno <= logging.WARNING and is_noise(text):
            return
        if record.levelno >= logging.WARNING:
            text = f'{record.levelname.lower()}: {text}'
        if record.exc_info:
            text += '\n' + ''.join(traceback.format_exception(*record.exc_info)).rstrip()
        if record.levelno >= logging.ERROR:
            self.screen.console.print(Text(text, STYLES[logging.ERROR]), soft_wrap=True)
        else:
            self.screen.print(text, STYLES.get(record.levelno))


def _speaker() -> str:
    """The top-level package of whoever logs: mmengine's ``print_log`` speaks for its callers."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        name = frame.f_globals.get('__name__', '')
        if name != __name__ and not name.startswith(('logging', 'mmengine.logging')):
            return name.partition('.')[0]
    return ''


class _Lines:
    """A stream that passes on whole lines, without the noise.

    Args:
        stream: What it stands for.
        write_line: Gets each line, without its end.
    """

    def __init__(self, stream, write_line: Callable[[str], None]):
        self._stream, self._write_line = stream, write_line
        self._begun = ''

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split('\n')
        for line in lines:
            self._write_line(line)
        return len(text)

    def flush(self) -> None:
        # A prompt has no end.
        self._stream.write(self._begun)
        self._begun = ''
        self._stream.flush()

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


@contextmanager
def compact(verbose: bool = False) -> Iterator[Screen | None]:
    """Within it the console has what people need, and the log file everything.

    Loggers, prints and warnings of this process are filtered; runners built within it get the
    hooks that report.

    Args:
        verbose: Change nothing: the console has all of the log file.
    """
    global _current
    if verbose or _current is not None:
        yield _current
        return
    screen = _current = Screen(first=is_first_process())
    if not MMLogger._instance_dict:
        MMLogger.get_current_instance()  # What reading a config logs
    for logger in MMLogger._instance_dict.values():
        screen.attach(logger)
    out, err = sys.stdout, sys.stderr

    def line_of(stream) -> Callable[[str], None]:
        def write_line(line: str) -> None:
            if is_noise(line):
                screen.to_file(line)
            elif screen.live:
                screen.console.print(Text.from_ansi(line), soft_wrap=True)
            else:
                stream.write(f'{line}\n')
                stream.flush()

        return write_line

    lines = []
    if out is not None:
        sys.stdout = _Lines(out, line_of(out))
        lines.append(sys.stdout)
    if screen.live and err is not None:
        # A progress bar is the last line of the terminal, and others belong above it.
        sys.stderr = _Lines(err, line_of(err))
        lines.append(sys.stderr)
    shown = warnings.showwarning

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        if is_noise(str(message)):
            screen.to_file(f'{category.__name__}: {message}')
        else:
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield screen
    finally:
        screen.close()
        for part in lines:
            part.flush()
        warnings.showwarning = shown
        sys.stdout, sys.stderr = out, err
        screen.detach()
        _current = None


def attach(logger: MMLogger) -> None:
    """Let the log of a new runner go to the screen, where there is one."""
    if _current is not None:
        _current.attach(logger)


def hooks() -> list[Hook]:
    """What reports a run on the screen: nothing where there is none."""
    from .hook import ConsoleHook

    return [] if _current is None or not _current.first else [ConsoleHook(_current)]
