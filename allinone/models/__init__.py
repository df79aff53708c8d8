from .allinone import AllInOne
from .ddp import AllInOneDDP
from .fsdp import AllInOneFSDP
from .trunk import SharedTrunk

__all__ = ['AllInOne', 'AllInOneDDP', 'AllInOneFSDP', 'SharedTrunk']
