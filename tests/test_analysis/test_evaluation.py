"""``tools/analyze.py evaluate``: its page and files, and the report that shows them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import run_tool, tiny, write_config
from test_report import Page, alone, joint

from allinone.analysis.evaluation.examples import Examples
from allinone.analysis.evaluation.page import class_tables
from allinone.analysis.evaluation.plots import draw_part
from allinone.analysis.evaluation.stored import read_evaluation
from allinone.analysis.report import write_report
from allinone.analysis.templates import cell
from allinone.io.images import read_image
from allinone.tasks.analyses import Quality
from allinone.tasks.analyses.parts import Curves, Histogram, Matrix, Reliability


@pytest.fixture(scope='module')
def evaluated(trained, tmp_path_factory):
    """A copy of the trained run with its evaluation: ``(work dir, config file, checkpoint)``."""
    work_dir = tmp_path_factory.mktemp('evaluated') / 'run'
    shutil.copytree(trained[2], work_dir)
    config = write_config(tiny(work_dir / 'log'), work_dir.with_name('config.py'))
    checkpoint = work_dir / 'iter_4.pth'
    assert run_tool('analyze', 'evaluate', config, checkpoint, '--examples', '2') == 0
    return work_dir, config, checkpoint


def stored(work_dir):
    return json.loads((work_dir / 'evaluation/evaluation.json').read_text())


def column(found, task, name, title='Classes'):
    (part,) = [p for p in found['tasks'][task]['parts'] if p['title'] == title]
    place = list(part['columns']).index(name)
    return [row[place] for row in part['rows']]


def test_the_values_are_those_of_the_test(evaluated):
    found = stored(evaluated[0])
    metrics, tasks = found['metrics'], found['tasks']
    assert list(tasks) == ['cls', 'det', 'seg']
    assert tasks['cls']['summary']['Top-1 %'] == pytest.approx(metrics['cls/top1'])
    assert tasks['seg']['summary']['mIoU %'] == pytest.approx(metrics['seg/mIoU'], abs=0.006)
    for name, value in tasks['seg']['class_values'].items():
        expected = metrics[f'seg/IoU.{name}']
        assert value is expected is None or value == pytest.approx(expected, abs=0.006)
    summary = tasks['det']['summary']
    assert summary['mAP %'] == pytest.approx(100 * metrics['det/bbox_mAP'], abs=0.06)
    assert summary['mAP50 %'] == pytest.approx(100 * metrics['det/bbox_mAP_50'], abs=0.06)


def test_counts_are_those_of_the_data(evaluated, toy_root):
    found = stored(evaluated[0])
    content = json.loads((toy_root / 'toy/det/val.json').read_text())
    assert sum(column(found, 'det', 'Boxes')) == len(content['annotations'])
    assert sum(column(found, 'cls', 'Images')) == found['tasks']['cls']['images']
    labels = {part['title']: part for part in found['tasks']['det']['labels']}
    training = json.loads((toy_root / 'toy/det/train.json').read_text())
    assert sum(row[1] for row in labels['Labels of the training data']['rows']) == len(
        training['annotations']
    )
    assert labels['Labels of the training data']['note'].startswith(
        f'{len(training["images"])} images'
    )
    pixels = [row[1] for row in found['tasks']['seg']['labels'][1]['rows']]
    assert pixels == column(found, 'seg', 'Pixels')


def test_the_page_needs_no_other_file_and_fits_a_phone(evaluated):
    folder = evaluated[0] / 'evaluation'
    page, text = Page(folder / 'report.html'), (folder / 'report.html').read_text()
    assert {'script', 'link', 'iframe', 'a', 'base'}.isdisjoint(page.tags)
    sources = [value for name, value in page.attributes if name == 'src']
    assert len(sources) == len(list((folder / 'images').iterdir()))
    assert all(source.startswith('data:image/') for source in sources)
    assert ('content', 'width=device-width, initial-scale=1') in page.attributes
    # Wide tables scroll by themselves; nothing has a width of its own in pixels but the page.
    assert page.tags.count('table') == text.count('<div class="wide')
    assert 'max-width: 100%' in text and 'style=' not in text.split('</style>')[1]
    for words in ('cls: classification', 'det: detection', 'seg: segmentation', 'Worst images'):
        assert words in page.words


def test_examples_have_the_ground_truth_beside_the_prediction(evaluated):
    found = stored(evaluated[0])
    for task, part in found['tasks'].items():
        values = [entry['value'] for entry in (*part['worst'], *reversed(part['best']))]
        assert values == sorted(values) and len(part['worst']) == 2, task
        for entry in (*part['worst'], *part['best']):
            drawn = read_image(evaluated[0] / 'evaluation/images' / entry['image'])
            height, width = read_image(entry['path']).shape[:2]
            assert drawn.shape[1] > 1.7 * drawn.shape[0] * width / height * 0.8


def test_the_report_shows_what_lies_in_the_work_dir(evaluated, tmp_path):
    other = joint(tmp_path / 'other', 70.0, 0.5)
    write_report([evaluated[0], other], tmp_path / 'r.html')
    page = Page(tmp_path / 'r.html')
    assert page.words.count('Most frequent confusions') >= 1 and 'det: detection' in page.words
    assert any('run tools/analyze.py evaluate' in text for text in page.words)
    assert 'det: AP % of each class' not in page.words  # One run alone has it.
    write_report([other], tmp_path / 'r.html')
    assert 'Classes' not in Page(tmp_path / 'r.html').words


def test_runs_are_compared_class_by_class(evaluated, tmp_path):
    runs = [alone(tmp_path / name, 'cls', 'top1', 50.0) for name in ('one', 'two')]
    for run, value in zip(runs, (12.5, None)):
        shutil.copytree(evaluated[0] / 'evaluation', run / 'evaluation')
        content = stored(run)
        content['tasks'] = {'cls': content['tasks']['cls']}
        content['tasks']['cls']['class_values'] = {'<b>day</b>': value, 'night': 75.0}
        content['tasks']['cls']['worst'][0]['path'] = '<script>'
        (run / 'evaluation/evaluation.json').write_text(json.dumps(content))
    write_report(runs, tmp_path / 'r.html')
    page = Page(tmp_path / 'r.html')
    words = page.words
    assert 'script' not in page.tags and '<script>' in words
    start = words.index('cls: Top-1 % of each class')
    expected = ['Class', 'one', 'two', '<b>day</b>', '12.5', '–', 'night', '75.0', '75.0']
    assert words[start + 1 : start + 10] == expected


def test_tasks_of_one_name_and_other_values_are_not_compared():
    def run(task, metric):
        return dict(tasks={task: dict(class_values=dict(a=1.0), class_metric=metric)})

    runs = dict(x=run('t', 'AP %'), y=run('t', 'IoU %'), z=run('t', 'AP %'), w=run('u', 'AP %'))
    (table,) = class_tables(runs)
    assert list(table['columns']) == ['Class', 'x', 'z'] and table['rows'] == [['a', 1.0, 1.0]]


def test_some_tasks_and_no_examples(evaluated, tmp_path):
    _, config, checkpoint = evaluated
    out = tmp_path / 'out'
    argv = ['evaluate', config, checkpoint, '--tasks', 'cls', '--examples', 0, '--out', out]
    assert run_tool('analyze', *argv, '--score-thr', 0.6) == 0
    found = json.loads((out / 'evaluation.json').read_text())
    assert list(found['tasks']) == ['cls'] and found['score_thr'] == 0.6
    assert found['tasks']['cls']['worst'] == found['tasks']['cls']['best'] == []
    assert 'Worst images' not in Page(out / 'report.html').words


def test_a_work_dir_means_its_best_checkpoint(evaluated, tmp_path):
    run = tmp_path / 'run'
    run.mkdir()
    shutil.copy(evaluated[2], run / 'iter_2.pth')
    shutil.copy(evaluated[2], run / 'best_cls_top1_iter_1.pth')
    args = '--tasks', 'cls', '--examples', '0'
    assert run_tool('analyze', 'evaluate', evaluated[1], run, *args) == 0
    assert stored(run)['checkpoint'] == str(run / 'best_cls_top1_iter_1.pth')


def test_data_that_cannot_be_analysed(toy_root, evaluated, tmp_path, monkeypatch):
    """A kind without analysis, training data that is not there, and no test data."""
    _, _, checkpoint = evaluated
    cfg = tiny(tmp_path / 'log')
    cfg.train_dataloader.cls.dataset.ann_file = str(tmp_path / 'gone.txt')
    del cfg.test_dataloader['det'], cfg.test_evaluator['det'], cfg.test_cfg['score']
    config = write_config(cfg, tmp_path / 'config.py')
    monkeypatch.setattr('allinone.tasks.segmentation.Segmentation.analysis', None)
    out = tmp_path / 'out'
    assert run_tool('analyze', 'evaluate', config, checkpoint, '--out', out) == 0
    found = json.loads((out / 'evaluation.json').read_text())
    assert list(found['tasks']) == ['cls'] and list(found['notes']) == ['seg', 'det']
    assert "The kind 'segmentation' has no analysis" in found['notes']['seg']
    assert found['tasks']['cls']['label_note'].startswith('The training data could not be read: ')
    assert [part['title'] for part in found['tasks']['cls']['labels']] == [
        'Labels of the test data'
    ]
    words = ' '.join(Page(out / 'report.html').words)
    assert 'could not be read' in words and 'has no analysis' in words
    assert 'The config has no test data of it.' in words


@pytest.mark.parametrize(
    'argv, message',
    [
        (['CONFIG', 'CKPT', '--tasks', 'depth'], r"error: --tasks has \['depth'\]"),
        (['CONFIG', 'gone.pth'], 'error: gone.pth'),
        (['CONFIG', '.'], r'error: \. is a folder in which a checkpoint'),
        (['CONFIG', 'CKPT', '--out', 'page.html'], 'give the name of a folder'),
        (['CONFIG', 'CKPT', '--out', 'a_file'], "error: --out is 'a_file'"),
    ],
)
def test_bad_input_is_one_sentence(evaluated, tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    Path('a_file').write_text('')
    places = dict(CONFIG=evaluated[1], CKPT=evaluated[2])
    assert run_tool('analyze', 'evaluate', *(places.get(part, part) for part in argv)) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert re.search(message, error), error
    assert [path.name for path in tmp_path.iterdir()] == ['a_file']


@pytest.mark.parametrize('value', ['1.5', '-0.1'])
def test_a_threshold_is_a_score(value, capsys):
    with pytest.raises(SystemExit):
        run_tool('analyze', 'evaluate', 'c', 'x', f'--score-thr={value}')
    assert 'must be from 0 to 1' in capsys.readouterr().err


@pytest.mark.parametrize(
    'text, message',
    [
        ('{', 'cannot be read'),
        ('{"version": 99}', 'has version 99'),
        ('{"version": 1}', 'cannot be read'),
    ],
)
def test_a_damaged_evaluation(tmp_path, capsys, text, message):
    run = joint(tmp_path / 'run', 70.0, 0.5)
    (run / 'evaluation').mkdir()
    (run / 'evaluation/evaluation.json').write_text(text)
    assert run_tool('analyze', run, '--out', tmp_path / 'r.html') == 2
    error = capsys.readouterr().err
    assert message in error and 'make it again with tools/analyze.py evaluate' in error
    assert error.count('\n') == 1


def test_no_evaluation_is_none(tmp_path):
    assert read_evaluation(tmp_path) is None


def test_examples_are_the_best_and_the_worst():
    examples = Examples(2)
    made = []
    values = [(0.5, 1), (0.0, 1), (0.0, 5), (1.0, 2), (float('nan'), 0), (1.0, 9), (0.2, 1)]
    for number, quality in enumerate(values):
        examples.add(Quality(*quality), str(number), lambda: made.append(0) or (None, None))
    assert [example.path for example in examples.worst] == ['2', '1']
    assert [example.path for example in examples.best] == ['5', '3']
    assert len(made) == 5  # 0, 1, 2, 3 and 5; the last is neither
    few = Examples(2)
    for number in range(3):
        few.add(Quality(number / 4, 1), str(number), lambda: (None, None))
    assert [example.path for example in few.worst] == ['0', '1']
    assert [example.path for example in few.best] == ['2']


@pytest.mark.parametrize(
    'value, form, text',
    [
        (None, '.1f', '–'),
        (12.345, '.1f', '12.3'),
        (-0.001, '.1f', '0.0'),
        (1234567, ',d', '1,234,567'),
        ('a', '', 'a'),
    ],
)
def test_cells(value, form, text):
    assert cell(value, form) == text


@pytest.mark.parametrize(
    'part',
    [
        Matrix('Matrix', ['a', '$b$'], ['a', '$b$'], [[1, 3], [0, 0]]),
        Matrix(
            'Large', [f'class {i}' for i in range(40)], ['x'] * 40, np.eye(40, dtype=int).tolist()
        ),
        Curves('Few', 'x', 'y', [0, 0.5, 1], dict(a=[1, None, 0], _b=[0, 0, 1]), [0.5, 0, 0.5]),
        Curves('Many', 'x', 'y', [0, 1], {f'c{i}': [i / 20, 1] for i in range(20)}, [0.5, 1]),
        Curves('None', 'x', 'y', [0, 1], {}, [None, None]),
        Reliability('Calibration', [0, 4], [None, 0.8], [None, 0.5], 30.0),
        Reliability('Empty', [0, 0], [None, None], [None, None], None),
        Histogram('Sizes', 'x', 'y', [4, 8, 16, 32], [0, 2, 0], log=True),
        Histogram('None', 'x', 'y', [0, 1], [0]),
    ],
    ids=lambda part: part.title,
)
def test_plots(tmp_path, part, recwarn):
    draw_part(json.loads(json.dumps(part.to_json())), tmp_path / 'plot.png')
    image = read_image(tmp_path / 'plot.png')
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    assert not [str(w.message) for w in recwarn if 'mathtext' in str(w.message).lower()]
