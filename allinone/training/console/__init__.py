"""What people see of a training or a test; the log file has everything."""

from .screen import Screen, attach, compact, hooks

__all__ = ['Screen', 'attach', 'compact', 'hooks']
