"""A neck that several tasks share, as a part of the shared backbone."""

from collections.abc import Sequence

from torch import Tensor, nn

from allinone.config.parts import BACKBONE, SHARED_NECK

NECK = f'{SHARED_NECK}.'


class BackboneWithNeck(nn.Module):
    """The backbone, and the neck on its feature maps, as one module.

    Its feature maps are those of the backbone, then those of the neck. It owns neither part: the
    joint model does, which holds it outside the module tree. Names of its parameters are those of
    the joint model's state dict.

    Args:
        backbone: The shared backbone.
        neck: Takes a tuple of feature maps, returns some.
        feature_indices: Indices of the backbone's feature maps that the neck takes, in order.
            Default: all.

    Attributes:
        count: Number of the backbone's feature maps; None before the first pass.
    """

    count: int | None = None

    def __init__(
        self, backbone: nn.Module, neck: nn.Module, feature_indices: Sequence[int] | None = None
    ):
        super().__init__()
        self.backbone, self.shared_neck = backbone, neck
        self.feature_indices = None if feature_indices is None else tuple(feature_indices)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.with_neck(self.backbone(x))

    def with_neck(self, maps: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The feature maps of the backbone, then those that the neck makes of them."""
        given = _tuple(maps)
        self.count = len(given)
        indices = range(len(given)) if self.feature_indices is None else self.feature_indices
        return *given, *_tuple(self.shared_neck(tuple(given[index] for index in indices)))

    def places(self, total: int, of_neck: bool) -> range:
        """Indices of the neck's or of the backbone's feature maps among ``total`` ones."""
        count = total if self.count is None else min(self.count, total)
        return range(count, total) if of_neck else range(count)


def full_name(backbone: nn.Module, name: str) -> str:
    """The name in a module of what adapters call ``name``: names of the backbone have no prefix."""
    joint = isinstance(backbone, BackboneWithNeck) and not f'{name}.'.startswith(NECK)
    return f'{BACKBONE}.{name}' if joint else name


def short_name(backbone: nn.Module, name: str) -> str:
    """The inverse of :func:`full_name`."""
    return name.removeprefix(f'{BACKBONE}.') if isinstance(backbone, BackboneWithNeck) else name


def _tuple(maps: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    return (maps,) if isinstance(maps, Tensor) else tuple(maps)
