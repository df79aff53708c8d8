from .base import Balancer, LossWeighting
from .combine import combine
from .fixed_weights import FixedWeights

__all__ = ['Balancer', 'FixedWeights', 'LossWeighting', 'combine']
