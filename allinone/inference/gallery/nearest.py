"""Exact search: the rows of largest inner product with each query."""

import numpy as np

from allinone.registry.options import check_count

QUERIES, ROWS = 256, 1 << 14  # in a block
SPARE = 16  # candidates beyond those wanted, as products of blocks differ in their last bits
LAST = (1 << 32) - 1  # No index of a row is larger.
NONE = (-8388608 ^ 0x7FFFFFFF) << 32  # Key of minus infinity, below those of all scores


def nearest(
    queries: np.ndarray,
    rows: np.ndarray,
    top: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and indices of the ``top`` rows of each query, the best first.

    Candidates are found by products of blocks. Their scores are computed anew, in double precision,
    so they do not depend on the blocks. Rows of one score stand in their order.

    Args:
        queries: float32 ``(Q, D)``, L2-normalised.
        rows: float32 ``(N, D)``, L2-normalised; may be mapped into memory.
        top: Number of rows; at most N are given.

    Returns:
        float32 ``(Q, K)`` and int64 ``(Q, K)`` with K the smaller of ``top`` and N.

    Raises:
        ConfigError: If ``top`` is no positive number.
    """
    check_count('top', top)
    queries = np.ascontiguousarray(queries, np.float32)
    top = min(top, len(rows))
    if not top or not len(queries):
        return np.zeros((len(queries), top), np.float32), np.zeros((len(queries), top), np.int64)
    wanted = min(top + SPARE, len(rows))
    scores, found = [], []
    for start in range(0, len(queries), QUERIES):
        part = queries[start : start + QUERIES]
        exact, order = _ordered(part, rows, _candidates(part, rows, wanted), top)
        scores.append(exact)
        found.append(order)
    return np.concatenate(scores), np.concatenate(found)


def _candidates(queries: np.ndarray, rows: np.ndarray, wanted: int) -> np.ndarray:
    best: np.ndarray = np.full((len(queries), wanted), NONE, np.int64)
    for start in range(0, len(rows), ROWS):
        products = queries @ np.asarray(rows[start : start + ROWS], np.float32).T
        found = _better(products, start, best.min(1))
        best = np.concatenate([best, found], 1)
        best = np.partition(best, best.shape[1] - wanted, axis=1)[:, -wanted:]
    return LAST - (best & LAST)


def _better(scores: np.ndarray, first: int, least: np.ndarray) -> np.ndarray:
    """Keys ``(Q, K)`` of the scores ``(Q, R)`` that may be among the best, filled up by ``NONE``.

    Args:
        scores: Of queries and a block of rows.
        first: Index of its first row.
        least: The lowest key of the best so far, of each query.
    """
    # After the first blocks few are, and only of them keys are made.
    query, row = np.nonzero(scores >= _scores(least)[:, None])
    number = np.bincount(query, minlength=len(scores))
    place = np.arange(len(query)) - np.repeat(np.cumsum(number) - number, number)
    found = np.full((len(scores), number.max(initial=0)), NONE, np.int64)
    found[query, place] = _keys(scores[query, row], first + row)
    return found


def _keys(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Integers in the order of the scores, of one score those of earlier rows larger."""
    bits = (scores + np.float32(0)).view(np.int32)  # Of the two zeros one
    return (_mirrored(bits).astype(np.int64) << 32) | (LAST - rows)


def _scores(keys: np.ndarray) -> np.ndarray:
    return _mirrored((keys >> 32).astype(np.int32)).view(np.float32)


def _mirrored(bits: np.ndarray) -> np.ndarray:
    """Floats are ordered as their bits are, but negative ones the other way round."""
    return np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)


def _ordered(
    queries: np.ndarray, rows: np.ndarray, candidates: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.empty(candidates.shape, np.float32)
    for number, (query, chosen) in enumerate(zip(queries.astype(np.float64), candidates)):
        scores[number] = (rows[chosen].astype(np.float64) * query).sum(1)
    order = np.lexsort((candidates, -scores), axis=1)[:, :top]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(candidates, order, 1)
