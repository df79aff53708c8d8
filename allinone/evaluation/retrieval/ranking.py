"""Rank-k, mAP and mINP of queries in a gallery."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from allinone.errors import DataError

RANKS = (1, 5, 10)
BLOCK_BYTES = 2**26  # Of a block of similarities
Similarities = Callable[[slice], NDArray]


@dataclass(frozen=True)
class RankedQueries:
    """Where the matches of each query stand in the gallery, best first.

    Attributes:
        first: Rank of the first match, from 1; NaN of queries without a match.
        precision: Average precision; NaN without a match.
        penalty: Matches divided by the rank of the last one; NaN without a match.
    """

    first: NDArray
    precision: NDArray
    penalty: NDArray

    def values(self, ranks: Sequence[int]) -> dict[str, NDArray]:
        """``{name: (Q,)}`` of each query, NaN without a match; the metrics are their means."""
        none = np.isnan(self.first)
        hits = {f'rank{k}': np.where(none, np.nan, self.first <= k) for k in ranks}
        return {**hits, 'mAP': self.precision, 'mINP': self.penalty}

    def metrics(self, ranks: Sequence[int]) -> dict[str, float]:
        """The means over queries with a match.

        Raises:
            DataError: If there is none.
        """
        if np.isnan(self.first).all():
            raise DataError(
                'query and gallery share no identity, or only by images of the same camera, which '
                'are left out; check the two lists'
            )
        return {name: float(np.nanmean(value)) for name, value in self.values(ranks).items()}


def rank_metrics(
    distances: ArrayLike,
    query_ids: Sequence,
    gallery_ids: Sequence,
    query_cameras: Sequence | None = None,
    gallery_cameras: Sequence | None = None,
    ranks: Sequence[int] = RANKS,
) -> dict[str, float]:
    """Rank-k (CMC), mAP and mINP, as fractions.

    Images of the same identity and the same camera as the query are left out of its gallery. Equal
    distances stand in the order of the gallery. The average precision is the mean of the precisions
    at the matches; mINP is the mean of the number of matches divided by the rank of the last one
    (`2001.04193 <https://arxiv.org/abs/2001.04193>`_, equation 1). Queries without a match are left
    out.

    Args:
        distances: ``(Q, G)``.
        query_ids: Q identities.
        gallery_ids: G identities.
        query_cameras: Q cameras; None: nothing is left out.
        gallery_cameras: G cameras.
        ranks: The k of Rank-k.

    Returns:
        ``{'rank1', 'rank5', 'rank10', 'mAP', 'mINP'}``.

    Raises:
        DataError: If a distance is not finite, numbers of rows differ, cameras are of one side
            alone, or no query has a match.
    """
    matrix = as_array(distances)
    if matrix.dtype.kind != 'f':  # The negative of an unsigned number wraps around.
        matrix = matrix.astype(float)
    sizes = len(query_ids), len(gallery_ids)
    if matrix.shape != sizes:
        raise DataError(
            f'distances are {matrix.shape}, but there are {sizes[0]} queries and a gallery of '
            f'{sizes[1]}; give one row a query and one column an image of the gallery'
        )
    _require_finite(matrix, 'a distance')
    same, left_out = relations(query_ids, gallery_ids, query_cameras, gallery_cameras)
    found = ranked_queries(lambda rows: -matrix[rows], same, left_out, sizes)
    return found.metrics(ranks)


def rank_metrics_from_embeddings(
    query: ArrayLike,
    gallery: ArrayLike,
    query_ids: Sequence,
    gallery_ids: Sequence,
    query_cameras: Sequence | None = None,
    gallery_cameras: Sequence | None = None,
    ranks: Sequence[int] = RANKS,
    block: int | None = None,
) -> dict[str, float]:
    """As :func:`rank_metrics`, of the inner products of embeddings, in blocks of queries.

    Args:
        query: ``(Q, D)``, L2-normalised.
        gallery: ``(G, D)``, L2-normalised.
        query_ids: As in :func:`rank_metrics`, and those that follow.
        gallery_ids: G identities.
        query_cameras: Q cameras.
        gallery_cameras: G cameras.
        ranks: The k of Rank-k.
        block: Number of queries at a time. Default: as many as take 64 MB.
    """
    found = ranked_embeddings(
        query, gallery, query_ids, gallery_ids, query_cameras, gallery_cameras, block
    )
    return found.metrics(ranks)


def ranked_embeddings(
    query: ArrayLike,
    gallery: ArrayLike,
    query_ids: Sequence,
    gallery_ids: Sequence,
    query_cameras: Sequence | None = None,
    gallery_cameras: Sequence | None = None,
    block: int | None = None,
) -> RankedQueries:
    """The queries of :func:`rank_metrics_from_embeddings`, each with its own values."""
    queries, rows = as_embeddings(query, 'query'), as_embeddings(gallery, 'gallery')
    sizes = len(query_ids), len(gallery_ids)
    if (len(queries), len(rows)) != sizes or queries.shape[1:] != rows.shape[1:]:
        raise DataError(
            f'embeddings are {queries.shape} and {rows.shape}, but there are {sizes[0]} queries '
            f'and a gallery of {sizes[1]}; give one row for each, of one length'
        )
    same, left_out = relations(query_ids, gallery_ids, query_cameras, gallery_cameras)
    return ranked_queries(lambda part: queries[part] @ rows.T, same, left_out, sizes, block)


def ranked_queries(
    similarities: Similarities,
    same: Similarities,
    left_out: Similarities | None,
    sizes: tuple[int, int],
    block: int | None = None,
) -> RankedQueries:
    """Rank the matches of queries, a block of queries at a time.

    Args:
        similarities: ``(B, G)`` of some rows of queries.
        same: Whether the identities are the same, bool ``(B, G)``.
        left_out: What is no part of a query's gallery, bool ``(B, G)``; None: nothing.
        sizes: Numbers of queries and of images in the gallery.
        block: Number of queries at a time.
    """
    count, size = sizes
    block = block or max(1, BLOCK_BYTES // (4 * max(size, 1)))
    found = np.full((3, count), np.nan)
    for start in range(0, count, block):
        rows = slice(start, start + block)
        matches, valid = same(rows), None
        if left_out is not None:
            valid = ~left_out(rows)
            matches = matches & valid
        found[:, rows] = _ranked(similarities(rows), matches, valid)
    return RankedQueries(*found)


def as_array(values: ArrayLike) -> NDArray:
    """An array of anything that NumPy takes, or of a tensor of any device and type."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    return np.asarray(values)


def as_embeddings(values: ArrayLike, what: str) -> NDArray:
    """Float32 ``(N, D)``.

    Raises:
        DataError: If there are other dimensions, or a number is not finite.
    """
    array = np.ascontiguousarray(as_array(values), np.float32)
    if array.ndim != 2:
        raise DataError(f'embeddings of the {what} are {array.shape}; give one row an image')
    _require_finite(array, f'the {what}')
    return array


def codes(*parts: Sequence) -> list[NDArray]:
    """Whole numbers for the values of several sequences, equal for equal values."""
    numbers: dict = {}
    return [
        np.array([numbers.setdefault(_plain(value), len(numbers)) for value in part], np.int64)
        for part in parts
    ]


def _plain(value):
    return value.item() if hasattr(value, 'item') else value


def _require_finite(array: NDArray, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise DataError(
            f'{what} of row {bad[0]} is NaN or infinite ({len(bad)} rows in all); the model has '
            'diverged, or its weights are wrong'
        )


def relations(
    query_ids: Sequence,
    gallery_ids: Sequence,
    query_cameras: Sequence | None,
    gallery_cameras: Sequence | None,
) -> tuple[Similarities, Similarities | None]:
    """Same identity, and what is left out, of blocks of queries."""
    queries, rows = codes(query_ids, gallery_ids)

    def same(part: slice) -> NDArray:
        return queries[part, None] == rows

    if (query_cameras is None) != (gallery_cameras is None):
        lacking = 'gallery' if gallery_cameras is None else 'query'
        raise DataError(
            f'the {lacking} has no cameras, but the other has; give them for both, or for none'
        )
    if query_cameras is None or gallery_cameras is None:
        return same, None
    if (len(query_cameras), len(gallery_cameras)) != (len(query_ids), len(gallery_ids)):
        raise DataError(
            f'there are {len(query_ids)} queries with {len(query_cameras)} cameras and a gallery '
            f'of {len(gallery_ids)} with {len(gallery_cameras)}; give one camera an image'
        )
    seen, taken = codes(query_cameras, gallery_cameras)
    return same, lambda part: same(part) & (seen[part, None] == taken)


def _ranked(similarities: NDArray, matches: NDArray, valid: NDArray | None) -> NDArray:
    """``(3, B)``: first rank, average precision and penalty of the queries of a block."""
    if valid is not None:
        similarities = np.where(valid, similarities, -np.inf)
    # Ranks follow from counts of what is more similar, so the gallery is sorted by value alone.
    ordered = np.sort(similarities, axis=1)
    found = np.full((3, len(matches)), np.nan)
    for number in np.flatnonzero(matches.any(axis=1)):
        places = np.flatnonzero(matches[number])
        scores, row = similarities[number, places], ordered[number]
        right = np.searchsorted(row, scores, 'right')
        ranks = len(row) - right + 1
        tied = right - np.searchsorted(row, scores, 'left') > 1
        for score in np.unique(scores[tied]):
            equal = np.flatnonzero(similarities[number] == score)
            chosen = scores == score
            ranks[chosen] += np.searchsorted(equal, places[chosen])
        ranks = np.sort(ranks)
        counts = np.arange(1, len(ranks) + 1)
        found[:, number] = ranks[0], (counts / ranks).mean(), len(ranks) / ranks[-1]
    return found
