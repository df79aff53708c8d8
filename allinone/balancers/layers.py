"""Does the trunk have the layer that a method looks at? Asked when the model is built."""

from torch import nn

from .base import Balancer
from .step import _columns_of
from .wrapper import Wrapper


def check_layers(balancer: Balancer, trunk: nn.Module) -> None:
    """That ``layer`` of a method, and of those that it wraps, names parameters of the trunk.

    Raises:
        ConfigError: If one names none that is trained.
    """
    if balancer.regulariser is balancer:
        _columns_of(balancer.penalty_layer, trunk)
    if isinstance(balancer, Wrapper):
        with balancer.naming_inner():
            check_layers(balancer.inner, trunk)
    else:
        _columns_of(balancer.layer, trunk)
