"""The command line of the converters, and its old places."""

import subprocess
import sys

import pytest
from conftest import ROOT

from allinone.cli.convert import CONVERTERS, LINKS, OWN
from allinone.conversion import files

SETS, OLD = ROOT / 'allinone/conversion/sets', ROOT / 'tools/dataset_converters'
OWN_DATA = ROOT / 'allinone/conversion/own'


def python(*argv):
    command = [sys.executable, *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_each_module_that_describes_a_set_is_listed_with_a_page():
    modules = {path.stem for path in SETS.glob('*.py') if '\ndef data_set' in path.read_text()}
    assert modules == set(CONVERTERS)
    for name, converter in CONVERTERS.items():
        assert (ROOT / f'docs/datasets/{converter.page or name}.md').exists()
    assert LINKS == files.LINKS
    readers = {path.stem for path in OWN_DATA.glob('*.py') if '\ndef read(' in path.read_text()}
    assert readers == set(OWN)
    page = (ROOT / 'docs/datasets/own_data.md').read_text()
    assert all(f'| `{name}` |' in page and f'- **{name}**: ' in page for name in OWN)


def test_help_lists_one_line_a_name_and_waits_for_no_library():
    code = (
        'import sys; from allinone.cli.convert import parse_args\n'
        'try: parse_args(["--help"])\n'
        'finally: print(*sys.modules, file=sys.stderr)'
    )
    done = python('-c', code)
    for name, converter in [*CONVERTERS.items(), *OWN.items()]:
        assert f'  {name:<18}{converter.summary}\n' in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not {'numpy', 'PIL', 'scipy', 'tqdm', 'torch'} & set(done.stderr.split())


@pytest.mark.parametrize(
    'name', sorted({path.stem for path in OLD.glob('*.py')} - {'command_line'})
)
def test_an_old_command_names_the_new_one_and_runs_it(name):
    tool, *arguments = ['pack'] if name == 'pack' else ['convert', name]
    old = python(OLD / f'{name}.py', '--help')
    new = python(ROOT / f'tools/{tool}.py', *arguments, '--help')
    assert old.stdout == new.stdout and old.returncode == new.returncode == 0
    command = ' '.join([f'{name}.py is now python tools/{tool}.py', *arguments])
    assert old.stderr.startswith(f'{command}; ') and old.stderr.count('\n') == 1


def test_an_old_command_passes_arguments_and_status_on(tmp_path):
    done = python(OLD / 'coco.py', tmp_path / 'no', tmp_path / 'out', '--quiet')
    assert done.returncode == 1 and f'coco: {tmp_path}/no is not a folder; ' in done.stderr
    assert python(OLD / 'coco.py', tmp_path / 'no').returncode == 2
