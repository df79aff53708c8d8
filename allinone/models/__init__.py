from .allinone import AllInOne
from .ddp import AllInOneDDP
from .fsdp import AllInOneFSDP
from .necks import SimpleFeaturePyramid
from .trunk import SharedTrunk

__all__ = ['AllInOne', 'AllInOneDDP', 'AllInOneFSDP', 'SharedTrunk', 'SimpleFeaturePyramid']
