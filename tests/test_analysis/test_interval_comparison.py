"""Differences between tests, paired by image and nested in seeds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import run_tool

from allinone.analysis.interval_comparison import compare
from allinone.analysis.interval_tables import format_comparison
from allinone.analysis.tested_groups import Group
from allinone.errors import ConfigError, DataError
from allinone.evaluation.run_statistics import MetricStatistics, RunStatistics, write_statistics
from allinone.tasks.image_statistics import ImageMeans

ROWS = 100


def part(values, images=None, classes=('a', 'b'), labels=None):
    images = [f'{row:03}.jpg' for row in range(len(values))] if images is None else images
    labels = np.zeros(len(values), int) if labels is None else np.array(labels)
    arrays = dict(values=np.array(values, float)[:, None], labels=labels)
    statistics = ImageMeans(np.array(images), arrays, dict(names=['top1'], classes=list(classes)))
    return MetricStatistics(statistics, dict(top1='top1'))


def run(path='a.npz', **tasks):
    parts = {task: [found] for task, found in tasks.items()}
    return RunStatistics(path, 'c.py', 'c.pth', {}, {}, parts)


def rate(percent, rows=ROWS):
    """A hit in this percentage of the images, the first ones."""
    return [100.0 * (row < percent * rows / 100) for row in range(rows)]


def test_a_difference_is_of_the_same_images():
    """Two models that differ in 10 of 100 images: the error is 3, not 6.5 percent points."""
    first, second = (Group(name, [run(cls=part(rate(p)))]) for name, p in (('a', 60), ('b', 70)))
    found = compare([first, second])
    difference = found.groups[1].differences['cls/top1']
    assert difference.value == pytest.approx(10)
    assert difference.error == pytest.approx((10 * 90 / 100) ** 0.5, rel=0.1)
    assert difference.low > 0 and not difference.holds_zero
    assert found.groups[0].unpaired['cls/top1'] == pytest.approx(1.96 * 2**0.5 * 4.9, rel=0.1)
    # The order of the images is nothing to it.
    order = np.random.default_rng(0).permutation(ROWS)
    names = [f'{row:03}.jpg' for row in order]
    shuffled = Group('b', [run(cls=part(np.array(rate(70))[order], names))])
    assert compare([first, shuffled]).groups[1].differences['cls/top1'] == difference


def test_only_images_that_all_have_count():
    names = [f'{row:03}.jpg' for row in range(50, 150)]
    first = Group('a', [run(cls=part(rate(60)))])
    second = Group('b', [run(cls=part(rate(0), names))])
    found = compare([first, second])
    assert found.images == {'cls': (50, 150)}
    assert found.groups[0].values['cls/top1'].value == 20  # The hits 50 to 59 of 50 to 99
    assert 'Images in all runs: cls 50 (of 150).' in format_comparison(found)


def test_a_difference_whose_interval_holds_0_is_none():
    other = rate(60)
    other[0], other[99] = 0.0, 100.0
    groups = [Group(name, [run(cls=part(v))]) for name, v in (('a', rate(60)), ('b', other))]
    text = format_comparison(compare(groups))
    assert difference_in(text)[:3] == ['cls', 'top1', 'none']
    assert max(map(len, text.splitlines())) <= 100
    better = format_comparison(compare([groups[0], Group('b', [run(cls=part(rate(90)))])]))
    assert difference_in(better)[:3] == ['cls', 'top1', '+30.0000']


def difference_in(text):
    """The words of the line of top1 in the table of differences."""
    table = text[text.index(' - ') :]
    return next(line for line in table.splitlines() if 'top1' in line).split()


def constant(*percents):
    """Seeds without an error of images: all hits, or values in between."""
    return [run(f'{p}.npz', cls=part([float(p)] * ROWS)) for p in percents]


def test_three_seeds_are_drawn_too_and_two_are_not():
    two, three = (
        compare([Group('a', constant(50)), Group('b', constant(*seeds))]).groups[1]
        for seeds in ((40, 70), (40, 70, 70))
    )
    assert two.values['cls/top1'].low == two.values['cls/top1'].high == 55
    assert two.spreads['cls/top1'] == pytest.approx(30 / 2**0.5)
    assert three.seeds == 3 and three.values['cls/top1'].value == 60
    # Three draws among 40, 70, 70: all 40 in 1 of 27, all 70 in 8 of 27
    assert (three.values['cls/top1'].low, three.values['cls/top1'].high) == (40, 70)
    assert three.differences['cls/top1'].holds_zero
    assert three.values['cls/top1'].error == pytest.approx((200 / 3) ** 0.5, rel=0.1)
    assert three.spreads['cls/top1'] == pytest.approx(300**0.5)
    text = format_comparison(compare([Group('b', constant(40, 70))]))
    assert 'b (mean of 2 seeds)' in text and '21.2132' in text
    assert 'Fewer than 3 seeds of b: only images are drawn' in text


def test_delta_m_against_the_first_group_and_against_single_task_runs():
    joint = run(cls=part(rate(60)), sign=part(rate(50)))
    better = run(cls=part(rate(66)), sign=part(rate(60)))
    groups = [Group('a', [joint]), Group('b', [better])]
    found = compare(groups)
    # Of 10 % and 20 % more; lower is better.
    assert found.groups[1].differences['delta_m'].value == pytest.approx(-15)
    assert found.groups[1].differences['delta_m'].high < 0
    assert found.groups[0].differences == {} and 'delta_m' not in found.groups[1].values
    single = dict(cls=Group('s', [run(cls=part(rate(50)))]))
    found = compare(groups, single)
    assert found.only_images == ['a', 'b', 'the single-task runs of cls']
    values = [group.values['delta_m'].value for group in found.groups]
    assert values == pytest.approx([-20, -32])
    assert found.groups[1].differences['delta_m'].value == pytest.approx(-12)
    assert 'delta_m is relative to single-task runs of cls; lower' in format_comparison(found)
    seeds = Group('seeds', [run('c.npz', cls=part(rate(60))), run('d.npz', cls=part(rate(70)))])
    # -20 and -40 % against the single-task run
    spread = compare([seeds], single).groups[0].spreads['delta_m']
    assert spread == pytest.approx(20 / 2**0.5)
    worse = compare(groups, lower_is_better=['cls/top1'], metrics=['cls/top1'])
    assert worse.groups[1].differences['delta_m'].value == pytest.approx(10)


def test_scores_of_other_factors_are_not_compared():
    given = [
        replace(run(name, cls=part(rate(60))), score={'cls/top1': factor})
        for name, factor in (('a', 1), ('b', 1), ('c', 2))
    ]
    groups = [Group(found.path, [found]) for found in given]
    assert compare(groups[:2]).groups[1].values['score'].value == 60
    assert 'score' not in compare(groups).groups[0].values


def test_the_same_seed_gives_the_same_numbers():
    groups = [Group('a', constant(40, 50, 60)), Group('b', [run(cls=part(rate(60)))])]
    assert compare(groups) == compare(groups)
    assert compare(groups) != compare(groups, seed=1)


def refusal(kind, *groups, **options):
    with pytest.raises(kind) as error:
        compare(groups, **options)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_tests_that_cannot_be_compared():
    first = Group('a', [run(cls=part(rate(60)))])

    def other(path='b.npz', **tasks):
        return Group('b', [run(path, **tasks)])

    assert refusal(DataError, first, other(det=part(rate(60)))) == (
        "a.npz has statistics of the tasks ['cls'], and b.npz of ['det']; compare tests with a "
        'task in common'
    )
    elsewhere = other(cls=part(rate(60), [f'val/{row}.jpg' for row in range(ROWS)]))
    assert refusal(DataError, first, elsewhere) == (
        'a.npz and b.npz have no image of task cls in common (such as 000.jpg and val/0.jpg); test '
        'both on the same images'
    )
    assert refusal(DataError, first, other(cls=part(rate(60), classes='ba'))) == (
        'a.npz has the classes a, b of task cls, and b.npz b, a; compare tests of the same classes '
        'in the same order'
    )
    relabelled = other(cls=part(rate(60), labels=[0] * 97 + [1] * 3))
    assert refusal(DataError, first, relabelled) == (
        'a.npz and b.npz were tested with different annotations of 3 of 100 images of task cls, '
        'such as 097.jpg; test both with the same annotations'
    )
    twice = other(cls=part(rate(60) * 2, [f'{row:03}.jpg' for row in range(ROWS)] * 2))
    assert 'has 100 samples of the common images of task cls, and b.npz 200; test' in refusal(
        DataError, first, twice
    )
    assert refusal(ConfigError, first, metrics=['cls/top5']) == (
        "--metrics names ['cls/top5']; the metrics with statistics in all runs are cls/top1"
    )
    assert '--lower-is-better names' in refusal(ConfigError, first, lower_is_better=['x'])
    assert refusal(ConfigError, first, singles=dict(det=first)) == (
        "--single names the task 'det'; the compared runs have ['cls']"
    )
    both = Group('a', [run(cls=part(rate(60)), det=part(rate(60)))])
    assert "--single det=a.npz has statistics of the tasks ['cls']; give a test of det" in refusal(
        DataError, both, singles=dict(det=first)
    )
    renamed = replace(first.runs[0].tasks['cls'][0], names=dict(top1='accuracy/top1'))
    assert 'have no main metric in common' in refusal(DataError, first, other(cls=renamed))


@pytest.fixture
def files(tmp_path):
    for name, percent in (('a', 60), ('b', 90), ('c', 80), ('d', 85)):
        write_statistics(f'{tmp_path}/{name}.statistics.npz', run(cls=part(rate(percent))))
    return tmp_path


def test_the_tool_compares_files_and_seeds(files, capsys):
    a, *others = (f'{files}/{name}.statistics.npz' for name in 'abcd')
    out = files / 'found.json'
    assert run_tool('analyze', 'compare', a, f'more={",".join(others)}', '--out', out) == 0
    text = capsys.readouterr().out
    assert 'more (mean of 3 seeds)' in text and 'more - a, paired by image' in text
    assert difference_in(text)[:3] == ['cls', 'top1', '+25.0000']
    found = json.loads(out.read_text())
    assert found['groups'][1]['differences']['cls/top1']['value'] == pytest.approx(25)
    assert run_tool('analyze', 'power', a) == 0
    text = capsys.readouterr().out
    assert 'Smallest differences that the images of a can show' in text and 'delta_m %' in text
    assert 'paired: half' not in text
    assert run_tool('analyze', 'power', a, others[0], '--resamplings', 200) == 0
    assert 'paired: half of the interval of the difference of b' in capsys.readouterr().out


@pytest.mark.parametrize(
    'arguments, says',
    [
        (['compare', 'x=', 'y=,'], "'x=' names no file; give FILE, NAME=FILE or NAME=FILE,FILE"),
        (['compare', '{a}', '{a}'], "has the name 'a' more than once; name the groups, as NAME="),
        (['compare', 'x={a},{a}'], 'names a file twice; give one file for each seed'),
        (['compare', '{a}', '{root}/none.npz'], 'none.npz: no such file; make it with tools/test'),
        (['compare', '{a}', '--import', 'no_such_module'], '--import no_such_module cannot be imp'),
        (['compare', '{a}', '--out', '{root}'], 'which is a folder; give the name of a file'),
        (['power', 'a', 'b', 'c'], "power has 3 groups ['a', 'b', 'c']; give one, or two that are"),
        (['power', '{a}', '--single', 'cls={a}'], None),
    ],
)
def test_what_the_tool_refuses(files, capsys, arguments, says):
    arguments = [word.format(a=f'{files}/a.statistics.npz', root=files) for word in arguments]
    if says is None:
        with pytest.raises(SystemExit):
            run_tool('analyze', *arguments)
        return
    assert run_tool('analyze', *arguments) == 2
    error = capsys.readouterr().err
    assert says in error and error.count('\n') == 1
