"""The trunk as a task sees it: a backbone without parameters of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.func import functional_call

from allinone.errors import ConfigError
from allinone.registry import MODELS

from .adapters import TrunkAdapter


@MODELS.register_module()
class SharedTrunk(nn.Module):
    """Backbone of a task that hands on maps of the one trunk of the joint model.

    The trunk is kept outside the module tree, so it appears once in the joint model's
    parameters, state dict and memory, however many tasks look at it. A deep copy of the joint
    model (EMA) copies the reference along with the trunk.

    A task with an adapter sees the trunk with its own values of some weights, which takes a trunk
    pass of its own.

    Args:
        features (Sequence[int], optional): Which of the trunk's maps the task gets, in order.
            Default: all.
    """

    def __init__(self, features: Sequence[int] | None = None):
        super().__init__()
        if isinstance(features, int):
            raise ConfigError(f'features is {features}; give a tuple, as in ({features},)')
        if features is not None and (
            not isinstance(features, (tuple, list)) or not all(type(i) is int for i in features)
        ):
            raise ConfigError(f'features is {features!r}; give numbers of maps, as in (0, 2)')
        self.features = None if features is None else tuple(features)
        object.__setattr__(self, '_trunk', None)
        object.__setattr__(self, 'adapter', None)
        self._cached: tuple[Tensor, tuple[Tensor, ...]] | None = None

    def bind(self, trunk: nn.Module, adapter: TrunkAdapter | None = None) -> None:
        object.__setattr__(self, '_trunk', trunk)
        # The task has it in its module tree.
        object.__setattr__(self, 'adapter', adapter)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps ``(N, C_i, H_i, W_i)`` that the task selected, of pictures ``(N, 3, H, W)``."""
        if self._cached is not None and self._cached[0] is x:
            maps = self._cached[1]
        else:
            maps = run_trunk(self._trunk, x, self.adapter)
        return maps if self.features is None else tuple(maps[i] for i in self.features)


def run_trunk(
    trunk: nn.Module, x: Tensor, adapter: TrunkAdapter | None = None
) -> tuple[Tensor, ...]:
    """All maps of the trunk as a tuple.

    With an adapter the trunk's parameters are exchanged while it runs, so no other thread may run
    it at that time.
    """
    maps = trunk(x) if adapter is None else functional_call(trunk, adapter.values(trunk), (x,))
    return tuple(maps) if isinstance(maps, (tuple, list)) else (maps,)


def layers_of(trunk: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules inside that have parameters and run as a whole (a ResNet's stages)."""
    for child in trunk.children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from layers_of(child)
        elif any(True for _ in child.parameters()):
            yield child


@contextmanager
def trunk_pass(trunk: nn.Module, views: Sequence[SharedTrunk], x: Tensor):
    """Run the trunk once on ``x``; inside, every view answers that very tensor from its maps.

    Views with an adapter run it themselves.
    """
    views = [view for view in views if view.adapter is None]
    cached = (x, run_trunk(trunk, x)) if views else None
    for view in views:
        view._cached = cached
    try:
        yield
    finally:
        for view in views:
            view._cached = None
