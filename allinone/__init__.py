"""Joint training of classification, detection and segmentation on one backbone."""

from importlib import import_module

from allinone.compat import after_import as _after_import
from allinone.compat import install as _install_compat


def _find_shipped_configs() -> None:
    import_module('allinone.config.shipped').install()


_install_compat()
_after_import('mmengine', _find_shipped_configs)
__version__ = '0.1.0'

# The libraries take seconds to import, so each name is imported when it is first asked for.
_PLACES = {
    'AllInOneInferencer': 'allinone.inference.inferencer',
    'compose': 'allinone.reuse.compose',
    'export': 'allinone.reuse.export',
    'extract': 'allinone.reuse.extract',
    'load': 'allinone.inference.load',
    'load_config': 'allinone.config.loading',
    'test': 'allinone.training.run',
    'train': 'allinone.training.run',
}
__all__ = list(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_PLACES[name]), name)
