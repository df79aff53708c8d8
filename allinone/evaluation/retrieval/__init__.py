"""Metrics of retrieval: ranking, recall, verification, re-ranking, and MAP@K of ranked lists."""

from .map_at_k import map_at_k
from .ranking import rank_metrics, rank_metrics_from_embeddings
from .re_ranking import re_rank
from .recall import recall_at_k
from .verification import tar_at_far, verification_accuracy

__all__ = [
    'map_at_k',
    'rank_metrics',
    'rank_metrics_from_embeddings',
    're_rank',
    'recall_at_k',
    'tar_at_far',
    'verification_accuracy',
]
