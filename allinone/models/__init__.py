from .allinone import AllInOne
from .necks import SimpleFeaturePyramid
from .trunk import SharedTrunk

__all__ = ['AllInOne', 'SharedTrunk', 'SimpleFeaturePyramid']
