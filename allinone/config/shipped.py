"""Configs that come with the package, found by name and inherited as ``allinone::NAME.py``.

In a checkout, and where it is installed as editable, they are those of ``configs/``. A wheel has
them in ``allinone/_configs``.
"""

import difflib
import os
import os.path as osp
from pathlib import Path

from allinone.errors import ConfigError

PREFIX = 'allinone::'
BASES = '_base_'
PACKAGE = Path(__file__).parents[1]
# What the documentation calls the folder; not a part of the names
FOLDER = 'configs/'


def shipped_folder() -> Path:
    """The folder of the configs that come with the package."""
    packed = PACKAGE / '_configs'
    return packed if packed.is_dir() else PACKAGE.parent / 'configs'


def ready_configs() -> list[str]:
    """Names of the configs to train, such as ``toy/mobilenetv2_toy``."""
    return [name for name in _names() if not name.startswith(f'{BASES}/')]


def base_configs() -> list[str]:
    """Names of the configs to inherit from, such as ``_base_/backbones/resnet50``."""
    return [name for name in _names() if name.startswith(f'{BASES}/')]


def _names() -> list[str]:
    folder = shipped_folder()
    return sorted(
        path.relative_to(folder).with_suffix('').as_posix() for path in folder.rglob('*.py')
    )


def comment_of(name: str) -> str:
    """First sentence of the comment at the head of a config; may be empty."""
    lines = (shipped_folder() / f'{name}.py').read_text(encoding='utf-8').splitlines()
    comment: list[str] = []
    for line in lines:
        if not line.startswith('# '):
            break
        comment.append(line[2:].strip())
    return ' '.join(comment).partition('. ')[0].rstrip('.')


def find_config(path: str | os.PathLike) -> str:
    """The file of a config.

    Args:
        path: A file that exists, or the name of a shipped config, with or without ``.py``,
            ``allinone::`` and ``configs/``.

    Raises:
        ConfigError: If there is neither.
    """
    path = os.fspath(path)
    if osp.isfile(path):
        return path
    name = osp.normpath(path.removeprefix(PREFIX)).removeprefix(FOLDER).removesuffix('.py')
    names = _names()
    if name in names:
        return str(shipped_folder() / f'{name}.py')
    ready = [found for found in names if not found.startswith(f'{BASES}/')]
    by_end = {osp.basename(found): found for found in reversed(ready)}
    near = difflib.get_close_matches(name, ready, 2) or [
        by_end[end] for end in difflib.get_close_matches(osp.basename(name), by_end, 2)
    ]
    raise ConfigError(
        f'{path}: no such config file, and no ready config is called so; '
        + (f'do you mean {" or ".join(near)}?' if near else '"allinone configs" lists them')
    )


def install() -> None:
    """Let MMEngine find ``allinone::NAME.py`` as it finds ``mmdet::NAME.py``.

    Types of shipped configs name their library, so that scope of a package, which MMEngine gives to
    what it finds so, is left out.
    """
    from mmengine.config import Config

    of_packages = Config._get_cfg_path
    if getattr(of_packages, 'finds_shipped', False):
        return

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(PREFIX):
            return find_config(cfg_path), None
        return of_packages(cfg_path, filename)

    get_cfg_path.finds_shipped = True  # type: ignore[attr-defined]
    Config._get_cfg_path = staticmethod(get_cfg_path)
