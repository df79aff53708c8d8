from .adaptive_weighting import AdaptiveWeighting
from .aligned_mtl import AlignedMTL
from .base import Balancer, LossWeighting
from .cagrad import CAGrad
from .coba import CoBa
from .combine import combine
from .dynamic_task_prioritization import DynamicTaskPrioritization
from .dynamic_weight_average import DynamicWeightAverage
from .every import Every
from .fairgrad import FairGrad
from .famo import FAMO
from .fixed_weights import FixedWeights
from .geometric_mean import GeometricMean
from .graddrop import GradDrop
from .gradient_orthogonality import GradientOrthogonality
from .gradnorm import GradNorm
from .gradvac import GradVac
from .gramian_weighting import GramianWeighting
from .imtl_g import IMTLG
from .imtl_l import IMTLL
from .mgda import MGDA
from .nash_mtl import NashMTL
from .norm_equal import NormEqual
from .pcgrad import PCGrad
from .random_weights import RandomWeights
from .smoothed import Smoothed
from .stch import STCH
from .uncertainty import Uncertainty
from .upgrad import UPGrad
from .warm_up import WarmUp

__all__ = [
    'AdaptiveWeighting',
    'AlignedMTL',
    'Balancer',
    'CAGrad',
    'CoBa',
    'DynamicTaskPrioritization',
    'DynamicWeightAverage',
    'Every',
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
    'Smoothed',
    'UPGrad',
    'Uncertainty',
    'WarmUp',
    'combine',
]
