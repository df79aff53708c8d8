"""Package allinone."""

from allinone.compat import install as _install_compat

_install_compat()
__version__ = '0.1.0'
