from .allinone import AllInOne
from .ddp import AllInOneDDP
from .necks import SimpleFeaturePyramid
from .trunk import SharedTrunk

__all__ = ['AllInOne', 'AllInOneDDP', 'SharedTrunk', 'SimpleFeaturePyramid']
