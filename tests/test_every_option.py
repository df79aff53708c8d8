"""Every option of every method and schedule refuses nonsense, naming its key and the value."""

import inspect
import re

import pytest

from allinone.errors import ConfigError
from allinone.registry import BALANCERS, TASK_SCHEDULES
from allinone.registry.options import check_number, renamed

NAN, INF = float('nan'), float('inf')
NO_COUNT = ['1', True, [1], {}, NAN, INF, -INF, 2.0, 2.5, -1]
NO_NUMBER = [*NO_COUNT[:-3], 10**400]
NO_LIST = [2, '12', {'a': 1}, True]
# What an option must refuse, by what it is
KINDS = dict(
    number=['1', True, [1], {}, NAN],
    integer=['1', True, [1], {}, NAN, 2.5],
    positive=[0, -1, None, *NO_NUMBER],
    positive_or_none=[0, -1, *NO_NUMBER],
    not_negative=[-0.1, None, *NO_NUMBER],
    share=[-0.1, 1.1, None, *NO_NUMBER],
    count=[0, None, *NO_COUNT],
    count_or_none=[0, *NO_COUNT],
    count_of_two=[1, None, *NO_COUNT],
    count_of_two_or_none=[1, *NO_COUNT],
    seed=[None, *NO_COUNT],
    flag=[1, 0, 'yes', None],
    choice=['other', 3, True, None, ['min']],
    choice_or_positive=['other', 0, None, *NO_NUMBER[1:]],
    weights=[*NO_LIST[:2], True, [1, '2'], [1, NAN], [1, -1], [True, 1], [0, 0], [1], [1, 1, 1]],
    names=[{'c': 1}, {'a': -1}, {'a': '1'}, {'a': 0, 'b': 0}],
    preference=[*NO_LIST, [1, '2'], [1, -1], [1, NAN], [0, 0], [], [1], [1, 1, 1]],
    positive_list=[*NO_LIST, [1, 0], [], [1]],
    reference=['last', *NO_LIST, [1, '2'], [1, NAN], [], [1]],
    tasks=['a', 3, {'a': 1}, ['c'], [2], [True], [0.5]],
    factors=[
        *NO_LIST[:2],
        ['a/x', 'b/x'],
        {'a/x': 1},
        {'a/x': 1, 'a/y': 1},
        {'a/x': 1, 'b': 1},
        {'a/x': 1, 'b/': 1},
        {'a/x': 1, 'b/x': 1, 'c/x': 1},
        {'a/x': 0, 'b/x': 1},
        {'a/x': '1', 'b/x': 1},
        {1: 1, 2: 1},
    ],
    values=[*NO_LIST, None, [], ['a/x'], ['a/x', 'a/y'], ['a', 'b/x'], [1, 'b/x'], ['a/', 'b/x']],
    rates=[None, 2, [1, 1], {'a': 1}, {'a': 1, 'c': 1}, {'a': 1, 'b': -1}, {'a': 0, 'b': 0}],
    layer=[],  # Only the model knows its layers; see test_layers
    balancer=[3, 'PCGrad', None, dict(type='PCGard'), dict(type=3), dict(type='PCGrad', alpha=1)],
    balancer_or_none=[3, 'PCGrad', dict(type='PCGard'), dict(type='PCGrad', alpha=1)],
)
# Options of methods that are not here are tested by their annotations.
BALANCER_OPTIONS = dict(
    AlignedMTL=dict(preference='preference', scale='choice'),
    CAGrad=dict(c='not_negative', rescale='flag'),
    CoBa=dict(metrics='factors', window='count_of_two', tau='positive'),
    DynamicTaskPrioritization=dict(metrics='factors', momentum='share', gamma='not_negative'),
    DynamicWeightAverage=dict(temperature='positive', interval='count_or_none'),
    UpdateEvery=dict(balancer='balancer', interval='count'),
    FAMO=dict(lr='positive', weight_decay='not_negative'),
    FairGrad=dict(alpha='positive'),
    FixedWeights=dict(weights='weights names'),
    GeometricMean={},
    GradDrop=dict(leak='share', seed='seed'),
    GradNorm=dict(alpha='not_negative', lr='positive', optimizer='choice', layer='layer'),
    GradVac=dict(beta='share', seed='seed'),
    GradientOrthogonality=dict(balancer='balancer_or_none', alpha='not_negative', layer='layer'),
    IMTLG={},
    IMTLL=dict(lr='positive'),
    MGDA=dict(normalizer='choice'),
    NashMTL=dict(max_norm='positive'),
    NormEqual=dict(norm='choice_or_positive'),
    PCGrad=dict(seed='seed'),
    RandomWeights=dict(seed='seed'),
    STCH=dict(mu='positive', preference='positive_list', reference='reference', log='flag'),
    SmoothedTaskWeights=dict(balancer='balancer', momentum='share'),
    UPGrad={},
    Uncertainty=dict(classification='tasks', lr='positive'),
    WarmUp=dict(balancer='balancer', length='count', weights='weights names'),
)
SCHEDULE_OPTIONS = dict(
    AnnealedSampling=dict(begin='not_negative', end='not_negative', steps='count_of_two_or_none'),
    AllTasks={},
    RoundRobin={},
    SizeProportional={},
    StopAndGo=dict(
        metrics='values', gap='count', patience='count', gain='not_negative', drop='not_negative'
    ),
    TemperatureSampling=dict(temperature='positive', cap='positive_or_none'),
    FixedProportions=dict(weights='rates'),
)
GIVEN = dict(
    UpdateEvery=dict(balancer=dict(type='FAMO')),
    SmoothedTaskWeights=dict(balancer=dict(type='FAMO')),
    WarmUp=dict(balancer=dict(type='FAMO'), length=2),
    StopAndGo=dict(metrics=['a/x', 'b/x']),
    FixedProportions=dict(weights=dict(a=1, b=1)),
)


def balancer(**cfg):
    BALANCERS.build(cfg).bind(['a', 'b'])


def schedule(**cfg):
    TASK_SCHEDULES.build(cfg, default_args=dict(sizes=dict(a=9, b=4), seed=0))


BY_ANNOTATION = {float: 'number', int: 'integer', bool: 'flag', str: 'choice'}


def options_of(registry, table, shared=()):
    """``{method: {option: kinds}}`` of all that is registered."""
    registry.import_from_location()
    return {
        name: table.get(name)
        if name in table
        else {
            option: BY_ANNOTATION.get(parameter.annotation, '')
            for option, parameter in inspect.signature(cls).parameters.items()
            if option not in shared
        }
        for name, cls in sorted(registry.module_dict.items())
    }


BALANCER_CASES = options_of(BALANCERS, BALANCER_OPTIONS)
SCHEDULE_CASES = options_of(TASK_SCHEDULES, SCHEDULE_OPTIONS, ('sizes', 'seed'))


def cases(table):
    for method, options in table.items():
        for option, kinds in options.items():
            for kind in kinds.split():
                for i, value in enumerate(KINDS[kind]):
                    yield pytest.param(method, option, value, id=f'{method}-{option}-{kind}{i}')


def sentence(build, **cfg):
    with pytest.raises(ConfigError) as error:
        build(**cfg)
    assert '\n' not in str(error.value) and '; ' in str(error.value)
    return str(error.value)


def scalars(value):
    """Whatever of a value a message may show: of a list or a dictionary one member."""
    if isinstance(value, dict):
        return [value, *value, *(part for member in value.values() for part in scalars(member))]
    if isinstance(value, (list, tuple)):
        return [value, *(part for member in value for part in scalars(member))]
    return [value]


def shows(text, value):
    return any(repr(part) in text for part in scalars(value)) or (
        # As numbers, for a list that was read
        isinstance(value, list) and repr([float(part) for part in value]) in text
    )


@pytest.mark.parametrize('method, option, value', cases(BALANCER_CASES))
def test_balancers(method, option, value):
    text = sentence(balancer, type=method, **{**GIVEN.get(method, {}), option: value})
    assert re.match(rf'model\.balancer\.{option}\b', text), text
    assert shows(text, value), text


@pytest.mark.parametrize('method, option, value', cases(SCHEDULE_CASES))
def test_schedules(method, option, value):
    text = sentence(schedule, type=method, **{**GIVEN.get(method, {}), option: value})
    assert re.match(rf'train_cfg\.schedule\.{option}\b', text), text
    assert shows(text, value), text


@pytest.mark.parametrize(
    'registry, table, shared',
    [(BALANCERS, BALANCER_OPTIONS, ()), (TASK_SCHEDULES, SCHEDULE_OPTIONS, ('sizes', 'seed'))],
)
def test_no_option_is_left_out(registry, table, shared):
    assert set(table) <= set(registry.module_dict)
    for name, options in table.items():
        given = inspect.signature(registry.module_dict[name]).parameters
        assert set(given) - set(shared) == set(options), name


@pytest.mark.parametrize('method', BALANCER_CASES)
def test_balancers_without_bad_options_build(method):
    balancer(type=method, **GIVEN.get(method, {}))


@pytest.mark.parametrize('method', SCHEDULE_CASES)
def test_schedules_without_bad_options_build(method):
    schedule(type=method, **GIVEN.get(method, {}))


@pytest.mark.parametrize(
    'build, cfg, says',
    [
        (balancer, dict(type='PCGradd'), r"model\.balancer\.type is 'PCGradd'; .*'PCGrad'"),
        (balancer, dict(), r"model\.balancer\.type is None; .*'PCGrad'"),
        (balancer, dict(type='mmdet.PCGrad'), r"model\.balancer\.type is 'mmdet\.PCGrad'; "),
        (
            balancer,
            dict(type='PCGrad', alpha=1),
            r"model\.balancer\.alpha is 1, but PCGrad has no such option; .*\['seed'\]",
        ),
        (
            balancer,
            dict(type='WarmUp', balancer=dict(type='FAMO')),
            r'model\.balancer\.length is not set, which WarmUp needs; ',
        ),
        (schedule, dict(type='RoundRobbin'), r"schedule\.type is 'RoundRobbin'; .*'RoundRobin'"),
        (schedule, dict(), r'schedule\.type is None; '),
        (schedule, dict(type='RoundRobin', gap=2), r'schedule\.gap is 2, but RoundRobin has no '),
    ],
)
def test_the_registries_list_what_they_have(build, cfg, says):
    assert re.search(says, sentence(build, **cfg))


def test_a_registry_builds_by_class_and_by_scope():
    kind = BALANCERS.get('PCGrad')
    for given in (kind, 'PCGrad', 'allinone.PCGrad'):
        assert type(BALANCERS.build(dict(type=given, seed=3))) is kind


@pytest.mark.parametrize(
    'inner, says',
    [
        (dict(type='FAMO', lr=0), 'balancer.lr is 0; '),
        (dict(type='FAMOO'), "balancer.type is 'FAMOO'; "),
        (3, 'balancer is 3; '),
        (dict(type='AlignedMTL', preference=[1]), 'balancer.preference is [1.0], '),
        (dict(type='UpdateEvery', balancer=dict(type='FAMO', lr=0)), 'balancer.balancer.lr is 0; '),
        (
            dict(type='GradientOrthogonality', balancer=dict(type='UpdateEvery', balancer=4)),
            'balancer.balancer.balancer is 4; ',
        ),
    ],
)
def test_the_key_says_where_a_wrapped_method_lies(inner, says):
    text = sentence(balancer, type='SmoothedTaskWeights', balancer=inner)
    assert text.startswith(f'model.balancer.{says}'), text


def test_a_wrapped_method_is_named_at_the_start_of_a_training_too():
    built = BALANCERS.build(dict(type='UpdateEvery', balancer=dict(type='CoBa')))
    with pytest.raises(ConfigError, match=r'^model\.balancer\.balancer\.metrics is not set'):
        built.start(10, {})


def test_renaming_leaves_other_keys_alone():
    for key in ('model.balancers.lr', 'train_cfg', 'model'):
        with (
            pytest.raises(ConfigError, match=f'^{re.escape(key)} is'),
            renamed('model.balancer', 'x'),
        ):
            check_number(key, 'a', 0)
