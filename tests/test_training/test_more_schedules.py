"""Rates over many steps against the formulas; the one schedule with a state."""

from collections import Counter
from types import SimpleNamespace

import pytest

from allinone.errors import ConfigError
from allinone.registry import BALANCERS, TASK_SCHEDULES
from allinone.training.train_loop import MultiTaskTrainLoop

SIZES = dict(cls=8100, det=900, seg=100)
METRICS = ['cls/top1', 'det/mAP', 'seg/mIoU']
STEPS = 4000
# Three standard deviations of a binomial draw of 4000 are at most 0.024.
TOLERANCE = 0.024


def build(kind, seed=0, **kwargs):
    return TASK_SCHEDULES.build(dict(type=kind, sizes=SIZES, seed=seed, **kwargs))


def rates(schedule, steps):
    count = Counter(schedule(step)[0] for step in steps)
    return [count[task] / len(steps) for task in SIZES]


@pytest.mark.parametrize(
    'kind, options, powers',
    [
        ('TemperatureSampling', dict(temperature=2), [90, 30, 10]),
        ('TemperatureSampling', dict(temperature=1), [8100, 900, 100]),
        ('TemperatureSampling', dict(temperature=1, cap=900), [900, 900, 100]),
        ('TemperatureSampling', dict(temperature=1e6), [1, 1, 1]),
        ('TemperatureSampling', dict(temperature=0.01), [1, 0, 0]),
        ('FixedProportions', dict(weights=dict(seg=1, cls=6, det=3)), [6, 3, 1]),
        ('FixedProportions', dict(weights=dict(seg=1, cls=0, det=3)), [0, 3, 1]),
    ],
)
def test_long_run_rates(kind, options, powers):
    found = rates(build(kind, **options), range(STEPS))
    assert found == pytest.approx([power / sum(powers) for power in powers], abs=TOLERANCE)


def test_annealed_rates():
    schedule = build('AnnealedSampling', begin=1.0, end=0.0)
    schedule.start(1_000_001, list(SIZES))
    for first, powers in (
        (0, [8100, 900, 100]),
        (500_000, [90, 30, 10]),
        (10**6, [1, 1, 1]),
        (2 * 10**6, [1, 1, 1]),
    ):
        found = rates(schedule, range(first, first + STEPS))
        assert found == pytest.approx(
            [power / sum(powers) for power in powers], abs=TOLERANCE + 0.01
        )
    assert build('AnnealedSampling', steps=11).rates(10).tolist() == pytest.approx(
        [0.5, 0.3, 0.2], abs=0.03
    )
    with pytest.raises(ConfigError, match='steps is not set'):
        build('AnnealedSampling')(0)


@pytest.mark.parametrize(
    'kind, options',
    [
        ('TemperatureSampling', {}),
        ('AnnealedSampling', dict(steps=100)),
        ('FixedProportions', dict(weights=SIZES)),
    ],
)
def test_drawn_schedules_are_pure(kind, options):
    schedule = build(kind, **options)
    forward = [schedule(step) for step in range(60)]
    assert [build(kind, **options)(step) for step in reversed(range(60))] == forward[::-1]
    assert [build(kind, seed=1, **options)(step) for step in range(60)] != forward
    assert schedule(10**9) == schedule(10**9)
    assert schedule.one_task and not schedule.uses_metrics and schedule.state_dict() == {}


def validate(schedule, *values):
    for metric in values:
        schedule.after_validation(dict(zip(METRICS, metric)))


def test_stop_and_go():
    schedule = build('StopAndGo', metrics=METRICS, gap=4)
    everyone = list(SIZES)
    assert [schedule(step) for step in range(3)] == [everyone] * 3
    validate(schedule, (50, 0.5, 50), (55, 0.5, 55), (60, 0.5, 60))
    assert schedule.stopped == ['det']
    assert [schedule(step) for step in range(8, 13)] == [
        everyone,
        ['cls', 'seg'],
        ['cls', 'seg'],
        ['cls', 'seg'],
        everyone,
    ]
    # A fall of 0.4 % is not enough, one of 0.6 % is.
    validate(schedule, (65, 0.498, 65))
    assert schedule.stopped == ['det']
    validate(schedule, (70, 0.497, 70))
    assert schedule.stopped == [] and schedule(1) == everyone
    # Slow but above 0.1 % each time: goes on.
    validate(schedule, (70.1, 0.51, 70.1), (70.2, 0.52, 70.2), (70.3, 0.53, 70.3))
    assert schedule.stopped == []
    validate(schedule, *[(70, 0.53, 70)] * 3)
    assert schedule.stopped == everyone and schedule(1) == everyone


def test_stop_and_go_resumes():
    values = [(50, 0.5, 50), (55, 0.5, 55), (60, 0.5, 55), (61, 0.49, 55), (61, 0.5, 54)]
    plain = build('StopAndGo', metrics=METRICS)
    validate(plain, *values)
    for stop in range(len(values)):
        first, second = (build('StopAndGo', metrics=METRICS) for _ in range(2))
        validate(first, *values[:stop])
        second.load_state_dict(first.state_dict())
        validate(second, *values[stop:])
        assert second.state_dict() == plain.state_dict()
        assert [second(step) for step in range(9)] == [plain(step) for step in range(9)]


def test_stop_and_go_needs_the_metrics():
    schedule = build('StopAndGo', metrics=METRICS)
    with pytest.raises(ConfigError, match=r"\['seg/mIoU'\].*\['cls', 'det'\]"):
        schedule.start(100, ['cls', 'det'])
    with pytest.raises(ConfigError, match=r"\['seg/mIoU'\]"):
        validate(schedule, (1, 2))


class Loop(MultiTaskTrainLoop):
    """The loop without data, to see what it tells balancer and schedule."""

    def __init__(self, balancer, schedule, values=None, state=None, accumulate=1):
        self._iter, self._max_iters, self.schedule = 0, 100, schedule
        self.micro_batches, self.label_weights = {}, {}
        loaders = dict(cls=range(12), det=range(7), seg=range(5))
        tasks = {task: (task,) for task in loaders}
        self.dataloader = SimpleNamespace(loaders=loaders, tasks=tasks, parts=())
        validation = values and SimpleNamespace(
            metric_names=lambda: dict.fromkeys(SIZES),
            run=lambda: self.follow(dict(zip(METRICS, values))),
        )
        info = {} if state is None else dict(schedule_state=state)
        self._runner = SimpleNamespace(
            model=SimpleNamespace(balancer=balancer, bind_sources=lambda sources, weights: None),
            val_loop=validation,
            optim_wrapper=SimpleNamespace(_accumulative_counts=accumulate),
            message_hub=SimpleNamespace(runtime_info=info, update_info=info.__setitem__),
        )


def balancer(**cfg):
    built = BALANCERS.build(cfg)
    built.bind(list(SIZES))
    return built


@pytest.mark.parametrize(
    'kind', ['PCGrad', 'GradNorm', 'MGDA', 'GradDrop', 'GradientOrthogonality']
)
def test_gradient_methods_refuse_one_task_a_step(kind):
    with pytest.raises(ConfigError, match=rf"'RoundRobin'.*{kind}.*AllTasks"):
        Loop(balancer(type=kind), build('RoundRobin'))._start()
    Loop(balancer(type=kind), build('AllTasks'))._start()
    Loop(balancer(type='FAMO'), build('RoundRobin'))._start()


def test_the_loop_tells_of_epochs_and_validation():
    averages = balancer(type='DynamicWeightAverage')
    Loop(averages, build('AllTasks'))._start()
    assert averages.interval == 12
    averages = balancer(type='DynamicWeightAverage')
    Loop(averages, build('AllTasks'), accumulate=4)._start()
    assert averages.interval == 3  # optimizer steps
    kpis = balancer(
        type='DynamicTaskPrioritization', metrics={'cls/top1': 0.01, 'det/mAP': 1, 'seg/mIoU': 0.01}
    )
    with pytest.raises(ConfigError, match='validation evaluates only'):
        Loop(kpis, build('AllTasks'))._start()
    loop = Loop(kpis, build('StopAndGo', metrics=METRICS), (90, 0.3, 90))
    loop._start()
    assert loop.uses_metrics
    for _ in range(3):
        loop._validate()
    assert kpis.task_weights[1] > kpis.task_weights[0]
    assert loop.schedule.stopped == list(SIZES)
    state = loop.runner.message_hub.runtime_info['schedule_state']
    resumed = Loop(kpis, build('StopAndGo', metrics=METRICS), (90, 0.3, 90), state)
    resumed._start()
    assert resumed.schedule.state_dict() == loop.schedule.state_dict()
