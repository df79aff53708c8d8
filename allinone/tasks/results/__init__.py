"""Results of each kind: a record as it is written, with arrays of what it holds as attributes."""

from .base import TaskResult
from .boxes import DetectionResult
from .classes import ClassificationResult, MultiLabelResult
from .embeddings import EmbeddingResult
from .label_maps import SegmentationResult

__all__ = [
    'ClassificationResult',
    'DetectionResult',
    'EmbeddingResult',
    'MultiLabelResult',
    'SegmentationResult',
    'TaskResult',
]
