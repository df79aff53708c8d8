"""Shared sources in two processes against one with all images, on two cores:

    OMP_NUM_THREADS=1 python tests/e2e/shared_processes.py

Prints the differences as JSON; ``test_distributed/test_shared_sources.py`` looks at them.
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from two_processes import pair, succeed

LIMIT = 240  # seconds; a process that waits for the other one ends
EQUAL = [['det sem road cls', 'det sem'], ['det sem road cls', 'sem det']]
UNEQUAL = [['det sem road cls', 'cls', 'sem'], ['det road', 'road cls', 'det']]
WITHOUT = [['det cls', 'det', 'cls'], ['sem', 'sem cls', 'road']]
SEPARATE = [['det cls', 'det', 'cls'], ['sem', 'sem road', 'road']]
LABELS = dict(equal=EQUAL, unequal=UNEQUAL, without=WITHOUT)
FEATURES = dict(gradients='features')
METHODS = {
    'FixedWeights': dict(type='FixedWeights', weights=dict(det=0.5, sem=2.0)),
    'Uncertainty': dict(type='Uncertainty'),
    'FAMO': dict(type='FAMO'),
    'PCGrad': dict(type='PCGrad'),
    'MGDA': dict(type='MGDA'),
    'MGDA features': dict(type='MGDA', **FEATURES),
    'GradNorm features': dict(type='GradNorm', **FEATURES),
}
NECK = dict(
    tasks=('det', 'sem', 'road'), type='mmdet.FPN', in_channels=[16, 32, 32], out_channels=8,
    num_outs=3, feature_indices=(1, 2, 3))  # fmt: skip
# Batch norm, where it normalises the same images in two processes as in one
SPECIAL = {
    'frozen': ('FAMO', 'without', dict(frozen=('backbone',))),
    'per_task': ('FAMO', 'separate', dict(bn='per_task', norm=dict(type='BN'))),
    'label_weights': ('FAMO', 'without', dict(label_weights=dict(det=0.25, cls=3))),
    'shared_neck': ('MGDA', 'unequal', dict(shared_neck=NECK)),
    'shared_neck FSDP': ('MGDA', 'unequal', dict(shared_neck=NECK)),
}
# Each process normalises by its images, so that only both can be compared.
MOVING = {
    'moving features': ('MGDA features', 'unequal', dict(norm=dict(type='BN'))),
    'moving': ('FixedWeights', 'without', dict(norm=dict(type='BN'))),
}
SHARDED = ('FixedWeights', 'FAMO', 'PCGrad', 'MGDA features')
RUNS = [
    *((name, labels, False) for name in METHODS for labels in LABELS),
    *((name, labels, True) for name in SHARDED for labels in LABELS),
]


def step(balancer, batch, wrap=None, interval=0, label_weights=None, **options):
    """Gradients and values of the log of a training step."""
    from shared_model import TASKS, Capture, model_of

    model = model_of(balancer, grad_similarity_interval=interval, **options)
    frozen = options.get('frozen', ())
    served = [task for task in TASKS if task not in frozen]
    model.bind_sources(dict(street=served), dict(street=label_weights or {}))
    wrapped = model if wrap is None else wrap(model)
    wrapper = Capture(model)
    log = wrapped.train_step(dict(street=batch), wrapper)
    whole = {
        name: grad.full_tensor() if hasattr(grad, 'full_tensor') else grad
        for name, grad in wrapper.grads.items()
    }
    return whole, {key: float(log[key]) for key in log if key.endswith(('weight', '/grad_norm'))}


def in_pair(rank, folder):
    from shared_model import batch_of

    from allinone.models import AllInOneDDP, AllInOneFSDP

    signal.alarm(LIMIT)
    dist.init_process_group('gloo')
    for name, labels, sharded in RUNS:
        batch = batch_of(LABELS[labels][rank], seed=rank)
        wrap = AllInOneFSDP if sharded else AllInOneDDP
        found = step(METHODS[name], batch, wrap, interval=1)
        torch.save(found, folder / f'{name}_{labels}_{sharded}_{rank}.pth')
    for name, (method, labels, options) in (SPECIAL | MOVING).items():
        batch = batch_of((LABELS | dict(separate=SEPARATE))[labels][rank], seed=rank)
        wrap = AllInOneFSDP if name.endswith('FSDP') else AllInOneDDP
        found = step(METHODS[method], batch, wrap, **options)
        torch.save(found, folder / f'{name}_{rank}.pth')
    dist.destroy_process_group()


def union(labels):
    from shared_model import batch_of

    chosen = (LABELS | dict(separate=SEPARATE))[labels]
    parts = [batch_of(chosen[rank], seed=rank) for rank in range(2)]
    return {key: [*parts[0][key], *parts[1][key]] for key in parts[0]}


def compare(folder):
    for name, labels, sharded in RUNS:
        theirs = step(METHODS[name], union(labels), interval=1)
        for rank in range(2):
            ours = torch.load(folder / f'{name}_{labels}_{sharded}_{rank}.pth')
            yield f'{name} {labels}{" FSDP" * sharded} {rank}', differences(ours, theirs)
    for name, (method, labels, options) in SPECIAL.items():
        theirs = step(METHODS[method], union(labels), **options)
        for rank in range(2):
            yield f'{name} {rank}', differences(torch.load(folder / f'{name}_{rank}.pth'), theirs)
    for name in MOVING:
        pair_of = [torch.load(folder / f'{name}_{rank}.pth') for rank in range(2)]
        yield name, differences(*pair_of)


def differences(ours, theirs):
    from shared_model import difference

    (gradients, log), (others, other) = ours, theirs
    return dict(
        gradients=difference(gradients, others),
        log=max(abs(log[key] - other[key]) / max(abs(log[key]), 1e-3) for key in log),
        keys=log.keys() == other.keys(),
    )


def main():
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    import shared_model

    shared_model.register()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        succeed(pair(in_pair, Path(folder)))
        print(json.dumps(dict(compare(Path(folder)))))


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    main()
