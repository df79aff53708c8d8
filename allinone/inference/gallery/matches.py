"""Queries with their matches, which are right or wrong where identities are known."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .entries import Entry
from .index import Gallery


class Match(NamedTuple):
    """A row of the gallery that a query finds.

    Attributes:
        number: Index of the row.
        score: Cosine similarity.
        row: Its metadata.
        right: Whether it is of the query's identity; None if one of them is not known.
    """

    number: int
    score: float
    row: Mapping[str, Any]
    right: bool | None


class Matched(NamedTuple):
    """A query with its matches, the best first."""

    query: Mapping[str, Any]
    matches: list[Match]

    def record(self) -> dict:
        """In JSON types: a line of ``matches.jsonl``."""
        matches = [
            dict(score=match.score, right=match.right, row=dict(match.row))
            for match in self.matches
        ]
        return dict(query=dict(self.query), matches=matches)


def find_matches(
    gallery: Gallery,
    queries: Sequence[Entry],
    embeddings: np.ndarray,
    top: int = 10,
    threshold: float | None = None,
    leave_out_own: bool = False,
) -> Iterator[Matched]:
    """Search for each query.

    Args:
        gallery: Where to search.
        queries: What is known of the queries.
        embeddings: Of each, float32 ``(Q, D)``.
        top: Maximum number of matches.
        threshold: Lowest score of a match.
        leave_out_own: Leave out rows of the query's own image.
    """
    own = _rows_by_image(gallery) if leave_out_own else {}
    extra = max((len(own.get(query.row['image'], ())) for query in queries), default=0)
    scores, found = gallery.search(embeddings, top + extra)
    for query, of_query, indices in zip(queries, scores.tolist(), found.tolist()):
        left_out = own.get(query.row['image'], ())
        matches = [
            Match(index, score, gallery.rows[index], _right(query.row, gallery.rows[index]))
            for score, index in zip(of_query, indices)
            if index not in left_out and (threshold is None or score >= threshold)
        ]
        yield Matched(query.row, matches[:top])


def _rows_by_image(gallery: Gallery) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for index, row in enumerate(gallery.rows):
        found.setdefault(row['image'], set()).add(index)
    return found


def _right(query: Mapping, row: Mapping) -> bool | None:
    wanted, found = query.get('identity'), row.get('identity')
    return None if wanted is None or found is None else wanted == found
