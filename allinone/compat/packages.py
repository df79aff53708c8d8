"""Corrections that let MMEngine find the OneDL forks and prevent it from running an installer.

MMEngine looks a package up by its upstream distribution name ('mmsegmentation' for 'mmseg'). The
forks have other names ('onedl-mmsegmentation'), so MMEngine does not find a config named
``mmseg::...``; ``mmengine.hub`` then even pip-installs the upstream package over the fork.
"""

import functools
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import mmengine.config.utils as config_utils
from mmengine.config import Config
from mmengine.utils import get_installed_path, package_utils

__all__ = [
    'FORKS',
    'PackageNotInstalledError',
    'distribution_name',
    'install',
]

# mmcv and mmengine have forks too, but must not be in MMEngine's table: they ship no configs, and
# MMEngine expects `utils.register_all_modules` of every package in the table. `mmengine` lacks it,
# so building from its root registries would fail.
FORKS = {
    'mmdet': 'onedl-mmdetection',
    'mmseg': 'onedl-mmsegmentation',
    'mmpretrain': 'onedl-mmpretrain',
    'mmrotate': 'onedl-mmrotate',
}
"""Distribution name of each fork, keyed by the name of the module it installs."""


class PackageNotInstalledError(ModuleNotFoundError):
    """A config was requested from a package that is not installed."""


def distribution_name(module: str, upstream: str) -> str:
    """Chooses the distribution name by which MMEngine looks a package up.

    Args:
        module: Name of the importable module, a key of ``FORKS``.
        upstream: Name of the upstream distribution, as in MMEngine's table.

    Returns:
        The first of the fork's name, the upstream name and the module's name by which MMEngine
        finds the directory of ``module``; the fork's name if the package is not installed.
    """
    fork = FORKS[module]
    for name in (fork, upstream, module):
        try:
            path = get_installed_path(name)
        except PackageNotFoundError:
            continue
        # An unrelated distribution may carry the same name (PyPI's 'mmseg' segments Chinese text).
        if Path(path).name == module:
            return name
    return fork


def _refuse_installer(cmd: list) -> None:
    """Replaces MMEngine's ``call_command``, which is used only to run ``pip install``.

    Args:
        cmd: Command line; its last item is the distribution to install.

    Raises:
        PackageNotInstalledError: Always.
    """
    package = cmd[-1]
    raise PackageNotInstalledError(
        f"The package '{package}' is not installed. No package is installed on the fly; "
        f'install it yourself with: pip install {package}',
        name=package,
    )


def _with_package_configs(fromfile: Callable[..., Config]) -> Callable[..., Config]:
    """Lets ``Config.fromfile`` accept ``'package::path.py'``, as ``_base_`` does."""

    @functools.wraps(fromfile)
    def wrapper(filename: str | Path, *args, **kwargs) -> Config:
        if isinstance(filename, str) and '::' in filename:
            filename, _ = Config._get_cfg_path(filename, '')
        return fromfile(filename, *args, **kwargs)

    return wrapper


def install() -> None:
    """Corrects MMEngine's table of packages, its config loader and its installer.

    The table is changed in place, because modules of MMEngine hold references to it. Repeated
    calls change nothing.
    """
    if package_utils.call_command is _refuse_installer:
        return
    table = config_utils.MODULE2PACKAGE
    for module in FORKS:
        table[module] = distribution_name(module, table[module])
    # `install_package` looks this name up when called, so earlier imports of it are covered.
    package_utils.call_command = _refuse_installer
    Config.fromfile = staticmethod(_with_package_configs(Config.fromfile))
