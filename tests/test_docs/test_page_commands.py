"""The commands on the pages: each has a test, or says why not, and its options exist."""

import re
import sys
from importlib import import_module

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / 'docs/hooks'))
import page_commands
from page_commands import OTHERS, RUN_AS_WRITTEN, Command, commands, why_not

PAGES = [page for page in page_commands.pages() if '```bash' in (ROOT / page).read_text()]
# A config that the reader writes on that page
OF_THE_READER = {'configs/toy/mobilenetv2_toy_lights.py'}


def of_line(line):
    """The commands of a line as ``(program, arguments, launcher)``."""
    parts = page_commands._parts(line)
    found = [page_commands._command('docs/x.md', text, words) for text, words in parts]
    return [(each.program, each.arguments, each.launcher) for each in found if each]


@pytest.mark.parametrize(
    'line, expected',
    [
        ('python tools/print_config.py a.py   # the config', [('print_config', ['a.py'], '')]),
        ('allinone print-config a.py', [('print_config', ['a.py'], '')]),
        ('X=1 Y_2=b python -m allinone train c', [('train', ['c'], '')]),
        ('torchrun --nproc-per-node 2 tools/train.py c', [('train', ['c'], 'torchrun')]),
        ('srun python tools/train.py c', [('train', ['c'], 'srun')]),
        ('torchrun --n 2 -m allinone train c', [('train', ['c'], 'torchrun')]),
        ('for t in a b; do python tools/train.py $t.py; done', [('train', ['$t.py'], '')]),
        ('cd new && allinone demo', [('cd', ['new'], ''), ('demo', [], '')]),
        ('allinone --print-completion zsh > f', [('allinone', ['--print-completion', 'zsh'], '')]),
        ('tools/dist_train.sh c 2', [('dist_train.sh', ['c', '2'], '')]),
        ('[ $? -eq 143 ] && scontrol requeue 1', []),
        ('# a comment', []),
        ('export A=b', []),
    ],
)  # fmt: skip
def test_a_line_of_a_shell(line, expected):
    assert of_line(line) == expected


def test_continued_lines_are_one_and_only_the_first_block_of_a_section_is_run(
    tmp_path, monkeypatch
):
    page = '# A\n```bash\nmake a\nallinone test x \\\n    y\n```\n```bash\nallinone test z\n```\n'
    (tmp_path / 'page.md').write_text(page)
    monkeypatch.setattr(page_commands, 'ROOT', tmp_path)
    monkeypatch.setitem(RUN_AS_WRITTEN, ('page.md', '# A'), 'a_test')
    found = [(each.text, each.as_written) for each in commands('page.md')]
    assert found == [('make a', ''), ('allinone test x y', 'a_test'), ('allinone test z', '')]


@pytest.mark.parametrize(
    'program, arguments, launcher, reason',
    [
        ('train', ['CONFIG'], '', ''),
        ('train', ['toy/mobilenetv2_toy'], '', ''),
        ('train', ['configs/toy/mobilenetv2_toy.py'], '', ''),
        ('train', ['configs/track1/a.py'], '', 'needs the data of configs/track1'),
        ('train', ['CONFIG'], 'torchrun', 'needs several devices or machines'),
        ('analyze', ['complexity', 'configs/track1/a.py'], '', ''),
        ('benchmark', ['step', 'c.py'], '', 'measures for minutes'),
        ('curl', [], '', 'downloads'),
    ],
)
def test_why_a_command_is_not_run(program, arguments, launcher, reason):
    assert why_not(Command('docs/x.md', 'text', program, arguments, launcher)) == reason


@pytest.mark.parametrize('page', PAGES)
def test_each_command_has_a_test_or_a_reason(page, monkeypatch):
    for command in commands(page):
        if command.program in OTHERS:
            continue
        path = ROOT / (command.as_written or command.test)
        assert path.is_file(), (command.text, path)
        if not command.as_written:
            assert re.search(command.program.replace('_', '[_-]'), path.read_text()), command.text
        configs = [word for word in command.arguments if re.match(r'configs/[\w/.-]+\.py$', word)]
        for config in set(configs) - OF_THE_READER:
            assert (ROOT / config).is_file(), command.text
        if command.parsed:
            parse(command, monkeypatch)


def parse(command, monkeypatch):
    """Parse what a command has; an option that is not there ends in SystemExit."""
    if command.program == 'convert' and command.arguments[0] == 'NAME':
        return
    # Words in brackets are optional, and dots are the arguments of the line above.
    words = [re.sub(r'^\[(?=--)|(?<=\w)\]$', '', word) for word in command.arguments]
    words = ['a=b' if word == '...' else word for word in words]
    monkeypatch.setattr(sys, 'argv', [command.program, *words])
    monkeypatch.syspath_prepend(ROOT)
    package = 'allinone.cli' if command.program != 'benchmark' else 'tools'
    try:
        import_module(f'{package}.{command.program}').parse_args()
    except SystemExit as end:
        assert '--help' in words and end.code == 0, command.text


def test_each_program_with_a_test_is_there():
    programs = {key.split()[0] for key in page_commands.TESTS}
    for program in programs - {'allinone'}:
        name = program if program.endswith('.sh') else f'{program}.py'
        assert (ROOT / 'tools' / name).is_file(), program
    assert programs.isdisjoint(OTHERS)


def test_the_page_has_a_row_for_each():
    rows = [row for row in page_commands.page().splitlines() if row.startswith('| ')][1:]
    assert len(rows) == sum(len(list(commands(page))) for page in PAGES) > 150
    assert '| README.md | `allinone train toy/mobilenetv2_toy` | `tests/test_readme.py` |' in rows
    assert any('not run: needs the data of configs/track1; its program' in row for row in rows)
