"""What the tests of the stand-in of ``mmcv._ext`` share."""

import pytest
import torch

from allinone import compat

compat.install()

import mmcv._ext as ext  # noqa: E402
from mmcv import ops  # noqa: E402

__all__ = ['ext', 'normal', 'not_compiled', 'ops']

not_compiled = pytest.mark.skipif(
    ext.__spec__.origin != 'allinone.compat.mmcv_ops', reason='mmcv has compiled operators'
)


def normal(*shape, seed=0, dtype=torch.float64):
    """Returns normally distributed numbers that depend on the seed and the shape alone."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
