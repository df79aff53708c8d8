"""What a metric is computed from, image by image, one form of it a file."""

from .base import ImageStatistics
from .image_means import ImageMeans
from .label_counts import LabelCounts
from .label_scores import LabelScores
from .matches import Matches
from .pixel_areas import PixelAreas

__all__ = [
    'ImageMeans',
    'ImageStatistics',
    'LabelCounts',
    'LabelScores',
    'Matches',
    'PixelAreas',
]
