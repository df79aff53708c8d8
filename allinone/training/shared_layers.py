"""A sentence in place of PyTorch's error about a parameter in two groups."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from allinone.errors import ConfigError


@contextmanager
def shared_layers_grouped_once(model: nn.Module, cfg: Mapping) -> Iterator[None]:
    """Explain why the optimizer of a model with shared layers cannot be built.

    Args:
        model: The model.
        cfg: ``optim_wrapper``.

    Raises:
        ConfigError: If ``paramwise_cfg`` makes two groups of one parameter.
    """
    try:
        yield
    except ValueError as error:
        twice = _shared(model)
        if 'more than one parameter group' not in str(error) or not twice or 'constructor' in cfg:
            raise
        paramwise = dict(cfg.get('paramwise_cfg') or {})
        raise ConfigError(
            f'optim_wrapper.paramwise_cfg is {paramwise}, which makes a group of each parameter, '
            f'but {twice[0]} and {twice[1]} are one, in layers that the head shares; set '
            'optim_wrapper.paramwise_cfg.bypass_duplicate=True'
        ) from error


def _shared(model: nn.Module) -> tuple[str, str] | None:
    """The first two names of one parameter."""
    names: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if names.setdefault(id(parameter), name) != name:
            return names[id(parameter)], name
    return None
