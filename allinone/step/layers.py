"""The layer of the trunk that a method looks at."""

from torch import nn

from allinone.balancers.base import Balancer
from allinone.balancers.wrappers.wrapper import Wrapper
from allinone.distributed.processes import local
from allinone.errors import ConfigError


def check_layers(balancer: Balancer, trunk: nn.Module) -> None:
    """That ``layer`` of a method, and of those that it wraps, names parameters of the trunk.

    Raises:
        ConfigError: If one names none that is trained.
    """
    if balancer.regulariser is balancer:
        columns_of(balancer.penalty_layer, trunk)
    if isinstance(balancer, Wrapper):
        with balancer.naming_inner():
            check_layers(balancer.inner, trunk)
    else:
        columns_of(balancer.layer, trunk)


def columns_of(layer: str | None, trunk: nn.Module) -> slice:
    """Where the trainable parameters below ``layer`` lie in the trunk's flat gradient.

    Raises:
        ConfigError: If there are none.
    """
    if layer is None:
        return slice(None)
    start = stop = None
    offset = 0
    for name, param in trunk.named_parameters():
        if param.requires_grad:
            if name == layer or name.startswith(f'{layer}.'):
                start = offset if start is None else start
                stop = offset + local(param).numel()
            offset += local(param).numel()
    if start is None:
        raise ConfigError(
            f'model.balancer.layer is {layer!r}, but the trunk has no trainable '
            f'parameters below it; its parts are '
            f'{[name for name, _ in trunk.named_children()]}'
        )
    return slice(start, stop)
