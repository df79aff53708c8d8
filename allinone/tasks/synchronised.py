"""Whether a model averages over processes within its losses."""

import inspect

from torch import nn

AVERAGES = {'reduce_mean'}  # mmdet's; its heads average numbers of objects with it


def averages_over_processes(model: nn.Module) -> bool:
    """Whether a part of a model divides its losses by a mean over the processes.

    Such a loss is that of all processes together (GFL, FCOS, ATSS, RTMDet, the DETR family,
    Mask2Former); others are of the images of one process.
    """
    classes = {type(part) for part in model.modules()}
    return any(map(_calls_average, classes))


def _calls_average(cls: type) -> bool:
    if cls.__module__.startswith('torch.'):
        return False
    for name in dir(cls):
        function = inspect.getattr_static(cls, name)
        function = inspect.unwrap(getattr(function, '__func__', function))
        code = getattr(function, '__code__', None)
        if code is not None and not AVERAGES.isdisjoint(code.co_names):
            return True
    return False
