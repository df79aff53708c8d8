import base64
import json
import math
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from allinone.analysis.comparison import balancer_name, delta_m, read_runs, relative_changes
from allinone.analysis.conflicts import conflict_matrices, plot_conflicts
from allinone.analysis.report import write_report
from allinone.analysis.scalars import read_scalars, task_pairs
from allinone.errors import ConfigError, DataError
from allinone.io.images import read_image

ROOT = Path(__file__).parents[2]


def log(work_dir, training=(), validation=(), config=None):
    """A run's folder: records are ``(iteration, {key: value})``."""
    folder = work_dir / '20250101_000000/vis_data'
    folder.mkdir(parents=True)
    records = [dict(record, iter=step, step=step) for step, record in training]
    records += [dict(record, step=step) for step, record in validation]
    (folder / 'scalars.json').write_text(''.join(f'{json.dumps(r)}\n' for r in records))
    if config is not None:
        (folder / 'config.py').write_text(config)
    return work_dir


def measured(first, second, cosine, conflict):
    return {
        'a/loss': 1.0,
        'a/grad_norm': 1.0,
        f'{second}/loss': 1.0,
        f'{second}/grad_norm': 2.0,
        f'cos/{first}-{second}': cosine,
        f'grad_conflict/{first}-{second}': conflict,
    }


def joint(work_dir, top1, mean_ap, config='model = dict(balancer=dict(type="PCGrad"))'):
    training = [
        (step, measured('a', 'b', 0.1 * step, 0.5) | dict(time=t))
        for step, t in ((1, 9.0), (2, 0.2), (3, 0.25))
    ]
    values = [
        (step, {'a/top1': top1 + step, 'b/bbox_mAP': mean_ap, 'score': 50.0 - step, 'time': 7.0})
        for step in (2, 3)
    ]
    return log(work_dir, training, values, config)


def alone(work_dir, task, key, value):
    return log(
        work_dir, [(1, {f'{task}/loss': 1.0})], [(3, {f'{task}/{key}': value})], 'model = dict()'
    )


class Page(HTMLParser):
    """The tags, attributes and visible words of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(Path(path).read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words += [data.strip()] if data.strip() else []


def tool():
    spec = spec_from_file_location('tool_analyze', ROOT / 'tools/analyze.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_tool(*argv):
    module = tool()
    return module.main(module.parse_args([str(part) for part in argv]))


def test_delta_m_by_hand():
    single = {'cls/top1': 80.0, 'det/mAP': 0.4, 'det/mAP_50': 0.5, 'depth/rmse': 2.0}
    values = {'cls/top1': 76.0, 'det/mAP': 0.46, 'det/mAP_50': 0.55, 'depth/rmse': 2.1}
    assert relative_changes(values, single) == pytest.approx(
        {'cls/top1': -5, 'det/mAP': 15, 'det/mAP_50': 10, 'depth/rmse': 5}
    )
    # cls 5 % worse; det 15 % and 10 % better; depth 5 % worse, for less is better there.
    expected = (5 - (15 + 10) / 2 + 5) / 3
    assert delta_m(values, single, ['depth/rmse']) == pytest.approx(expected)
    assert delta_m(values, single) == pytest.approx((5 - 12.5 - 5) / 3)
    assert delta_m(single, single) == 0


@pytest.mark.parametrize(
    'values, single',
    [
        ({'cls/top1': 1.0}, {}),
        ({'cls/top1': 1.0}, {'cls/top1': 1.0, 'det/mAP': 1.0}),
        ({'cls/top1': 1.0, 'det/mAP': 1.0}, {'cls/top1': 1.0, 'det/mAP': 0.0}),
    ],
)
def test_no_delta_m_where_a_figure_is_missing_or_0_alone(values, single):
    assert delta_m(values, single) is None


def test_conflicts_count_each_measurement_once(tmp_path):
    # Measured at 10 and 30; at 20 and 40 the log repeats what it had.
    log(
        tmp_path,
        [
            (10, measured('a', 'b', 0.5, 0.0)),
            (20, measured('a', 'b', 0.5, 0.0)),
            (30, measured('a', 'b', -0.1, 1.0)),
            (40, measured('a', 'b', -0.1, 1.0)),
            (50, measured('a', 'b', -0.1, 1.0)),
            (60, measured('a', 'b', float('nan'), 0.0)),
            (70, measured('a', 'c-d', -0.2, 0.75)),
        ],
    )
    tasks, shares, cosines = conflict_matrices(read_scalars(tmp_path)[0])
    nan = math.nan
    assert tasks == ['a', 'b', 'c-d']
    np.testing.assert_allclose(shares, [[nan, 0.5, 0.75], [0.5, nan, nan], [0.75, nan, nan]])
    np.testing.assert_allclose(cosines, [[nan, 0.2, -0.2], [0.2, nan, nan], [-0.2, nan, nan]])
    plot_conflicts(read_scalars(tmp_path)[0], tmp_path / 'conflicts.png')
    image = read_image(tmp_path / 'conflicts.png')
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20


def test_a_task_called_cos_is_no_pair():
    training = {1: measured('a', 'cos', 0.5, 0.0) | {'cos/loss': 1.0, 'cos/weight': 1.0}}
    assert task_pairs(training, ['a', 'cos']) == [('a', 'cos', 'a-cos')]
    assert conflict_matrices(training)[0] == ['a', 'cos']


def test_a_log_without_comparisons_has_no_conflicts(tmp_path):
    log(tmp_path / 'run', [(1, {'a/loss': 1.0})])
    with pytest.raises(DataError, match='grad_similarity_interval'):
        conflict_matrices(read_scalars(tmp_path / 'run')[0])
    write_report([tmp_path / 'run'], tmp_path / 'r.html')
    assert any('grad_similarity_interval is 0' in text for text in Page(tmp_path / 'r.html').words)


@pytest.mark.parametrize(
    'config, name',
    [
        ('model = dict(balancer=dict(type="PCGrad"))', 'PCGrad'),
        (
            'model = dict(balancer=dict(type="Smoothed", balancer=dict(type="CAGrad", c=0.4)))',
            'SmoothedTaskWeights(CAGrad)',
        ),
        ('model = dict(type="AllInOne")', 'FixedWeights'),
        (None, 'unknown'),
    ],
)
def test_the_method_is_the_balancer_of_the_run(tmp_path, config, name):
    assert balancer_name(log(tmp_path / 'run', [(1, {})], config=config)) == name


def test_a_config_that_cannot_be_read(tmp_path):
    log(tmp_path / 'run', [(1, {'a/loss': 1.0})], config='model = dict(')
    with pytest.raises(ConfigError, match=r'config\.py cannot be read'):
        read_runs([tmp_path / 'run'])


def test_what_a_run_tells(tmp_path):
    first, second = read_runs(
        [joint(tmp_path / 'x/run', 70.0, -1.0), joint(tmp_path / 'run', 60, 1)]
    )
    assert (first.name, second.name) == (str(tmp_path / 'x/run'), str(tmp_path / 'run'))
    assert first.seconds_per_step == 0.25 and first.iterations == 3 and first.tasks == ['a', 'b']
    # COCO's -1 is no value; the score is best at 2.
    assert first.values() == {'a/top1': 73.0, 'score': 47.0, 'time': 7.0, 'step': 3}
    assert first.values(best=True)['a/top1'] == 72.0


def test_runs_are_compared_with_the_tasks_alone(tmp_path):
    runs = [joint(tmp_path / 'good', 77.0, 0.6), joint(tmp_path / 'bad', 57.0, 0.4)]
    singles = dict(
        a=alone(tmp_path / 'only_a', 'a', 'top1', 80.0),
        b=alone(tmp_path / 'only_b', 'b', 'bbox_mAP', 0.5),
    )
    out = tmp_path / 'out/report.html'
    images = write_report(runs, out, singles)
    words = Page(out).words
    start = words.index('good', words.index('only_b'))
    # 80 against 80, and 0.6 against 0.5; then 60 against 80, and 0.4 against 0.5.
    cells = ['PCGrad', '3', '80.00', '(+0.0)', '60.00', '(+20.0)', '47.00', '-10.00', '0.25']
    assert words[start + 1 : start + 10] == cells
    cells = ['PCGrad', '3', '60.00', '(-25.0)', '40.00', '(-20.0)', '47.00', '+22.50', '0.25']
    assert words[start + 11 : start + 20] == cells
    assert 'lower is better' in words
    assert sorted(path.name for path in out.parent.iterdir()) == ['report.html', 'report_images']
    assert sorted(Path(path).name for path in images) == [
        '1_good_conflicts.png',
        '1_good_curves.png',
        '2_bad_conflicts.png',
        '2_bad_curves.png',
        'validation.png',
    ]
    assert sorted(images) == sorted(map(str, (tmp_path / 'out/report_images').iterdir()))


def test_the_page_needs_no_other_file(tmp_path):
    images = write_report([joint(tmp_path / 'run', 70.0, 0.5)], tmp_path / 'r.html')
    page = Page(tmp_path / 'r.html')
    assert {'script', 'link', 'iframe', 'a', 'base'}.isdisjoint(page.tags)
    sources = [value for name, value in page.attributes if name == 'src']
    assert not [name for name, _ in page.attributes if name in ('href', 'srcset', 'background')]
    start = 'data:image/png;base64,'
    assert [base64.b64decode(source.removeprefix(start)) for source in sources] == [
        Path(path).read_bytes() for path in images
    ]
    assert 'url(' not in (tmp_path / 'r.html').read_text()


def test_names_of_the_user_are_escaped(tmp_path):
    evil, task = '<img src=x onerror=alert(1)>$\\frac$', '<script>alert("2")<'
    training = [(1, {f'{task}/loss': 1.0, 'b/loss': 1.0})]
    validation = [(1, {f'{task}/<u>': 50.0, 'b/top1': 50.0})]
    config = f'model = dict(balancer=dict(type={"<i>m</i>"!r}))'
    plain = write_report([log(tmp_path / 'fine', [(1, {'b/loss': 1.0})])], tmp_path / 'plain.html')
    assert len(plain) == 1
    write_report(
        [log(tmp_path / evil, training, validation, config), tmp_path / 'fine'],
        tmp_path / 'r.html',
        {task: tmp_path / evil},
    )
    page = Page(tmp_path / 'r.html')
    assert set(page.tags) - set(Page(tmp_path / 'plain.html').tags) == {'small', 'b'}
    assert 'onerror' not in dict(page.attributes)
    assert all(value.startswith('data:') for name, value in page.attributes if name == 'src')
    assert {evil, '<i>m</i>', f'{task}/<u>'} <= set(page.words)


@pytest.mark.parametrize(
    'argv, message',
    [
        (['empty'], r'empty has no \*/vis_data/scalars.json; give the work dir of a training'),
        (['gone'], r'gone has no \*/vis_data/scalars.json'),
        (['silent'], 'holds no record yet'),
        (['foreign'], 'has no TASK/loss and no metric'),
        (['run', 'empty'], 'empty has no'),
        (['run', '--single', 'c=run'], "--single names the task 'c'; the compared runs have"),
        (['run', '--single', 'a=only_b'], "its validation gives none of \\['a/top1'\\]; it gives"),
        (['run', '--single', 'a=run', 'a=run'], 'name each task once'),
        (['run', '--lower-is-better', 'a/top2'], "names \\['a/top2'\\]; the metrics are"),
        (['run', '--out', 'r.pdf'], r'give a name in .html, or in .png'),
        (['run', 'run', '--out', 'r.png'], r'give a name in .html, or in .png'),
    ],
)
def test_bad_input_is_one_sentence_and_writes_no_page(tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    joint(tmp_path / 'run', 70.0, 0.5)
    alone(tmp_path / 'only_b', 'b', 'bbox_mAP', 0.5)
    log(tmp_path / 'silent')
    log(tmp_path / 'foreign', [(1, {'loss': 1.0})])
    assert run_tool(*argv) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1
    with pytest.raises(ConfigError, match=message):
        raise ConfigError(error)
    assert not [*tmp_path.rglob('*.html*'), *tmp_path.rglob('*.tmp')]


def test_a_single_run_must_be_named_with_its_task(capsys):
    with pytest.raises(SystemExit):
        tool().parse_args(['run', '--single', 'other_run'])
    assert "'other_run' is not TASK=WORK_DIR" in capsys.readouterr().err


def test_the_tool_on_a_real_run(trained, tmp_path, capsys):
    assert run_tool(trained[2], '--single', f'cls={trained[2]}', '--out', tmp_path / 'r.html') == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(tmp_path / 'r.html')
    assert [Path(path).is_file() for path in printed] == [True] * 3
    words = Page(tmp_path / 'r.html').words
    assert 'FixedWeights' in words and '(FixedWeights)' not in words
    assert {'cls/top1', 'det/bbox_mAP', 'det/bbox_mAP_50', 'seg/mIoU', 'Score'} <= set(words)
    training, _ = read_scalars(trained[2])
    tasks, shares, _ = conflict_matrices(training)
    assert tasks == ['cls', 'det', 'seg']
    assert np.isfinite(shares[~np.eye(3, dtype=bool)]).all()


def test_the_default_page_lies_in_the_first_run(tmp_path, capsys):
    first, second = joint(tmp_path / 'one', 70.0, 0.5), joint(tmp_path / 'two', 60.0, 0.5)
    assert run_tool(first, second) == 0
    assert (first / 'report.html').is_file() and not (second / 'report.html').exists()
