"""Names that lay here before 0.2; for one release."""

from allinone.cli.programs.run import format_table, run
from allinone.config.loading import complete_config, load_config, parse_options
from allinone.io.atomic import write_json
from allinone.training.api import build_test_runner, test, train

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
