"""Names that lay here before 0.2; for one release."""

from importlib import import_module

from allinone.config.loading import complete_config, load_config, parse_options
from allinone.evaluation.table import format_table
from allinone.io.atomic import write_json
from allinone.training import run as programs
from allinone.training.run import build_test_runner

__all__ = [
    'build_test_runner',
    'complete_config',
    'format_table',
    'load_config',
    'parse_options',
    'run',
    'test',
    'train',
    'write_json',
]


def run(mode: str, args) -> int:
    """``main(args)`` of :mod:`allinone.cli.train` or :mod:`allinone.cli.test`."""
    return import_module(f'allinone.cli.{mode}').main(args)


def train(cfg, args) -> None:
    """:func:`allinone.train` with the arguments of ``tools/train.py``."""
    programs.train(cfg, args.seed, args.amp, args.resume, getattr(args, 'force_resume', False))


def test(cfg, args) -> dict[str, float]:
    """:func:`allinone.test` with the arguments of ``tools/test.py``."""
    return programs.test(cfg, args.checkpoint, args.tasks, args.show_dir)
