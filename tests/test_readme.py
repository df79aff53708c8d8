"""The commands of the README in their order, at toy size."""

import sys
from importlib import import_module

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'docs/hooks'))
import page_commands

SMALLER = dict(make_toy_data=['--images', '16'], browse_dataset=['--count', '2'])
ITERATIONS = 4


def commands():
    """``(tool, arguments)`` of the code block below 'Use it'."""
    for command in page_commands.commands('README.md'):
        if command.as_written:
            yield command.program, command.arguments


def test_each_command_works_where_the_one_before_ended(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('ALLINONE_DATA', raising=False)
    names = []
    for name, arguments in commands():
        program = import_module(f'allinone.cli.{name}')
        arguments = [word.replace('iter_300.pth', f'iter_{ITERATIONS}.pth') for word in arguments]
        arguments += SMALLER.get(name, [])
        if name == 'train':
            options = [f'train_cfg.max_iters={ITERATIONS}', 'default_hooks.logger.interval=1']
            # In one process, mmengine would take `check`'s logs for those of the same second.
            options.append('experiment_name=readme')
            arguments += ['--cfg-options', *options]
        status = program.main(program.parse_args(arguments))
        captured = capsys.readouterr()
        # `check` names classes without a sample among so few images.
        assert status in ((0, 1) if name == 'check' else (0, None)), (name, captured.err)
        names.append(name)
    assert names[:1] == ['make_toy_data'] and names[-1:] == ['analyze'] and len(names) == 8
    assert (tmp_path / 'metrics.json').exists() and list((tmp_path / 'drawn').rglob('*.png'))
    assert list((tmp_path / 'results/vis').iterdir()) and list((tmp_path / 'browse').iterdir())
