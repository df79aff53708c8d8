import json
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from allinone.analysis.curves import draw_curves, main_metrics, plot_curves, plot_validations
from allinone.analysis.scalars import read_scalars, series
from allinone.errors import DataError
from allinone.io.images import read_image

ROOT = Path(__file__).parents[2]


def log(work_dir, stamp, training, validation=(), tail=''):
    folder = work_dir / stamp / 'vis_data'
    folder.mkdir(parents=True)
    records = [
        {
            'lr': 0.1,
            'loss': 2 * value,
            'cls/loss': value,
            'det/loss': value,
            'cls/weight': 1.0,
            'det/weight': 0.5,
            'cls/grad_norm': 40 * value,
            'iter': step,
            'step': step,
        }
        for step, value in training
    ]
    records += [
        {
            'cls/top1': value,
            'cls/top5': 99.0,
            'det/bbox_mAP': value / 100,
            'det/bbox_mAP_s': -1.0,
            'score': value,
            'data_time': 0.1,
            'time': 1.0,
            'step': step,
        }
        for step, value in validation
    ]
    lines = [json.dumps(record) for record in records]
    (folder / 'scalars.json').write_text('\n'.join(lines) + '\n' + tail)


def test_resumed_runs_are_put_together_and_the_later_wins(tmp_path):
    log(
        tmp_path,
        '20250101_000000',
        [(10, 5.0), (20, 4.0), (30, 3.0), (50, 9.0)],
        [(20, 50.0), (40, 60.0)],
    )
    log(tmp_path, '20250102_000000', [(30, 2.5), (40, 2.0)], [(40, 70.0)], tail='{"half": ')
    training, validation = read_scalars(tmp_path)
    # Iteration 50 is of a past that the resumption undid.
    assert series(training, 'cls/loss') == ([10, 20, 30, 40], [5.0, 4.0, 2.5, 2.0])
    assert series(validation, 'score') == ([20, 40], [50.0, 70.0])


def test_main_metrics_are_brought_to_percent(tmp_path):
    log(tmp_path, 'a', [(10, 1.0)], [(10, 80.0), (20, 90.0)])
    assert main_metrics(read_scalars(tmp_path)[1]) == {
        'cls/top1': 1.0,
        'det/bbox_mAP': 100.0,
        'score': 1.0,
    }


@pytest.mark.parametrize('validation', [[], [(20, 50.0), (40, 60.0)]])
def test_curves_are_a_png(tmp_path, validation):
    log(tmp_path, 'a', [(10, 5.0), (20, 4.0), (30, float('nan'))], validation)
    plot_curves(tmp_path, tmp_path / 'out/curves.png')
    image = read_image(tmp_path / 'out/curves.png')
    assert min(image.shape[:2]) > 400
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    assert len(list((tmp_path / 'out').iterdir())) == 1


def test_curves_of_a_real_run(trained, tmp_path):
    plot_curves(trained[2], tmp_path / 'curves.png')
    training, validation = read_scalars(trained[2])
    assert list(training) == [1, 2, 3, 4] and list(validation) == [4]
    assert {'cls/top1', 'det/bbox_mAP', 'det/bbox_mAP_50', 'seg/mIoU', 'score'} == set(
        main_metrics(validation)
    )


def test_a_folder_without_a_log(tmp_path):
    with pytest.raises(DataError, match='has no .*scalars.json; give the work dir'):
        plot_curves(tmp_path, tmp_path / 'curves.png')
    log(tmp_path, 'a', [])
    with pytest.raises(DataError, match='holds no record yet'):
        read_scalars(tmp_path)


def load_tool(name):
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(f'tool_{name}', ROOT / f'tools/{name}.py')
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_the_tool(tmp_path, capsys):
    tool = load_tool('analyze')
    log(tmp_path, 'a', [(10, 1.0)])
    out = tmp_path / 'c.png'
    assert tool.main(tool.parse_args([str(tmp_path), '--out', str(out)])) == 0
    assert out.is_file()
    assert tool.main(tool.parse_args([str(tmp_path / 'gone'), '--out', str(out)])) == 2
    assert capsys.readouterr().err.startswith('error: ')


@pytest.mark.parametrize('tool', ['analyze', 'infer'])
def test_help_does_not_wait_for_the_libraries(tool):
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, ROOT / f'tools/{tool}.py', '--help'], check=True, capture_output=True
    )
    assert time.perf_counter() - start < 2


def panels(monkeypatch, training):
    """The titles and the line labels of what ``draw_curves`` draws."""
    drawn = {}

    def look(figure, out):
        for axis in figure.axes:
            drawn[axis.get_title()] = [line.get_label() for line in axis.get_lines()]

    monkeypatch.setattr('allinone.analysis.curves.save_figure', look)
    draw_curves(training, {}, 'unused.png', 'run')
    return drawn


@pytest.mark.parametrize('count', [2, 3, 6])
def test_cosines_are_a_panel_of_their_own(monkeypatch, count):
    tasks = [f't{index}' for index in range(count)]
    training = {
        step: {f'{task}/{key}': 1.0 for task in tasks for key in ('loss', 'weight', 'grad_norm')}
        | {f'cos/{a}-{b}': 0.1 * step for a, b in combinations(tasks, 2)}
        | {f'grad_conflict/{a}-{b}': 0.0 for a, b in combinations(tasks, 2)}
        for step in (1, 2)
    }
    drawn = panels(monkeypatch, training)
    title = next(title for title in drawn if 'osine' in title)
    *lines, zero = drawn.pop(title)
    pairs = [f'{a} – {b}' for a, b in combinations(tasks, 2)]
    # Fifteen pairs are past reading.
    assert lines == (pairs if count < 6 else tasks)
    assert list(drawn.values()) == [tasks] * 3


def test_validations_of_two_runs(tmp_path):
    log(tmp_path / 'one', 'a', [(10, 5.0)], [(20, 50.0), (40, 60.0)])
    log(tmp_path / 'two', 'a', [(10, 5.0)], [(20, 30.0), (40, 90.0)])
    runs = {name: read_scalars(tmp_path / name)[1] for name in ('one', 'two')}
    plot_validations(runs, tmp_path / 'both.png')
    plot_validations({'one': runs['one']}, tmp_path / 'one.png')
    both, one = (read_image(tmp_path / name) for name in ('both.png', 'one.png'))
    assert both.shape == one.shape and (both != one).any()
    # In each of the three panels the second run's line is there.
    width = both.shape[1] // 3
    assert all((both != one)[:, i * width : (i + 1) * width].any() for i in range(3))
