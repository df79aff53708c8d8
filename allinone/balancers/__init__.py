"""Methods that combine the tasks' losses or gradients; exports all classes of ``BALANCERS``."""

from allinone.io.renames import renamed_names
from allinone.registry import BALANCERS
from allinone.registry.discovery import import_modules, registered_names

from .adaptive_weighting import AdaptiveWeighting
from .base import Balancer, LossWeighting
from .combine import combine
from .gramian_weighting import GramianWeighting

__all__ = ['AdaptiveWeighting', 'Balancer', 'GramianWeighting', 'LossWeighting', 'combine']

import_modules(f'{__name__}.methods')
import_modules(f'{__name__}.wrappers')
__getattr__ = registered_names(__name__, BALANCERS, renamed_names(__name__, ('Every', 'Smoothed')))
