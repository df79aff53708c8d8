"""Registries of the suite: children of mmengine's roots under the scope ``allinone``.

A name without a prefix is looked up here and then in mmengine; the parts of the three libraries
are named with theirs (``mmdet.GFL``). The locations are imported at the first look-up.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(name, parent=parent, scope='allinone', locations=[location])


RUNNERS = _child('runner', MMENGINE_RUNNERS, 'allinone.engine')
LOOPS = _child('loop', MMENGINE_LOOPS, 'allinone.engine')
HOOKS = _child('hook', MMENGINE_HOOKS, 'allinone.engine')
DATA_SAMPLERS = _child('data sampler', MMENGINE_DATA_SAMPLERS, 'allinone.engine')
MODELS = _child('model', MMENGINE_MODELS, 'allinone.models')
DATASETS = _child('dataset', MMENGINE_DATASETS, 'allinone.datasets')
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'allinone.datasets')
METRICS = _child('metric', MMENGINE_METRICS, 'allinone.evaluation')

BALANCERS = Registry('balancer', scope='allinone', locations=['allinone.balancers'])
TASK_SCHEDULES = Registry('task schedule', scope='allinone', locations=['allinone.engine'])
