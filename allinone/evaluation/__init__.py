from .metrics import DetectionMetric, SegmentationMetric

__all__ = ['DetectionMetric', 'SegmentationMetric']
