from .allinone import AllInOne
from .trunk import SharedTrunk

__all__ = ['AllInOne', 'SharedTrunk']
