from .allinone import AllInOne
from .ddp import AllInOneDDP
from .trunk import SharedTrunk

__all__ = ['AllInOne', 'AllInOneDDP', 'SharedTrunk']
