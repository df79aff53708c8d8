from allinone.io.renames import renamed_names

from .allinone import AllInOne
from .backbones import TimmBackbone, TorchvisionBackbone
from .ddp import AllInOneDDP
from .embedding import EmbeddingClassifier, EmbeddingHead, EmbeddingModel
from .fsdp import AllInOneFSDP
from .necks import SimpleFeaturePyramid
from .shared_backbone import SharedBackbone

__all__ = [
    'AllInOne',
    'AllInOneDDP',
    'AllInOneFSDP',
    'EmbeddingClassifier',
    'EmbeddingHead',
    'EmbeddingModel',
    'SharedBackbone',
    'SimpleFeaturePyramid',
    'TimmBackbone',
    'TorchvisionBackbone',
]

__getattr__ = renamed_names(__name__, ('SharedTrunk',))
