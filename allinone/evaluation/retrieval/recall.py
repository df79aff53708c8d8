"""Recall@K and mAP of images that are searched among all others of their set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allinone.errors import DataError

from .ranking import RankedQueries, as_embeddings, codes, ranked_queries

KS = (1, 2, 4, 8)


def recall_at_k(
    embeddings: ArrayLike, ids: Sequence, ks: Sequence[int] = KS, block: int | None = None
) -> dict[str, float]:
    """Share of images with one of the same identity among the K nearest others, and mAP.

    Images that are alone of their identity are searched for by none, but are found by others.

    Args:
        embeddings: ``(N, D)``, L2-normalised.
        ids: N identities.
        ks: The K.
        block: As in :func:`~allinone.evaluation.retrieval.rank_metrics_from_embeddings`.

    Returns:
        Fractions ``{'recall1', 'recall2', 'recall4', 'recall8', 'mAP'}``.

    Raises:
        DataError: If an embedding is not finite, or no identity has two images.
    """
    found = ranked_among_others(embeddings, ids, block)
    if np.isnan(found.first).all():
        raise DataError('no identity has two images, so none can be found; check the list')
    return {name: float(np.nanmean(value)) for name, value in recall_values(found, ks).items()}


def ranked_among_others(
    embeddings: ArrayLike, ids: Sequence, block: int | None = None
) -> RankedQueries:
    """Each image as a query in all others."""
    rows, (labels,) = as_embeddings(embeddings, 'set'), codes(ids)
    if len(rows) != len(labels):
        raise DataError(
            f'embeddings are {rows.shape}, but there are {len(labels)} identities; give one row '
            'an image'
        )
    everything = np.arange(len(rows))

    def itself(part: slice) -> NDArray:
        return everything[part, None] == everything

    return ranked_queries(
        lambda part: rows[part] @ rows.T,
        lambda part: labels[part, None] == labels,
        itself,
        (len(rows), len(rows)),
        block,
    )


def recall_values(found: RankedQueries, ks: Sequence[int]) -> dict[str, NDArray]:
    """``{name: (N,)}`` of each image, NaN where it is alone."""
    values = found.values(ks)
    return {f'recall{k}': values[f'rank{k}'] for k in ks} | dict(mAP=values['mAP'])
