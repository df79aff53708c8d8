"""The command ``allinone``: the programs of tools/ by name."""

import subprocess
import sys
from importlib import import_module

import pytest
from conftest import ROOT, TOY_CONFIG, run_tool

from allinone.cli import entry
from allinone.cli.programs.completion import completion
from allinone.io.program import called, program
from allinone.training.resume import resume_command

# Not programs: what they have in common, and the command itself
OTHERS = {'__init__', 'begin', 'status', 'entry'}
# Measures in a checkout only, and is not in the package
OF_CHECKOUT = {'benchmark'}


@pytest.fixture(autouse=True)
def _own_argv(monkeypatch):
    """The command sets the words of its process."""
    monkeypatch.setattr(sys, 'argv', sys.argv)


def test_commands_are_the_programs_of_the_folder_and_of_tools():
    modules = {path.stem for path in (ROOT / 'allinone/cli').glob('*.py')} - OTHERS
    assert set(entry.programs().values()) == modules
    assert modules == {path.stem for path in (ROOT / 'tools').glob('*.py')} - OF_CHECKOUT
    assert all('_' not in name for name in entry.programs())


@pytest.mark.parametrize('name, module', entry.programs().items())
def test_a_program_takes_arguments_and_describes_itself(name, module, capsys):
    assert 10 < len(entry.summary(module)) < 90
    with pytest.raises(SystemExit) as end:
        entry.main([name, '--help'])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f'usage: allinone {name} ')
    with pytest.raises(SystemExit) as end:
        import_module(f'allinone.cli.{module}').parse_args(['--no-such-option'])
    assert end.value.code == 2


def test_help_imports_no_library():
    code = (
        'import sys\nfrom allinone.cli.entry import main\n'
        'try:\n    main(["--help"])\nexcept SystemExit:\n    pass\n'
        'sys.exit(str({"torch", "mmengine", "numpy", "cv2"} & set(sys.modules) or ""))'
    )
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert found.stderr.strip() == ''
    assert 'print-config' in found.stdout and 'Train a joint model' in found.stdout


def test_a_module_is_a_command_by_being_there(tmp_path, monkeypatch):
    monkeypatch.setattr(entry, '__file__', str(tmp_path / 'entry.py'))
    (tmp_path / 'new_tool.py').write_text(
        '"""Do a new thing: python tools/new_tool.py X"""\n\n\n'
        'def parse_args(argv=None):\n    ...\n\n\ndef main(args):\n    ...\n'
    )
    (tmp_path / 'helper.py').write_text('"""No program."""\n\n\ndef main():\n    ...\n')
    assert entry.programs() == {'new-tool': 'new_tool'}
    assert entry.summary('new_tool') == 'Do a new thing'


@pytest.mark.parametrize('name', ['print-config', 'print_config'])
def test_a_command_has_the_status_and_output_of_its_program(capsys, name):
    assert entry.main([name, 'toy/mobilenetv2_toy', '--task', 'cls']) == 0
    by_name = capsys.readouterr().out
    assert run_tool('print_config', TOY_CONFIG, '--task', 'cls') == 0
    assert capsys.readouterr().out == by_name and 'LinearClsHead' in by_name
    assert entry.main([name, 'none.py']) == 2
    assert capsys.readouterr().err.startswith('error: none.py: no such config file')


@pytest.mark.parametrize(
    'argv, says',
    [
        (['trian'], "error: allinone has no command 'trian'; do you mean train?\n"),
        (['begin'], "error: allinone has no command 'begin'; allinone --help lists them\n"),
        (['xyz'], "error: allinone has no command 'xyz'; allinone --help lists them\n"),
    ],
)
def test_an_unknown_command_is_refused(capsys, argv, says):
    assert entry.main(argv) == 2
    assert capsys.readouterr().err == says


def test_without_a_command_there_is_help_and_status_2(capsys):
    assert entry.main([]) == 2
    out, err = capsys.readouterr()
    assert out == '' and 'commands:' in err


def test_messages_name_the_command_that_runs(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/train.py', 'c.py', '--resume'])
    assert (program('print_config'), called('pack')) == (
        'tools/print_config.py',
        'python tools/pack.py',
    )
    assert resume_command() == 'python tools/train.py c.py --resume'
    monkeypatch.setattr(sys, 'argv', ['allinone', 'train', 'c.py', '--seed', '1'])
    assert (program('print_config'), called('pack')) == ('allinone print-config', 'allinone pack')
    assert resume_command() == 'allinone train c.py --seed 1 --resume'
    monkeypatch.setattr(sys, 'argv', ['allinone test', 'c.py'])  # While options are parsed
    assert program('analyze') == 'allinone analyze'
    monkeypatch.setattr(sys, 'argv', ['allinone', 'train', 'c.py', '--seed', '1'])
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    assert resume_command() == (
        'torchrun --nproc_per_node=2 -m allinone train c.py --seed 1 --resume'
    )


def test_the_list_of_configs(capsys):
    assert entry.main(['configs', 'toy', '--names']) == 0
    names = capsys.readouterr().out.split()
    assert 'toy/mobilenetv2_toy' in names and all('toy' in name for name in names)
    assert entry.main(['configs']) == 0
    line = next(
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith('toy/mobilenetv2_toy ')
    )
    assert line.split(maxsplit=1)[1].startswith('The demo: three tasks on toy street scenes')
    assert entry.main(['configs', '--bases', 'swin_t', '--names']) == 0
    assert capsys.readouterr().out == '_base_/backbones/swin_t\n'
    assert entry.main(['configs', 'nothing']) == 2


@pytest.fixture(scope='module')
def bash(tmp_path_factory):
    """What bash completes for words of which the last is not finished."""
    folder = tmp_path_factory.mktemp('bash')
    (folder / 'allinone').write_text(f'#!/bin/sh\nexec {sys.executable} -m allinone "$@"\n')
    (folder / 'allinone').chmod(0o755)
    (folder / 'completion').write_text(completion('bash'))
    (folder / 'mine.py').write_text('')

    def complete(*words):
        listed = ' '.join(f"'{word}'" for word in words)
        script = (
            f'. ./completion; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; '
            '_shtab_allinone 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        path = f'{folder}:/usr/bin:/bin'
        found = subprocess.run(
            ['bash', '-c', script],
            capture_output=True,
            text=True,
            cwd=folder,
            env=dict(PATH=path, PYTHONPATH=str(ROOT)),
        )
        return found.stdout.split()

    return complete


@pytest.mark.parametrize(
    'words, expected',
    [
        (['allinone', 'pr'], {'precise-bn', 'print-config'}),
        (['allinone', 'train', '--see'], {'--seed'}),
        (['allinone', 'train', 'toy/mobilenetv2_toy_s'], {'toy/mobilenetv2_toy_s' + end for end in
                                                         ('hared', 'igns')}),
        (['allinone', 'train', 'mi'], {'mine.py'}),
        (['allinone', 'analyze', 'compl'], {'completion', 'complexity'}),
        (['allinone', 'convert', 'camv'], {'camvid'}),
        (['allinone', 'init', 'new.py', '--machine', 'l'], {'large'}),
    ],
)  # fmt: skip
def test_bash_completes_commands_options_and_names_of_configs(bash, words, expected):
    assert set(bash(*words)) == expected


def test_a_script_for_zsh_has_all_commands():
    script = completion('zsh')
    assert script.startswith('#compdef allinone')
    assert all(f"\n    {name}:'" in script for name in entry.programs())
