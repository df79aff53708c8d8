"""Predictions and ground truth drawn on images."""

from .draw import draw_tasks

__all__ = ['draw_tasks']
