from collections import Counter

import pytest

from allinone.registry import TASK_SCHEDULES

SIZES = dict(cls=600, det=300, seg=100)


def build(kind, seed=0, **kwargs):
    return TASK_SCHEDULES.build(dict(type=kind, sizes=SIZES, seed=seed, **kwargs))


def test_every_task():
    assert build('AllTasks')(17) == ['cls', 'det', 'seg']


def test_round_robin():
    schedule = build('RoundRobin')
    assert [schedule(step) for step in range(4)] == [['cls'], ['det'], ['seg'], ['cls']]


def test_size_proportional_rates():
    schedule = build('SizeProportional')
    count = Counter(schedule(step)[0] for step in range(5000))
    for task, size in SIZES.items():
        # Three standard deviations of a binomial draw of 5000 are below 0.021.
        assert count[task] / 5000 == pytest.approx(size / 1000, abs=0.021)


def test_a_schedule_is_pure():
    """Any step, asked in any order by any process, is the same; another seed is not."""
    forward = [build('SizeProportional')(step) for step in range(50)]
    schedule = build('SizeProportional')
    assert [schedule(step) for step in reversed(range(50))] == forward[::-1]
    assert [build('SizeProportional', seed=1)(step) for step in range(50)] != forward
    assert schedule(10**9) == schedule(10**9)
