from .curves import plot_curves
from .draw import draw_tasks
from .draw_hook import DrawHook

__all__ = ['DrawHook', 'draw_tasks', 'plot_curves']
