"""Selection of the backbone layer whose gradients a method uses."""

from torch import nn

from allinone.balancers.base import Balancer
from allinone.balancers.wrappers.wrapper import Wrapper
from allinone.distributed.processes import local
from allinone.errors import ConfigError

BACKBONE = 'backbone.'


def check_layers(balancer: Balancer, backbone: nn.Module) -> None:
    """Check that ``layer`` of a method and of its wrapped methods names backbone parameters.

    Raises:
        ConfigError: If one names no trainable parameter.
    """
    regulariser = balancer.regulariser
    if regulariser is not None and regulariser is balancer:
        columns_of(regulariser.penalty_layer, backbone)
    if isinstance(balancer, Wrapper):
        with balancer.naming_inner():
            check_layers(balancer.inner, backbone)
    else:
        columns_of(balancer.layer, backbone)


def columns_of(layer: str | None, backbone: nn.Module) -> slice:
    """Slice of the trainable parameters below ``layer`` in the backbone's flat gradient.

    Raises:
        ConfigError: If there are none.
    """
    if layer is None:
        return slice(None)
    # With a shared neck, the backbone's names begin as in the joint model's state dict.
    with_neck = hasattr(backbone, 'shared_neck')
    start = stop = None
    offset = 0
    for name, param in backbone.named_parameters():
        name = name.removeprefix(BACKBONE) if with_neck else name
        if param.requires_grad:
            if name == layer or name.startswith(f'{layer}.'):
                start = offset if start is None else start
                stop = offset + local(param).numel()
            offset += local(param).numel()
    if start is None:
        raise ConfigError(
            f'model.balancer.layer is {layer!r}, but the backbone has no trainable '
            f'parameters below it; its parts are '
            f'{[name for name, _ in backbone.named_children()]}'
        )
    return slice(start, stop)
