from allinone.io.renames import renamed_names

from .adaptive_weighting import AdaptiveWeighting
from .base import Balancer, LossWeighting
from .combine import combine
from .gramian_weighting import GramianWeighting
from .methods.aligned_mtl import AlignedMTL
from .methods.cagrad import CAGrad
from .methods.coba import CoBa
from .methods.dynamic_task_prioritization import DynamicTaskPrioritization
from .methods.dynamic_weight_average import DynamicWeightAverage
from .methods.fairgrad import FairGrad
from .methods.famo import FAMO
from .methods.fixed_weights import FixedWeights
from .methods.geometric_mean import GeometricMean
from .methods.graddrop import GradDrop
from .methods.gradnorm import GradNorm
from .methods.gradvac import GradVac
from .methods.imtl_g import IMTLG
from .methods.imtl_l import IMTLL
from .methods.mgda import MGDA
from .methods.nash_mtl import NashMTL
from .methods.norm_equal import NormEqual
from .methods.pcgrad import PCGrad
from .methods.random_weights import RandomWeights
from .methods.stch import STCH
from .methods.uncertainty import Uncertainty
from .methods.upgrad import UPGrad
from .wrappers.gradient_orthogonality import GradientOrthogonality
from .wrappers.smoothed_task_weights import SmoothedTaskWeights
from .wrappers.update_every import UpdateEvery
from .wrappers.warm_up import WarmUp

__all__ = [
    'AdaptiveWeighting',
    'AlignedMTL',
    'Balancer',
    'CAGrad',
    'CoBa',
    'DynamicTaskPrioritization',
    'DynamicWeightAverage',
    'FAMO',
    'FairGrad',
    'FixedWeights',
    'GeometricMean',
    'GradDrop',
    'GradNorm',
    'GradVac',
    'GradientOrthogonality',
    'GramianWeighting',
    'IMTLG',
    'IMTLL',
    'LossWeighting',
    'MGDA',
    'NashMTL',
    'NormEqual',
    'PCGrad',
    'RandomWeights',
    'STCH',
    'SmoothedTaskWeights',
    'UPGrad',
    'Uncertainty',
    'UpdateEvery',
    'WarmUp',
    'combine',
]

__getattr__ = renamed_names(__name__, ('Every', 'Smoothed'))
