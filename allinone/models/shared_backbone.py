"""Per-task view of the shared backbone, without parameters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor, nn
from torch.func import functional_call

from allinone.errors import ConfigError
from allinone.registry import MODELS

from .adapters import BackboneAdapter
from .shared_neck import BackboneWithNeck

PLAIN = (int, float, str)
# The backbone of the views that are being built, for models that read its numbers in ``__init__``
_building: ContextVar[nn.Module | None] = ContextVar('building', default=None)


class SingleMap(tuple):
    """The feature map of a backbone that returned it bare, not in a tuple."""


@MODELS.register_module()
class SharedBackbone(nn.Module):
    """Backbone of a task, which returns feature maps of the joint model's backbone.

    The reference to the backbone is outside the module tree, so the joint model's parameters, state
    dict and memory contain the backbone once for any number of tasks. A deep copy of the joint
    model (EMA) copies the reference along with the backbone.

    A task with an adapter uses task-specific values for some weights, which takes a separate
    backbone pass.

    Feature maps are a tuple. Some upstream backbones return one bare map in evaluation mode, and
    their heads take no tuple of it (PIDNet); for those, the probe of the joint model sets ``bare``.

    Args:
        feature_indices (Sequence[int], optional): Indices of the feature maps that the task uses,
            in order, of those of the backbone or, for a task of the shared neck, of the neck.
            Default: all.

    Attributes:
        bare: Whether a map that the backbone returns bare is returned bare.
        of_neck: Whether the task uses the feature maps of the shared neck.
    """

    _backbone: nn.Module
    _with_neck: BackboneWithNeck | None
    adapter: BackboneAdapter | None
    bare = False
    of_neck = False

    def __init__(self, feature_indices: Sequence[int] | None = None):
        super().__init__()
        chosen = feature_indices
        if isinstance(chosen, int):
            raise ConfigError(f'feature_indices is {chosen}; give a tuple, as in ({chosen},)')
        if chosen is not None and (
            not isinstance(chosen, (tuple, list)) or not all(type(i) is int for i in chosen)
        ):
            raise ConfigError(
                f'feature_indices is {chosen!r}; give numbers of feature maps, as in (0, 2)'
            )
        self.feature_indices = None if chosen is None else tuple(chosen)
        object.__setattr__(self, '_backbone', _building.get())
        object.__setattr__(self, '_with_neck', None)
        object.__setattr__(self, 'adapter', None)
        self._cached: tuple[Tensor, tuple[Tensor, ...]] | None = None

    def bind(
        self,
        backbone: nn.Module,
        adapter: BackboneAdapter | None = None,
        with_neck: BackboneWithNeck | None = None,
    ) -> None:
        """Set what the view runs.

        Args:
            backbone: The backbone, or ``with_neck`` for a task of the shared neck.
            adapter: Task-specific values of its weights.
            with_neck: The backbone with the shared neck, if the joint model has one.
        """
        object.__setattr__(self, '_backbone', backbone)
        object.__setattr__(self, '_with_neck', with_neck)
        # The adapter is in the task's module tree.
        object.__setattr__(self, 'adapter', adapter)
        self.of_neck = with_neck is not None and backbone is with_neck

    def __getattr__(self, name: str):
        """Numbers and strings that models read of their backbone (``num_branch`` of TridentNet).

        No methods, such as ``init_weights``, which would run once a task.
        """
        try:
            return super().__getattr__(name)
        except AttributeError:
            backbone = self.__dict__.get('_backbone')
            if isinstance(backbone, BackboneWithNeck):
                backbone = backbone.backbone
            value = getattr(backbone, name, None)
            if name.startswith('_') or not isinstance(value, PLAIN):
                raise
            return value

    def forward(self, x: Tensor) -> tuple[Tensor, ...] | Tensor:
        """The task's feature maps ``(N, C_i, H_i, W_i)`` of images ``(N, 3, H, W)``."""
        if self._cached is not None and self._cached[0] is x:
            maps = self._cached[1]
        else:
            maps = run_backbone(self._backbone, x, self.adapter)
        return self.select(maps)

    def places(self, total: int) -> Sequence[int]:
        """Indices of the task's feature maps among the ``total`` ones of a shared pass."""
        every = range(total)
        if self._with_neck is not None:
            every = self._with_neck.places(total, self.of_neck)
        chosen = self.feature_indices
        return every if chosen is None else [every[index] for index in chosen]

    def reuse(self, x: Tensor | None, maps: tuple[Tensor, ...] | None) -> None:
        """Return these maps for the images ``x`` without running the backbone; None: run it."""
        self._cached = None if x is None or maps is None else (x, maps)

    def select(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...] | Tensor:
        """Select the feature maps of the task from all those of a pass."""
        if self.bare and self.feature_indices is None and isinstance(maps, SingleMap):
            return maps[0]
        places = self.places(len(maps))
        return maps if places == range(len(maps)) else tuple(maps[place] for place in places)


@contextmanager
def built_around(backbone: nn.Module):
    """In this context, views are built with this backbone."""
    token = _building.set(backbone)
    try:
        yield
    finally:
        _building.reset(token)


def run_backbone(
    backbone: nn.Module, x: Tensor, adapter: BackboneAdapter | None = None
) -> tuple[Tensor, ...]:
    """All feature maps of the backbone as a tuple; a bare map as a :class:`SingleMap`.

    With an adapter the backbone's parameters are replaced while it runs, so no other thread may run
    it at the same time.
    """
    maps = (
        backbone(x)
        if adapter is None
        else functional_call(backbone, adapter.values(backbone), (x,))
    )
    return tuple(maps) if isinstance(maps, (tuple, list)) else SingleMap((maps,))


def layers_of(backbone: nn.Module) -> Iterator[nn.Module]:
    """The outermost callable submodules with parameters (such as the stages of a ResNet)."""
    parts = isinstance(backbone, BackboneWithNeck)
    for child in backbone.children():
        if parts or isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from layers_of(child)
        elif any(True for _ in child.parameters()):
            yield child


@contextmanager
def backbone_pass(backbone: nn.Module, views: Sequence[SharedBackbone], x: Tensor):
    """Run the backbone once on ``x``; in this context, all views reuse its feature maps for ``x``.

    Views with an adapter run it themselves.
    """
    views = [view for view in views if view.adapter is None]
    cached = (x, run_backbone(backbone, x)) if views else None
    for view in views:
        view.reuse(*(cached or (None, None)))
    try:
        yield
    finally:
        for view in views:
            view.reuse(None, None)
