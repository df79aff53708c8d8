"""Re-ranking by k-reciprocal neighbours."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from allinone.errors import DataError
from allinone.registry.options import check_count, check_number

from .ranking import as_embeddings

LIMIT = 20_000  # Rows of a square matrix of distances, 1.6 GB
BLOCK = 256  # Rows that are sorted at a time


def re_rank(
    query: ArrayLike, gallery: ArrayLike, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> NDArray:
    """Distances after re-ranking by k-reciprocal encoding (`1701.08398
    <https://arxiv.org/abs/1701.08398>`_).

    Args:
        query: Embeddings ``(Q, D)``, L2-normalised.
        gallery: Embeddings ``(G, D)``, L2-normalised.
        k1: Neighbours of the reciprocal sets.
        k2: Neighbours over which encodings are averaged.
        weight: Of the original distances, from 0 to 1; that of the Jaccard distances is the rest.

    Returns:
        Float32 ``(Q, G)``.

    Raises:
        ConfigError: If an option is out of its range.
        DataError: If query and gallery have more than 20,000 rows together, or a number is not
            finite.
    """
    check_options(k1, k2, weight)
    queries = as_embeddings(query, 'query')
    rows = np.concatenate([queries, as_embeddings(gallery, 'gallery')])
    check_rows(len(rows))
    # In place, for a matrix may take 1.6 GB
    distances = rows @ rows.T
    distances *= -2
    distances += 2
    np.maximum(distances, 0, out=distances)
    np.fill_diagonal(distances, 0)
    distances /= np.maximum(distances.max(axis=1, keepdims=True), 1e-12)
    order = np.empty((len(rows), min(max(k1 + 1, k2), len(rows))), np.int64)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        order[part] = np.argsort(distances[part], axis=1, kind='stable')[:, : order.shape[1]]
    encoding = _encoding(distances, order, k1)
    if k2 > 1:
        near = _neighbours(order[:, :k2], len(rows))
        encoding = near.astype(np.float32) @ encoding / min(k2, len(rows))
    count = len(queries)
    jaccard = _jaccard(encoding.tocsr(), count)
    return (1 - weight) * jaccard + weight * distances[:count, count:]


def check_options(k1: int = 20, k2: int = 6, weight: float = 0.3) -> None:
    """Check options of :func:`re_rank`.

    Raises:
        ConfigError: If k1 or k2 is no whole number of at least 1, or the weight not from 0 to 1.
    """
    check_count('re_rank.k1', k1)
    check_count('re_rank.k2', k2)
    check_number('re_rank.weight', weight, 0, 1)


def check_rows(count: int) -> None:
    """Check the number of rows of query and gallery together.

    Raises:
        DataError: If re-ranking them takes too much memory.
    """
    if count > LIMIT:
        raise DataError(
            f're-ranking compares all {count:,} rows of query and gallery with each other, and is '
            f'limited to {LIMIT:,}; leave re_rank out, or search a part of the gallery'
        )


def _neighbours(order: NDArray, size: int) -> sparse.csr_array:
    """``(N, size)`` with 1 at the neighbours of each row."""
    rows = np.repeat(np.arange(len(order)), order.shape[1])
    ones = np.ones(order.size, np.int32)
    return sparse.csr_array((ones, (rows, order.ravel())), shape=(len(order), size))


def _reciprocal(order: NDArray, k: int) -> sparse.csr_array:
    """Of each row the neighbours that have it among theirs, itself included."""
    near = _neighbours(order[:, : k + 1], len(order))
    return near.multiply(near.T).tocsr()


def _encoding(distances: NDArray, order: NDArray, k1: int) -> sparse.csr_array:
    """Weights of the expanded reciprocal neighbours of each row, with the sum 1 (section 3.2)."""
    near = _reciprocal(order, k1)
    half = _reciprocal(order, int(np.around(k1 / 2)))
    # A neighbour whose own set lies to more than two thirds in that of the row brings its set.
    shared = (near @ half.T).multiply(near).tocoo()
    sizes = np.asarray(half.sum(axis=1)).ravel()
    brings = shared.data > 2 / 3 * sizes[shared.col]
    chosen = sparse.csr_array(
        (np.ones(brings.sum(), np.int32), (shared.row[brings], shared.col[brings])),
        shape=near.shape,
    )
    members = (near + chosen @ half).tocoo()
    weights = np.exp(-distances[members.row, members.col])
    encoding = sparse.csr_array((weights, (members.row, members.col)), shape=near.shape)
    total = np.asarray(encoding.sum(axis=1)).ravel()
    return sparse.diags_array((1 / total).astype(np.float32)) @ encoding


def _jaccard(encoding: sparse.csr_array, count: int) -> NDArray:
    """Jaccard distances ``(count, N - count)`` of encodings whose rows have the sum 1."""
    columns = encoding.tocsc()
    found = np.empty((count, encoding.shape[0] - count), np.float32)
    for row in range(count):
        part = slice(encoding.indptr[row], encoding.indptr[row + 1])
        shared = np.zeros(encoding.shape[0], np.float32)
        for column, weight in zip(encoding.indices[part], encoding.data[part]):
            of_column = slice(columns.indptr[column], columns.indptr[column + 1])
            shared[columns.indices[of_column]] += np.minimum(columns.data[of_column], weight)
        found[row] = 1 - shared[count:] / (2 - shared[count:])
    return found
