"""Kinds of tasks: one file each has all that is special about it."""

from .base import TaskKind
from .classification import Classification, MultiLabelClassification
from .detection import Detection
from .retrieval import Retrieval
from .segmentation import Segmentation

__all__ = [
    'Classification',
    'Detection',
    'MultiLabelClassification',
    'Retrieval',
    'Segmentation',
    'TaskKind',
]
