"""Registries of the suite: children of mmengine's roots under the scope ``allinone``.

A name without a prefix is looked up here and then in mmengine; parts of the three libraries need
their prefix (``mmdet.GFL``). The locations are imported at the first look-up.
"""

from functools import partial

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry

from allinone.io.renames import current_type, note

from .options import build_part

LIBRARIES = ('mmpretrain', 'mmdet', 'mmseg')


class SuiteRegistry(Registry):
    """A registry that also finds its classes by their old names and notes the new names."""

    def get(self, key: str):
        found = super().get(key)
        new = current_type(key)
        if found is None and new != key:
            found = super().get(new)
            if found is not None:
                note(key, new)
        return found


def _child(root: str, *locations: str) -> Registry:
    parent = getattr(mmengine_registry, root)
    return SuiteRegistry(
        parent.name,
        parent=parent,
        scope='allinone',
        locations=list(locations),
        build_func=parent.build_func,
    )


RUNNERS = _child('RUNNERS', 'allinone.training')
LOOPS = _child('LOOPS', 'allinone.training')
HOOKS = _child('HOOKS', 'allinone.training')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'allinone.data')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'allinone.training')
MODELS = _child('MODELS', 'allinone.models')
DATASETS = _child('DATASETS', 'allinone.data')
TRANSFORMS = _child('TRANSFORMS', 'allinone.data')
METRICS = _child('METRICS', 'allinone.evaluation')
VISBACKENDS = _child('VISBACKENDS', 'allinone.training')

# Registries without our classes: without a child, mmengine warns at every look-up in our scope.
EVALUATOR = _child('EVALUATOR')
FUNCTIONS = _child('FUNCTIONS')
INFERENCERS = _child('INFERENCERS')
LOG_PROCESSORS = _child('LOG_PROCESSORS')
OPTIMIZERS = _child('OPTIMIZERS')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS')
STRATEGIES = _child('STRATEGIES')
TASK_UTILS = _child('TASK_UTILS')
VISUALIZERS = _child('VISUALIZERS')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'allinone.checkpoint')

MODEL_WRAPPERS = SuiteRegistry(
    mmengine_registry.MODEL_WRAPPERS.name,
    parent=mmengine_registry.MODEL_WRAPPERS,
    scope='allinone',
    locations=['allinone.models'],
    build_func=partial(build_part, key='model_wrapper_cfg'),
)
BALANCERS = SuiteRegistry(
    'balancer',
    scope='allinone',
    locations=['allinone.balancers'],
    build_func=partial(build_part, key='model.balancer'),
)
TASK_SCHEDULES = SuiteRegistry(
    'task schedule',
    scope='allinone',
    locations=['allinone.training'],
    build_func=partial(build_part, key='train_cfg.schedule'),
)
TASK_KINDS = Registry(
    'kind of task',
    scope='allinone',
    locations=['allinone.tasks'],
    build_func=partial(build_part, key='kind'),
)
