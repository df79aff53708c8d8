"""The old place of :mod:`allinone.data.loaders`, for one release."""

from allinone.config.build_errors import named, scoped
from allinone.data.loaders import build_loader, training_batches
from allinone.data.task_loaders import TaskLoaders

__all__ = ['TaskLoaders', 'build_loader', 'named', 'scoped', 'training_batches']
