"""The final config as text: all of it, of one task, and how another differs."""

import sys

import pytest
from conftest import ROOT, run_tool
from mmengine.config import Config

from allinone.config.loading import load_config
from allinone.config.text import lines_of
from allinone.training.run_manifest import flat_config

TOY = ROOT / 'configs/toy/mobilenetv2_toy.py'
NO_CONFIG = (
    'none.py: no such config file, and no ready config is called so; "allinone configs" lists them'
)


@pytest.fixture
def printed(capsys):
    """Status, stdout and stderr of ``tools/print_config.py``."""

    def run(*argv):
        status = run_tool('print_config', *argv)
        return status, *capsys.readouterr()

    return run


def test_the_text_is_the_config_that_a_run_reads(tmp_path, printed):
    path = tmp_path / 'child.py'
    path.write_text(f"_base_ = '{ROOT}/configs/toy/mobilenetv2_toy_signs.py'\n")
    status, text, error = printed(path, '--cfg-options', 'train_dataloader.signs.batch_size=3')
    assert (status, error) == (0, '')
    (tmp_path / 'printed.py').write_text(text)
    expected = flat_config(load_config(str(path), ['train_dataloader.signs.batch_size=3']))
    found = flat_config(load_config(str(tmp_path / 'printed.py')))
    assert found == expected | dict(work_dir=repr('work_dirs/printed'))
    assert not [line for line in text.splitlines() if line.startswith('toy_')]  # No variables
    assert 'launcher' not in text and 'work_dir' not in text


def test_of_a_task_only_its_own(printed):
    status, text, _ = printed(TOY, '--task', 'seg')
    found, cfg = Config.fromstring(text, '.py'), load_config(str(TOY))
    assert status == 0
    assert found.to_dict() == dict(
        model=dict(tasks=dict(seg=cfg.model.tasks.seg)),
        train_dataloader=dict(seg=cfg.train_dataloader.seg),
        val_dataloader=dict(seg=cfg.val_dataloader.seg),
        val_evaluator=dict(seg=cfg.val_evaluator.seg),
        val_cfg=dict(score={'seg/mIoU': 1}),
        test_dataloader=dict(seg=cfg.test_dataloader.seg),
        test_evaluator=dict(seg=cfg.test_evaluator.seg),
        test_cfg=dict(score={'seg/mIoU': 1}),
    )


def test_a_difference_names_its_keys(tmp_path, printed):
    other = tmp_path / 'other.py'
    other.write_text(
        f"_base_ = '{TOY}'\n"
        'model = dict(tasks=dict(\n'
        '    det=dict(neck=dict(num_outs=4)), seg=dict(test_cfg=dict(more=1))))\n'
        'optim_wrapper = dict(optimizer=dict(lr=0.5))\n'
    )
    status, text, _ = printed(TOY, '--diff', other)
    lines = text.splitlines()
    assert (status, lines[:2]) == (0, [f'--- {TOY}', f'+++ {other}'])
    assert [line.split('@@ ')[-1] for line in lines if line.startswith('@@')] == [
        'model.tasks.det.neck.num_outs',
        'model.tasks.seg.test_cfg.more',
        'optim_wrapper.optimizer.lr',
    ]
    changes = [line.replace(' ', '') for line in lines[2:] if line[0] in '+-']
    assert changes == [
        *('-num_outs=3,', '+num_outs=4,', '+more=1,', '-lr=0.002,', '+lr=0.5,'),
    ]
    assert printed(TOY, '--diff', other, '--task', 'cls') == (0, '', '')
    assert printed(TOY, '--diff', TOY) == (0, '', '')


def test_on_a_terminal_it_is_coloured(monkeypatch, printed):
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: True, raising=False)
    monkeypatch.setenv('TERM', 'xterm-256color')
    monkeypatch.delenv('NO_COLOR', raising=False)
    _, text, _ = printed(TOY, '--task', 'cls')
    assert '\x1b[' in text and 'LinearClsHead' in text


@pytest.mark.parametrize(
    'argv, says',
    [
        (
            (TOY, '--task', 'dett'),
            f"--task is 'dett', which {TOY} does not have; name one of ['cls', 'det', 'seg']",
        ),
        (('none.py',), NO_CONFIG),
        ((TOY, '--diff', 'none.py'), NO_CONFIG),
    ],
)
def test_what_is_missing_is_refused(printed, argv, says):
    assert printed(*argv) == (2, '', f'error: {says}\n')


def test_values_of_each_kind_are_read_back():
    content = dict(
        empty=dict(),
        nested=[dict(a=(1,)), (), [[1, 2], dict()]],
        names={'cls/top1': 1, 'class': 2.5, 3: None},
        long=[f'a name of a class, {number}' for number in range(20)],
        quoted="it's \\ \n a line",
        infinite=(float('inf'), -float('inf')),
        switch=True,
    )
    lines = [line.text for line in lines_of(content)]
    assert max(map(len, lines)) <= 100
    assert Config.fromstring('\n'.join(lines), '.py').to_dict() == content
