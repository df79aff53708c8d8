"""The tutorial of own data, from a wheel: its commands as they are written, on toy scenes."""

import json
import re
import sys

import pytest
from conftest import ROOT
from own_sources import YOLO_CLASSES, own_sources

sys.path.insert(0, str(ROOT / 'docs/hooks'))
from page_commands import commands

PAGE = 'docs/tutorials/own_data.md'
# What the reader writes: code and configs
WRITTEN = re.findall(r'^```python\n(.*?)^```', (ROOT / PAGE).read_text(), re.DOTALL | re.MULTILINE)
# Options that make a command quick
QUICK = dict(
    demo='--images 8 --cfg-options train_cfg.max_iters=1 train_cfg.val_interval=1 '
    'train_cfg.warmup=None train_cfg.dry_run=False',
    init='--image-size 64',
    train='--cfg-options train_cfg.epochs.n=1 train_cfg.val_interval=8 train_cfg.dry_run=False',
    evaluate='--examples 1',
)
# Besides what the page has: predictions and metrics of Python for comparison with the shell's
COMPARED = """
import glob, json
predictions = {r.path.split('/')[-1]: r.to_dict() for r in model('mine/yolo/images/val')}
metrics = allinone.test('street.py', glob.glob('work_dirs/street/best_score_iter_*.pth')[0])
json.dump(dict(predictions=predictions, metrics=metrics), open('python.json', 'w'))
"""


def test_few_lines_are_written_by_the_reader():
    assert sum(bool(line.strip()) for block in WRITTEN for line in block.splitlines()) <= 6


@pytest.fixture(scope='module')
def folder(installed, toy_root, tmp_path_factory):
    """The reader's folder after all commands, with what each printed in ``printed.json``."""
    folder = tmp_path_factory.mktemp('reader')
    own_sources(toy_root / 'toy', folder / 'mine')
    printed = {}
    for command in commands(PAGE):
        kind = next((word for word in command.arguments if word in QUICK), command.program)
        line = f'{command.text} {QUICK.get(kind, "")}'
        printed[command.text] = installed.run(line, cwd=folder).stdout
    (folder / 'printed.json').write_text(json.dumps(printed))
    return folder


def test_each_step_leaves_what_the_page_says(folder):
    printed = json.loads((folder / 'printed.json').read_text())
    programs = [line.split()[1] for line in printed]
    assert programs == [
        *('demo', *['convert'] * 4, 'init', 'train', 'test', 'infer', *['analyze'] * 2)
    ]
    for name in ('all_tasks.png', 'report.html'):
        assert (folder / 'work_dirs/demo' / name).stat().st_size > 1000
    classes = json.loads((folder / 'data/boxes/train.json').read_text())['categories']
    assert [entry['name'] for entry in classes] == list(YOLO_CLASSES)
    assert all((folder / f'data/{name}/data_set.py').is_file() for name in ('others', 'kinds'))
    lines = (folder / 'street.py').read_text().splitlines()
    assert len(lines) == 14 and all('  # ' in line for line in lines)
    drawn = {path.name for path in (folder / 'results/vis').iterdir()}
    assert drawn == {path.name for path in (folder / 'mine/yolo/images/val').iterdir()}
    report = (folder / 'work_dirs/street/report.html').read_text()
    assert 'near vehicle' in report and 'overcast' in report and 'pavement' in report


def test_python_predicts_and_measures_what_the_shell_does(folder, installed):
    (code,) = WRITTEN
    (folder / 'predict.py').write_text(code + COMPARED)
    shown = installed.run([str(installed.python), 'predict.py'], cwd=folder).stdout
    python = json.loads((folder / 'python.json').read_text())
    for name in python['predictions']:
        assert f'mine/yolo/images/val/{name}' in shown
    shell = {
        f'{path.stem}.jpg': json.loads(path.read_text())
        for path in (folder / 'results/predictions').iterdir()
    }
    assert len(shell) == 8 and python['predictions'] == shell
    metrics = json.loads((folder / 'metrics.json').read_text())
    assert python['metrics'] == metrics
    assert {'boxes/bbox_mAP_50', 'kinds/top1', 'areas/mIoU', 'score'} <= set(metrics)
