"""How predictions compare with the ground truth, in tables and curves, one kind a file."""

from .base import Quality, TaskAnalysis
from .boxes import BoxAnalysis
from .classes import ClassAnalysis
from .label_maps import LabelMapAnalysis
from .multi_label import MultiLabelAnalysis

__all__ = [
    'BoxAnalysis',
    'ClassAnalysis',
    'LabelMapAnalysis',
    'MultiLabelAnalysis',
    'Quality',
    'TaskAnalysis',
]
