"""The lines of docs/trackers.md."""

import ast
import json
import re

import pytest
from conftest import ROOT, TOY_CONFIG, classification

from allinone.config.loading import load_config
from allinone.registry import RUNNERS, VISBACKENDS

PAGE = (ROOT / 'docs/trackers.md').read_text()
BLOCK = re.search(r'```python\n(.*?)```', PAGE, re.DOTALL)[1]
LINES = [ast.unparse(line) for line in ast.parse(BLOCK).body]


@pytest.mark.parametrize('line', LINES)
def test_a_line_adds_a_backend(tmp_path, line):
    path = tmp_path / 'child.py'
    path.write_text(f"_base_ = '{TOY_CONFIG}'\n{line}\n")
    cfg = load_config(str(path)).visualizer
    local, tracker = (VISBACKENDS.get(backend.type) for backend in cfg.vis_backends)
    assert local is VISBACKENDS.get('LocalVisBackend') and tracker.__name__ in line
    assert cfg.type == 'Visualizer' and len(LINES) == 3


def test_tensorboard_has_the_values_of_the_local_file(toy_root, tmp_path):
    events = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    cfg = classification(tmp_path / 'work', experiment_name='trackers')
    line = next(line for line in LINES if 'Tensorboard' in line)
    cfg.visualizer.update(eval(line.partition(' = ')[2]))
    RUNNERS.build(cfg).train()
    (local,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    (folder,) = (tmp_path / 'work').glob('*/vis_data')
    board = events.EventAccumulator(str(folder))
    board.Reload()
    written = [json.loads(row) for row in local.read_text().splitlines()]
    for name in ('cls/loss', 'cls/top1'):
        expected = [(row['step'], row[name]) for row in written if name in row]
        found = [(event.step, event.value) for event in board.Scalars(name)]
        assert found == [(step, pytest.approx(value)) for step, value in expected] and expected
