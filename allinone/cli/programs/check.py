"""All that a run checks before its first step, and nothing after it."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from tempfile import TemporaryDirectory

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger

from allinone.checkpoint.loading import trusting_checkpoints
from allinone.config.loading import load_config
from allinone.errors import AllInOneError
from allinone.training.run import build_runner

# What mmengine says of itself in every run
OF_MMENGINE = ('The prefix is not set in metric class', '"FileClient"', '"HardDiskBackend"')
ASKED_FOR = 'It is skipped since bypass_duplicate=True'  # as the schedules in configs/_base_ set it


class Checked(Exception):
    """All checks have passed."""


class StopBeforeTraining(Hook):
    """Ends a run where the first step would come."""

    def before_first_step(self, runner) -> None:
        raise Checked


def check(cfg: Config) -> list[str]:
    """Make the checks of a training, its validation and its test; the warnings, each once.

    Nothing is written but in a temporary folder.

    Args:
        cfg: As :func:`allinone.load_config` reads it; changed.

    Raises:
        AllInOneError: What would stop the run.
    """
    with TemporaryDirectory() as folder, _warnings() as warnings:
        cfg.work_dir, cfg.log_level = folder, 'ERROR'
        runner = build_runner(cfg)
        if cfg.get('train_cfg'):
            runner.register_hook(StopBeforeTraining())
            with suppress(Checked):
                runner.train()
        if cfg.get('test_cfg'):
            runner.test_loop  # noqa: B018  # It is built, and with it checked.
    return list(dict.fromkeys(warnings))


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What is logged as a warning meanwhile; nothing is printed."""
    found: list[str] = []
    before = MMLogger.callHandlers

    def collect(logger: logging.Logger, record: logging.LogRecord) -> None:
        sentence = ' '.join(record.getMessage().split())
        noise = sentence.startswith(OF_MMENGINE) or sentence.endswith(ASKED_FOR)
        if record.levelno >= logging.WARNING and not noise:
            found.append(sentence)

    MMLogger.callHandlers = collect
    try:
        with redirect_stdout(StringIO()):  # pycocotools prints.
            yield found
    finally:
        MMLogger.callHandlers = before


def run_check(args) -> int:
    """What ``tools/check.py`` does; the exit status."""
    try:
        with trusting_checkpoints(args.trust_checkpoint):
            warnings = check(load_config(args.config, args.cfg_options))
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    for warning in warnings:
        print(f'warning: {warning}')
    print(f'{args.config}: no error, {len(warnings)} warning{"s" * (len(warnings) != 1)}')
    return 1 if warnings else 0
