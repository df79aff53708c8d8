"""Heads that a new config begins with, by what a user calls the task."""

HEADS = {
    'classification': 'linear_cls',
    'multi-label': 'multi_label',
    'detection': 'rtmdet_mapped',
    'segmentation': 'segformer',
}
"""Variables of ``configs/_base_/tasks``."""
