"""Every method, as the tests of this folder build it."""

from types import SimpleNamespace

import torch

from allinone.balancers import LossWeighting
from allinone.balancers.wrappers.wrapper import Wrapper
from allinone.registry import BALANCERS

KPIS = {'a/x': 1, 'b/x': 1, 'c/x': 1}
# Options of methods that are not tested with their defaults
OPTIONS = {
    'DynamicWeightAverage': dict(interval=2),
    'FairGrad': dict(alpha=2.0),
    'STCH': dict(log=True, reference='first'),
}


def found(base, *, derived=True):
    """``{name: options}`` of the registered methods that are, or are not, of a class."""
    BALANCERS.import_from_location()
    return {
        name: OPTIONS.get(name, {})
        for name, cls in sorted(BALANCERS.module_dict.items())
        if issubclass(cls, base) is derived and not issubclass(cls, Wrapper)
    }


LOSS_WEIGHTINGS = found(LossWeighting)
GRADIENT_WEIGHTINGS = found(LossWeighting, derived=False)
WRAPPERS = {
    'SmoothedTaskWeights FAMO': dict(type='SmoothedTaskWeights', balancer=dict(type='FAMO')),
    'SmoothedTaskWeights GradVac': dict(
        type='SmoothedTaskWeights', balancer=dict(type='GradVac'), momentum=0.5
    ),
    'UpdateEvery GradNorm': dict(type='UpdateEvery', balancer=dict(type='GradNorm'), interval=3),
    'UpdateEvery PCGrad': dict(type='UpdateEvery', balancer=dict(type='PCGrad'), interval=2),
    'WarmUp STCH': dict(type='WarmUp', balancer=dict(type='STCH', reference='first'), length=3),
    'Orthogonal PCGrad': dict(type='GradientOrthogonality', balancer=dict(type='PCGrad')),
    'SmoothedTaskWeights Orthogonal FAMO': dict(
        type='SmoothedTaskWeights',
        balancer=dict(type='GradientOrthogonality', balancer=dict(type='FAMO')),
    ),
    'WarmUp GradDrop': dict(type='WarmUp', balancer=dict(type='GradDrop'), length=3),
}
CONFIGS = {
    **{
        name: dict(type=name, **options)
        for name, options in (LOSS_WEIGHTINGS | GRADIENT_WEIGHTINGS).items()
    },
    **WRAPPERS,
}


def build(kind, **options):
    return BALANCERS.build({**CONFIGS.get(kind, dict(type=kind)), **options})


def run_step(step, losses, wrapper):
    """One iteration of :class:`BalancedStep` on ``{task: function that gives its loss}``."""
    batches = {task: [None] for task in losses}
    return step(batches, lambda task, _: (losses[task](), {}), wrapper)


def of_scaler(wrapper, scale):
    """``wrapper`` as if it had a loss scaler of this scale; backward passes stay its own."""
    wrapper.loss_scaler = SimpleNamespace(scale=lambda value: value * scale)
    return wrapper


def draw(seed, tasks=3, size=6):
    """Losses ``[K]`` and gradients ``[K, P]``."""
    generator = torch.Generator().manual_seed(seed)
    losses = torch.rand(tasks, generator=generator) * 3 + 0.1
    return losses, torch.randn(tasks, size, generator=generator)


def cosine(a, b):
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))
