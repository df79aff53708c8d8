from .allinone import AllInOne
from .ddp import AllInOneDDP
from .fsdp import AllInOneFSDP
from .necks import SimpleFeaturePyramid
from .shared_backbone import SharedTrunk

__all__ = ['AllInOne', 'AllInOneDDP', 'AllInOneFSDP', 'SharedTrunk', 'SimpleFeaturePyramid']
