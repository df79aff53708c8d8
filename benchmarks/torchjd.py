"""Balancing methods against TorchJD's, on a small model with a separate batch for each task."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torchjd.aggregation import (
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    FairGrad,
    GradDrop,
    GradVac,
    Mean,
    NashMTL,
    PCGrad,
    Sum,
    UPGrad,
)
from torchjd.autojac import jac_to_grad, mtl_backward
from torchjd.scalarization import IMTLL, STCH, UW, GeometricMean, Scalarizer

from allinone.io.seeding import seed_of
from allinone.registry import BALANCERS
from allinone.step import build_step

from .measure import seconds

TASKS = ('a', 'b', 'c')
ANY_ORDER = range(64)


class Baseline(NamedTuple):
    """A method and its TorchJD counterpart.

    Attributes:
        ours: Config of the method.
        theirs: Builds TorchJD's aggregator of gradients or scalarizer of losses.
        seeds: Seeds of torch's generator for a counterpart that samples from it; the nearest of
            its results counts.
        note: Other differences.
    """

    ours: dict
    theirs: Callable[[], nn.Module]
    seeds: Sequence[int] = (0,)
    note: str = ''


BASELINES = {
    'sum': Baseline(dict(type='FixedWeights'), Sum),
    'mean': Baseline(dict(type='FixedWeights', weights=[1 / 3] * 3), Mean),
    'UPGrad': Baseline(dict(type='UPGrad'), UPGrad, note='it adds 1e-4 to the diagonal'),
    'MGDA': Baseline(
        dict(type='MGDA'),
        partial(MGDA, epsilon=1e-9, max_iters=1000),
        note='its 1000 iterations of Frank-Wolfe; exact here',
    ),
    'PCGrad': Baseline(dict(type='PCGrad'), PCGrad, ANY_ORDER, 'nearest of its orders of tasks'),
    'GradVac': Baseline(dict(type='GradVac'), GradVac, ANY_ORDER, 'nearest of its orders of tasks'),
    'GradDrop': Baseline(
        dict(type='GradDrop'), GradDrop, [seed_of('graddrop', 0, 0)], 'with the same U'
    ),
    'CAGrad': Baseline(dict(type='CAGrad', c=0.4), partial(CAGrad, c=0.4)),
    'IMTLG': Baseline(dict(type='IMTLG'), IMTLG),
    'AlignedMTL': Baseline(dict(type='AlignedMTL'), AlignedMTL),
    'FairGrad': Baseline(dict(type='FairGrad', alpha=1.0), partial(FairGrad, alpha=1.0)),
    'NashMTL': Baseline(dict(type='NashMTL'), partial(NashMTL, n_tasks=3)),
    'GeometricMean': Baseline(dict(type='GeometricMean'), GeometricMean),
    'STCH': Baseline(dict(type='STCH'), partial(STCH, mu=1.0)),
    'Uncertainty': Baseline(dict(type='Uncertainty'), partial(UW, shape=3)),
    'IMTLL': Baseline(dict(type='IMTLL'), partial(IMTLL, shape=3)),
}


class SmallModel(nn.Module):
    """A convolutional backbone and three linear heads, with a batch of 16 images for each head."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(512, 128),
            nn.ReLU(),
        )
        self.heads = nn.ModuleDict({task: nn.Linear(128, 5) for task in TASKS})
        with torch.no_grad():
            for param in self.parameters():
                param.copy_(0.1 * torch.randn(param.shape, generator=generator))
        self.images = {task: torch.randn(16, 3, 32, 32, generator=generator) for task in TASKS}
        self.labels = {task: torch.randint(5, (16,), generator=generator) for task in TASKS}

    def loss(self, task: str, features: Tensor) -> Tensor:
        """Cross entropy of two tasks, squared error of the third."""
        found, labels = self.heads[task](features), self.labels[task]
        if task == 'c':
            return mse_loss(found, nn.functional.one_hot(labels, 5).to(found))
        return cross_entropy(found, labels)

    def backbone_gradient(self) -> Tensor:
        """The ``.grad`` of the backbone ``[P]``."""
        return torch.cat([param.grad.flatten() for param in self.backbone.parameters()])


class OurStep:
    """A step with the tasks' backward passes in turn; writes ``.grad`` and ``log``."""

    def __init__(self, model: SmallModel, cfg: dict):
        balancer = BALANCERS.build(cfg)
        balancer.bind(TASKS)
        self.model = model
        self.step = build_step(balancer, model.backbone, dict(model.heads.items()))
        self.batches = {task: [model.images[task]] for task in TASKS}
        self.wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0))
        self.log: dict[str, Tensor] = {}

    def __call__(self) -> None:
        self.model.zero_grad()
        self.log = self.step(self.batches, self._loss, self.wrapper)

    def _loss(self, task: str, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.loss(task, self.model.backbone(images)), {}


class TheirStep:
    """The same step with TorchJD: all losses first, then their Jacobian or weighted sum."""

    def __init__(self, model: SmallModel, method: nn.Module):
        self.model, self.method = model, method

    def __call__(self) -> None:
        model = self.model
        model.zero_grad()
        features = [model.backbone(model.images[task]) for task in TASKS]
        losses = [model.loss(task, found) for task, found in zip(TASKS, features)]
        if isinstance(self.method, Scalarizer):
            self.method(torch.stack(losses)).backward()
        else:
            mtl_backward(losses, features=features)
            jac_to_grad(model.backbone.parameters(), self.method)


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference of two gradients' elements, relative to the largest element."""
    return float((found - expected).abs().max() / expected.abs().max())


def compare(baseline: Baseline, rounds: int) -> dict:
    """A row of :func:`measure_torchjd`.

    Raises:
        ImportError: If TorchJD needs a package for this method that is not installed.
    """
    ours, theirs = SmallModel(), SmallModel()
    our_step = OurStep(ours, baseline.ours)
    our_step()
    expected = ours.backbone_gradient()
    differences = []
    for seed in baseline.seeds:
        torch.manual_seed(seed)
        TheirStep(theirs, baseline.theirs())()
        differences.append(relative_difference(theirs.backbone_gradient(), expected))
    their_step = TheirStep(theirs, baseline.theirs())
    times = [(seconds(our_step), seconds(their_step)) for _ in range(rounds + 1)][1:]
    return dict(
        difference=min(differences),
        time_ratio=statistics.median(own / other for own, other in times),
        ours_s=statistics.median(own for own, _ in times),
        theirs_s=statistics.median(other for _, other in times),
        note=baseline.note,
    )


def measure_torchjd(rounds: int) -> dict:
    """Compare each method with TorchJD 0.18: combined gradient of the backbone, and time.

    Both sides have the same weights and three batches, one per task, and alternate. Our step runs
    one backward pass per task, theirs ``mtl_backward`` and ``jac_to_grad``, or the backward pass of
    the scalarized loss. There is no optimizer step.

    Args:
        rounds: Measured rounds, after one warm-up round.

    Returns:
        ``{method: row}`` with ``difference`` (largest, relative to the largest element, at the
        first step), ``time_ratio`` (ours / theirs, median), ``ours_s``, ``theirs_s`` (seconds per
        step) and ``note``; only ``skipped``, the reason, if TorchJD lacks a package.
    """
    rows = {}
    state = torch.get_rng_state()
    for name, baseline in BASELINES.items():
        try:
            rows[name] = compare(baseline, rounds)
        except ImportError as error:
            rows[name] = dict(skipped=str(error).splitlines()[0])
    torch.set_rng_state(state)
    return rows


def torchjd_table(found: dict) -> str:
    """The result of :func:`measure_torchjd` as a Markdown table."""
    lines = [
        '| method | difference | ours / TorchJD | ours, ms | TorchJD, ms | |',
        '|---|---:|---:|---:|---:|---|',
    ]
    for name, row in found.items():
        if 'skipped' in row:
            lines.append(f'| {name} | | | | | not compared: {row["skipped"]} |')
            continue
        lines.append(
            f'| {name} | {row["difference"]:.1e} | {row["time_ratio"]:.2f} | '
            f'{1e3 * row["ours_s"]:.2f} | {1e3 * row["theirs_s"]:.2f} | {row["note"]} |'
        )
    return '\n'.join(lines)
