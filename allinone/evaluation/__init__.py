"""Metrics, their names, and the score; the metrics of ``METRICS`` are found by their modules."""

from allinone.registry.discovery import import_modules

from .metrics import DetectionMetric, SegmentationMetric

__all__ = ['DetectionMetric', 'SegmentationMetric']

import_modules(__name__)
