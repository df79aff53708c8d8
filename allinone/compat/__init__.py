"""Corrections that let the OpenMMLab forks run from plain wheels.

Each module corrects one shortcoming of the installed packages:

- ``ext_finder`` provides ``mmcv._ext`` from torchvision and PyTorch if mmcv was installed without
  its compiled operators;
- ``packages`` lets MMEngine find the forks' configs (``mmseg::...``) and prevents it from running
  an installer;
- ``registry`` lets MMEngine find ``mmdet.RepeatDataset`` also in the scope of mmdet;
- ``config_text`` lays out the text of a config without yapf, which takes seconds;
- ``import_noise`` keeps off the console what the forks print while they are imported.
"""

from . import ext_finder
from .after_import import after_import

__all__ = [
    'after_import',
    'install',
]


def install() -> None:
    """Installs all corrections.

    Must run before ``mmcv.ops`` (hence ``mmdet.models``) is first imported. Repeated calls change
    nothing. Imports none of the libraries: MMEngine is corrected when it is imported.
    """
    ext_finder.install()
    after_import('mmengine', _correct_mmengine)


def _correct_mmengine() -> None:
    from . import config_text, import_noise, packages, registry

    packages.install()
    registry.install()
    config_text.install()
    import_noise.install()
