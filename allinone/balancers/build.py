"""A balancer from its config, with errors that name the key."""

from collections.abc import Mapping

from allinone.errors import ConfigError
from allinone.registry import BALANCERS

from .base import Balancer


def build_balancer(cfg: Mapping, key: str = 'model.balancer') -> Balancer:
    """Build a method of ``BALANCERS``.

    Raises:
        ConfigError: If there is no such method, or it has no such option.
    """
    name = cfg.get('type') if isinstance(cfg, Mapping) else None
    BALANCERS.import_from_location()
    if name not in BALANCERS.module_dict:
        raise ConfigError(
            f'{key}.type is {name!r}; the methods are {sorted(BALANCERS.module_dict)}'
        )
    try:
        return BALANCERS.build(dict(cfg))
    except TypeError as error:
        raise ConfigError(f'{key} cannot be built: {error}') from error
