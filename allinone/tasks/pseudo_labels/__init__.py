"""How pseudo labels are calibrated and written, one form of label a file."""

from .base import ClassRule, HeldOutPart, LabelledImage, PseudoLabels
from .boxes import PseudoBoxes
from .classes import PseudoClasses
from .label_maps import PseudoLabelMaps
from .thresholds import HeldOutScores, Threshold, best_precision, lowest_threshold

__all__ = [
    'ClassRule',
    'HeldOutPart',
    'HeldOutScores',
    'LabelledImage',
    'PseudoBoxes',
    'PseudoClasses',
    'PseudoLabelMaps',
    'PseudoLabels',
    'Threshold',
    'best_precision',
    'lowest_threshold',
]
