"""What people see of a training: its lines, its tables, and what is kept from them."""

import io
import logging
import re
import sys
import warnings
from contextlib import redirect_stdout

import pytest
from conftest import classification, run_tool, tiny, write_config
from mmengine.logging import MMLogger, print_log
from rich.console import Console

from allinone.training.console import Screen, compact
from allinone.training.console.header import cpu_hint
from allinone.training.console.hook import ConsoleHook
from allinone.training.console.lines import (
    Column,
    fitted,
    lower_is_better,
    metric_table,
    number,
    row_of,
)
from allinone.training.console.noise import is_noise
from allinone.training.console.pace import Pace, duration, validations_left

COLUMNS = [
    Column('10/20', 0),
    Column('loss 1.5', 0),
    Column('a 0.5', 2),
    Column('b 1.0', 2),
    Column('2 s/step', 3),
    Column('eta 0:20', 1),
]
ESCAPES = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')
FIRST_LINE = re.compile(r'1/2  loss ')


def text_of(table) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return [' '.join(line.split()) for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    'width, line',
    [
        (200, '10/20  loss 1.5  a 0.5  b 1.0  2 s/step  eta 0:20'),
        (49, '10/20  loss 1.5  a 0.5  b 1.0  2 s/step  eta 0:20'),
        (48, '10/20  loss 1.5  a 0.5  b 1.0  eta 0:20'),
        (38, '10/20  loss 1.5  a 0.5  eta 0:20'),
        (25, '10/20  loss 1.5  eta 0:20'),
        (24, '10/20  loss 1.5'),
        (3, '10/20'),
    ],
)
def test_a_narrow_terminal_has_the_columns_that_matter_most(width, line):
    assert fitted(COLUMNS, width) == line


@pytest.mark.parametrize(
    'value, text',
    [
        (6.30154, '6.302 '),
        (0, '0.000 '),
        (1234.5, '1234  '),
        (1e-9, '1.000e-09'),
        (1e6, '1.000e+06'),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text
    assert number(float('nan')).strip() == 'nan'


def test_the_best_is_marked_and_the_change_is_told():
    histories = {
        'cls/top1': [50.0, 75.0],
        'det/miss_rate': [0.25, 0.5],
        'seg/mIoU': [30.0, 40.0, 35.0],
        'seg/IoU.road': [1.0, 2.0, 3.0],
        'seg/AP[small].50': [1.0, 2.0, float('nan')],
        'score': [7.0],
    }
    assert text_of(metric_table(histories)) == [
        'task metric value best change',
        'cls top1 75.0000 * 75.0000 +25.0000',
        'det miss_rate 0.5000 0.2500 +0.2500',
        'seg mIoU 35.0000 40.0000 -5.0000',
        'AP[small].50 nan 2.0000 +nan',
        'all score 7.0000 7.0000',
        '+ 1 of classes',
    ]
    assert row_of('loss', [3.0, 2.0]).is_best and not row_of('top1', [3.0, 2.0]).is_best
    assert not row_of('top1', [float('nan')]).is_best
    assert lower_is_better('depth/abs_err') and not lower_is_better('cls/lossless')


def test_the_time_left_counts_validations_once_one_is_measured():
    pace = Pace()
    pace.start(100.0)
    pace.step(130.0)
    assert pace.left(10, 2) == (300.0, 2)
    pace.step(132.0)
    pace.step(136.0)
    assert pace.recent() == 12.0  # (30 + 2 + 4) / 3
    # The first step is left out: 3 seconds for each of the others.
    assert pace.left(10, 2) == (30.0, 2)
    pace.start(140.0)
    assert pace.validation(147.0) == 7.0
    assert pace.left(10, 2) == (30.0 + 14.0, 0)
    pace.step(150.0)  # From the end of the validation
    assert pace.recent() == 3.0


@pytest.mark.parametrize(
    'step, last, begin, milestones, intervals, count',
    [
        (0, 10, 1, [0], [5], 2),  # 5, 10
        (0, 12, 1, [0], [5], 3),  # 5, 10, 12
        (5, 12, 1, [0], [5], 2),
        (4, 12, 1, [0], [5], 3),
        (12, 12, 1, [0], [5], 0),
        (0, 12, 6, [0], [5], 2),
        (0, 12, 13, [0], [5], 0),
        (0, 20, 1, [0, 11], [5, 2], 7),  # 5, 10, then 12, 14, 16, 18, 20
    ],
)
def test_validations_left(step, last, begin, milestones, intervals, count):
    assert validations_left(step, last, begin, milestones, intervals) == count


def test_durations():
    assert [duration(s) for s in (0, 59.6, 245, 7445, 266_645)] == [
        '0:00',
        '1:00',
        '4:05',
        '2:04:05',
        '3 d 02:04:05',
    ]


def test_only_whole_messages_are_noise():
    assert is_noise("Only use 'alpha' for pillow backend.")
    assert is_noise('Done (t=0.02s)') and is_noise('DONE (t=0.02s).')
    assert is_noise('The prefix is not set in metric class Mine.')
    for text in (
        "Only use 'alpha' for pillow backend. But not here",
        'image: Done (t=0.02s)',
        'Done',
        'The prefix is not set in metric class Mine. It is needed',
        '',
    ):
        assert not is_noise(text)


def test_a_hint_where_threads_wait_for_cores(monkeypatch):
    monkeypatch.delenv('OMP_WAIT_POLICY', raising=False)
    assert cpu_hint(1.0, 2, 2, 1, True) is None
    assert cpu_hint(9.0, 2, 1, 1, True) is None  # One thread does not wait for others.
    assert cpu_hint(9.0, 2, 8, 4, False) is None
    assert 'the load is 9.0 on 2 cores' in cpu_hint(9.0, 2, 2, 1, True)
    assert 'OMP_WAIT_POLICY=PASSIVE' in cpu_hint(9.0, 2, 2, 1, True)
    assert cpu_hint(0.0, 8, 4, 4, True) == (
        '4 processes of 4 threads share 8 cores, and wait for each other; set OMP_NUM_THREADS=2'
    )
    monkeypatch.setenv('OMP_WAIT_POLICY', 'passive')
    assert cpu_hint(9.0, 2, 2, 1, True) is None


def test_what_is_kept_off_the_console_is_in_the_log(tmp_path, capsys):
    logger = MMLogger.get_instance(tmp_path.name, log_file=str(tmp_path / 'log'), log_level='INFO')
    before = list(logger.handlers)
    with pytest.warns(UserWarning) as warned, compact():
        print('loading annotations into memory...')
        print('mine: loading annotations into memory...')
        print_log('mine too', 'current')
        print_log('The prefix is not set in metric class A.', 'current', logging.WARNING)
        print_log('The prefix is not set in metric class A. Why?', 'current', logging.WARNING)
        # As mmengine itself speaks
        exec('log("theirs", "current")', dict(log=print_log, __name__='mmengine.runner'))
        warnings.warn("Only use 'alpha' for pillow backend.", stacklevel=1)
        warnings.warn("Only use 'beta' for pillow backend.", stacklevel=1)
        print('no end', end='')
    assert logger.handlers == before
    assert [str(each.message) for each in warned] == ["Only use 'beta' for pillow backend."]
    out, _ = capsys.readouterr()
    assert out.splitlines() == [
        'mine: loading annotations into memory...',
        'mine too',
        'warning: The prefix is not set in metric class A. Why?',
        'no end',
    ]
    log = (tmp_path / 'log').read_text()
    for text in (
        ' - loading annotations into memory...',
        'mine too',
        'metric class A.\n',
        'metric class A. Why?',
        'theirs',
        "UserWarning: Only use 'alpha'",
    ):
        assert log.count(text) == 1, text


def test_each_handler_has_a_stream_which_mlflow_of_mmengine_reads(tmp_path):
    logger = MMLogger.get_instance(tmp_path.name, log_file=str(tmp_path / 'log'), log_level='INFO')
    replaced = logger.handlers[0]
    with compact():
        assert logger.handlers[0] is not replaced
        assert all(not handler.stream.closed for handler in logger.handlers)


def test_a_line_with_an_end_is_written_at_once_and_a_prompt_too(capsys):
    with compact():
        print('a', end='')
        assert capsys.readouterr().out == ''
        print('b')
        assert capsys.readouterr().out == 'ab\n'
        sys.stdout.write('(Pdb) ')
        sys.stdout.flush()
        assert capsys.readouterr().out == '(Pdb) '


def test_a_terminal_is_not_taken_for_a_file():
    console = Console(file=io.StringIO(), force_terminal=True, width=60, _environ={})
    screen = Screen(console)
    assert screen.live and screen.width == 60
    assert not Screen(Console(file=io.StringIO(), width=60)).live
    assert Screen(Console(file=io.StringIO(), width=60)).width > 1000


def test_a_bar_on_a_terminal_alone_which_leaves_nothing_behind():
    def drawn(**options):
        file = io.StringIO()
        screen = Screen(Console(file=file, width=60, _environ={}, **options))
        hook = ConsoleHook(screen)
        hook._begin('training', 1000, 3)
        if hook._is_due():
            hook._advance(250, 'eta 1:02')
        screen.print('a line')
        screen.close()
        return file.getvalue()

    terminal = drawn(force_terminal=True)
    assert '250/1,000  eta 1:02' in ESCAPES.sub('', terminal)
    assert terminal.rstrip().endswith('\x1b[2K')  # The bar is wiped off.
    assert drawn() == 'a line\n'


def test_without_stdout(monkeypatch):
    monkeypatch.setattr('sys.stdout', None)
    with compact():
        print('nowhere')
    assert sys.stdout is None


@pytest.fixture(scope='module')
def shown(toy_root, tmp_path_factory):
    """What ``tools/train.py`` shows on a terminal of 100 columns, and its work dir."""
    folder = tmp_path_factory.mktemp('shown')
    options = {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 1}
    config = write_config(tiny(folder / 'work', **options), folder / 'config.py')
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        # A terminal by its variables, and without a bar, which would be drawn over what is read
        for name, value in dict(FORCE_COLOR='1', TERM='dumb', COLUMNS='100').items():
            patch.setenv(name, value)
        assert run_tool('train', config) == 0
    return ESCAPES.sub('', out.getvalue()).splitlines(), folder / 'work'


def test_at_most_15_lines_stand_before_the_first_of_training(shown):
    lines, work_dir = shown
    first = next(i for i, line in enumerate(lines) if FIRST_LINE.match(line))
    assert sum(-(-len(line) // 100) for line in lines[:first]) <= 15, lines[:first]
    header = '\n'.join(lines[:first])
    # The path may be relative.
    assert f'{work_dir.parent.name}/{work_dir.name}' in header and 'seed 0' in header
    assert '1 to 2, a validation every 1' in header
    rows = [line.split() for line in lines[:first]]
    assert ['cls', '16', '8', '8'] in rows and ['det', '16', '2', '8'] in rows
    assert not any('loading annotations' in line or 'Warning' in line for line in lines)


def test_a_training_on_the_console(shown):
    lines, work_dir = shown
    steps = [line for line in lines if re.match(r'\d/2  loss ', line)]
    assert [line.split()[0] for line in steps] == ['1/2', '2/2']
    assert all(len(line) <= 100 for line in steps)
    assert '+ 2 val' in steps[0] and 'val' not in steps[1]
    assert all(f' {task} ' in steps[0] for task in ('cls', 'det', 'seg'))
    tables = [i for i, line in enumerate(lines) if line.startswith('validation after step')]
    assert [lines[i].split()[3] for i in tables] == ['1', '2']
    assert lines[tables[0] + 1].split() == ['task', 'metric', 'value', 'best', 'change']
    first, second = (lines[i + 2].split() for i in tables)
    assert first[:2] == second[:2] == ['cls', 'top1']
    change = float(second[2]) - float(first[2])
    assert float(second[-1]) == pytest.approx(change, abs=1e-3)
    assert ('*' in second) == (change >= 0)
    assert lines[-1].startswith('2 steps done in ')
    (log,) = work_dir.glob('*/*.log')
    text = log.read_text()
    assert all(f'Iter(train) [{step}/2]' in text for step in (1, 2))
    assert 'Config:\n' in text and 'Hooks will be executed' in text


def test_verbose_shows_what_is_in_the_log(toy_root, tmp_path, capsys):
    cfg = classification(tmp_path / 'work', **{'train_cfg.max_iters': 1})
    config = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('train', config, '--no-dry-run') == 0
    short = capsys.readouterr().out
    assert 'Iter(train)' not in short and 'Config:' not in short and '\x1b' not in short
    assert re.search(r'^1/1  loss ', short, re.MULTILINE)
    cfg = classification(tmp_path / 'all', **{'train_cfg.max_iters': 1})
    config = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('train', config, '--no-dry-run', '--verbose') == 0
    out = capsys.readouterr().out
    assert 'Iter(train) [1/1]' in out and 'Config:' in out
    assert not re.search(r'^1/1  loss ', out, re.MULTILINE)
