"""Intervals of retrieval from a run of ``tools/test.py``."""

import pytest
from conftest import run_tool, write_config
from identity_data import make_identities, retrieval_config

from allinone.evaluation.intervals import intervals
from allinone.evaluation.run_statistics import read_statistics
from allinone.registry import RUNNERS


def test_a_tested_model_has_intervals(toy_root, tmp_path, capsys):
    (tmp_path / 'identities').mkdir()
    images = make_identities(tmp_path / 'identities')
    cfg = retrieval_config(images, tmp_path / 'work')
    RUNNERS.build(cfg).train()
    config, path = write_config(cfg, tmp_path / 'config.py'), tmp_path / 'run.statistics.npz'
    run_tool('test', config, tmp_path / 'work/iter_4.pth', '--intervals', '--save-statistics', path)
    assert 'rank1' in capsys.readouterr().out
    run = read_statistics(str(path))
    (part,) = run.tasks['reid']
    assert part.statistics.arrays['values'].shape == (6, 5)  # Queries, values of each
    bounds = intervals(run)
    for name in ('rank1', 'mAP'):
        (found,) = [value for key, value in bounds.items() if key.endswith(name)]
        assert found.low <= found.value <= found.high
        (value,) = [value for key, value in run.values.items() if key.endswith(name)]
        assert found.value == pytest.approx(value)
