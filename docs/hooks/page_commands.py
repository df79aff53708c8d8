"""The commands on the pages, and the page that says which test runs each, or why none does.

A command is run if the test of its program, in ``TESTS``, runs that program at toy size: words in
capitals stand for its files. What names data that a checkout lacks, several machines or hours is
not run as it is written; ``why_not`` has the rules.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'reference/tested_commands.md'
BLOCK = re.compile(r'^```bash\n(.*?)^```', re.DOTALL | re.MULTILINE)
HEADING = re.compile(r'^#+ .*$', re.MULTILINE)
# What stands around a command in a shell
LOOP = re.compile(r'^for \w+ in [^;]*; *do (.*?); *done$')
VARIABLE = re.compile(r'^[A-Z_0-9]+=')
SERVER = re.compile(r'\b(?:https|s3)://')
LAUNCHERS = ('torchrun', 'srun', 'mpirun')
# Tests that run a program, or a kind of one, at toy size
TESTS = {
    'analyze': 'tests/test_analysis/test_report.py',
    'analyze affinity': 'tests/test_analysis/test_affinity.py',
    'analyze compare': 'tests/test_analysis/test_interval_comparison.py',
    'analyze complexity': 'tests/test_analysis/test_complexity.py',
    'analyze evaluate': 'tests/test_analysis/test_evaluation.py',
    'analyze power': 'tests/test_analysis/test_interval_comparison.py',
    'benchmark': 'tests/test_benchmarks/test_benchmark.py',
    'browse_dataset': 'tests/test_cli/test_browse.py',
    'check': 'tests/test_cli/test_check.py',
    'class_weights': 'tests/test_cli/test_shared_source.py',
    'compose': 'tests/test_reuse/test_compose.py',
    'configs': 'tests/test_cli/test_entry.py',
    'convert': 'tests/test_conversion/test_sets.py',
    'convert coco': 'tests/test_conversion/test_own_formats.py',
    'convert cvat': 'tests/test_conversion/test_own_formats.py',
    'convert folders': 'tests/test_conversion/test_own_formats.py',
    'convert labelme': 'tests/test_conversion/test_own_formats.py',
    'convert masks': 'tests/test_conversion/test_own_formats.py',
    'convert voc': 'tests/test_conversion/test_own_formats.py',
    'convert yolo': 'tests/test_conversion/test_own_formats.py',
    'demo': 'tests/e2e/test_installed.py',
    'export': 'tests/test_reuse/test_export.py',
    'extract': 'tests/test_reuse/test_extract.py',
    'features': 'tests/test_cli/test_features.py',
    'gallery': 'tests/test_cli/test_gallery_tool.py',
    'infer': 'tests/test_cli/test_infer_tool.py',
    'init': 'tests/test_cli/test_init.py',
    'make_toy_data': 'tests/test_data/test_toy.py',
    'pack': 'tests/test_data/test_packs.py',
    'precise_bn': 'tests/test_training/test_precise_bn.py',
    'print_config': 'tests/test_cli/test_print_config.py',
    'pseudo_label': 'tests/test_pseudo_labels/test_pseudo_label_tool.py',
    'split': 'tests/test_conversion/test_split.py',
    'submit': 'tests/test_evaluation/test_submission.py',
    'test': 'tests/test_cli/test_interval_tool.py',
    'train': 'tests/test_training/test_run.py',
    'allinone': 'tests/test_cli/test_entry.py',
    'slurm_train.sh': 'tests/test_distributed/test_launchers.py',
}
# Sections whose first block, or pages whose blocks (''), a test takes from the page and runs
RUN_AS_WRITTEN = {
    ('README.md', '## Use it'): 'tests/test_readme.py',
    ('docs/tutorials/own_data.md', ''): 'tests/e2e/test_tutorial.py',
}
# Programs of others, and why no test runs them
OTHERS = {
    'pip': 'installs packages',
    'make': 'installs, then runs what has tests',
    'tensorboard': 'shows a page until it is stopped',
    'mlflow': 'shows a page until it is stopped',
    'wandb': 'needs an account',
    'curl': 'downloads',
    'cd': 'is of the shell',
    'mkdir': 'is of the shell',
    'dist_train.sh': 'starts several processes, as tests/e2e/two_processes.py does',
    'dist_test.sh': 'starts several processes, as tests/e2e/two_processes.py does',
    'scontrol': 'needs Slurm',
    'pytest': 'is how tests are run',
    '-c': 'a part of a download',
    'docker': 'needs a service',
    'trtexec': 'needs TensorRT',
    'python examples': 'tests/test_reuse/test_export_examples.py runs it without allinone',
    'python MMDET': 'a program of mmdet',
    'python benchmarks': 'measures for minutes',
    'python tests': 'measures or compares for minutes to hours',
}
TOY = ('configs/toy/', 'toy/')


class Command(NamedTuple):
    """A command on a page.

    Attributes:
        page: In the repository.
        text: As it is written, on one line and without its comment.
        program: ``train``, ``dist_train.sh``, ``allinone``, or a key of ``OTHERS``.
        arguments: What follows.
        launcher: What starts its processes, such as ``torchrun``; else empty.
        as_written: The test that runs it as it is written; else empty.
    """

    page: str
    text: str
    program: str
    arguments: list[str]
    launcher: str = ''
    as_written: str = ''

    @property
    def parsed(self) -> bool:
        """Whether a parser of ``allinone.cli`` or ``tools/`` takes the arguments."""
        return self.program not in (*OTHERS, 'allinone') and not self.program.endswith('.sh')

    @property
    def test(self) -> str:
        """The test that runs the program or this kind of it.

        Raises:
            KeyError: If there is none.
        """
        kind = f'{self.program} {self.arguments[0]}' if self.arguments else ''
        return TESTS.get(kind) or TESTS[self.program]


def pages() -> list[str]:
    """Pages with commands, in the repository."""
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / 'docs').rglob('*.md'))
    return ['README.md', 'CONTRIBUTING.md', *docs]


def commands(page: str) -> Iterator[Command]:
    """The commands of a page, in their order.

    Args:
        page: In the repository.
    """
    text = (ROOT / page).read_text(encoding='utf-8')
    seen = set()
    for block in BLOCK.finditer(text):
        section = HEADING.findall(text[: block.start()])[-1]
        test = RUN_AS_WRITTEN.get((page, '')) or (
            RUN_AS_WRITTEN.get((page, section), '') if section not in seen else ''
        )
        seen.add(section)
        for line in block[1].replace('\\\n', ' ').splitlines():
            for text_of_one, words in _parts(line):
                found = _command(page, text_of_one, words)
                if found:
                    yield found._replace(as_written='' if found.program in OTHERS else test)


def _parts(line: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a line as text and words, without comment and tests of the shell."""
    if not shlex.split(line, comments=True) or line.startswith('['):
        return
    for part in ' '.join(line.partition(' #')[0].split()).split(' && '):
        looped = LOOP.match(part)
        words = shlex.split(looped[1] if looped else part)
        yield part, words[: words.index('>')] if '>' in words else words


def _command(page: str, text: str, words: list[str]) -> Command | None:
    while words and (VARIABLE.match(words[0]) or words[0] == 'export'):
        words = words[1:]
    if not words:
        return None
    launcher = words[0] if words[0] in LAUNCHERS else ''
    if launcher:
        first = next(
            n for n, word in enumerate(words) if word.startswith('tools/') or word == 'allinone'
        )
        words = words[first:] if words[first] == 'allinone' else ['python', *words[first:]]
    if words[0].endswith('python') and words[1] == '-m':
        words = words[2:]
    name, *rest = words
    if name == 'allinone' and not rest[0].startswith('-'):
        return Command(page, text, rest[0].replace('-', '_'), rest[1:], launcher)
    if not name.endswith('python'):
        return Command(page, text, Path(name).name, rest, launcher)
    program = Path(rest[0])
    if program.parts[0] == 'tools':
        return Command(page, text, program.stem, rest[1:], launcher)
    return Command(page, text, f'python {program.parts[0]}', rest[1:], launcher)


def why_not(command: Command) -> str:
    """Why no test runs a command as it is written; empty: one does."""
    if command.as_written:
        return ''
    if command.program in OTHERS:
        return OTHERS[command.program]
    if command.program == 'benchmark':
        return 'measures for minutes'
    if SERVER.search(command.text):
        return 'needs a server with the data'
    if command.launcher and command.program == 'train':
        return 'needs several devices or machines'
    for word in command.arguments:
        if (
            word.startswith('configs/')
            and not word.startswith(TOY)
            and 'complexity' not in command.arguments
        ):
            return f'needs the data of {"/".join(word.split("/")[:2])}'
    return ''


def page() -> str:
    """Markdown of the table of all commands."""
    rows = []
    for path in pages():
        for command in commands(path):
            rows.append(f'| {_link(path)} | {_code(command.text)} | {_run(command)} |')
    head = (
        '# Commands on these pages, and their tests\n'
        'Each command on a page has a test that runs it, or its program, at toy size: words in '
        'capitals stand for the files of the test. Otherwise the table says why not. That its '
        'options exist is tested for all of them.\n\n'
        '| page | command | run by |\n|---|---|---|\n'
    )
    return head + '\n'.join(rows) + '\n'


def _run(command: Command) -> str:
    reason = why_not(command)
    if not reason:
        return f'`{command.as_written or command.test}`'
    program = '' if command.program in OTHERS else f'; its program: `{command.test}`'
    return f'not run: {reason}{program}'


def _link(path: str) -> str:
    if path.startswith('docs/'):
        return f'[{path.removeprefix("docs/")}](../{path.removeprefix("docs/")})'
    return path


def _code(text: str) -> str:
    return f'`{text}`'.replace('|', '\\|')


def on_files(files, config):
    """Called by MkDocs with the files that it found."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=page()))
    return files
