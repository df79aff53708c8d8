"""Metrics, their names, and the score; the metrics of ``METRICS`` are found by their modules."""

from allinone.registry.discovery import import_modules

from .metrics import DetectionMetric, SegmentationMetric
from .retrieval.metrics import RankMetrics, RecallAtK, VerificationMetrics

__all__ = [
    'DetectionMetric',
    'RankMetrics',
    'RecallAtK',
    'SegmentationMetric',
    'VerificationMetrics',
]

import_modules(__name__)
