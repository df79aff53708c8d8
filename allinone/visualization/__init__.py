"""Drawing of predictions and ground truth on images."""

from .draw import draw_tasks

__all__ = ['draw_tasks']
