"""Makes the OpenMMLab forks run from plain wheels.

Two shortcomings of the installed packages are corrected here, each in its own module:

- ``ext_finder`` offers ``mmcv._ext`` from torchvision and PyTorch where mmcv was installed
  without its compiled operators;
- ``packages`` lets MMEngine find the forks' configs (``mmseg::...``) and keeps it from ever
  starting an installer.
"""

from . import ext_finder
from .after_import import after_import

__all__ = [
    'install',
]


def install() -> None:
    """Puts both corrections in place.

    Must run before ``mmcv.ops`` (hence ``mmdet.models``) is first imported. Repeated calls change
    nothing. Imports nothing of the libraries: MMEngine is corrected when it is imported.
    """
    ext_finder.install()
    after_import('mmengine', _correct_mmengine)


def _correct_mmengine() -> None:
    from . import packages

    packages.install()
