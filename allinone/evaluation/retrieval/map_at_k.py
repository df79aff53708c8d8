"""Mean average precision of the first K of ranked lists."""

from collections.abc import Collection, Sequence

from allinone.errors import DataError
from allinone.registry.options import check_choice

OFFSET = 1e-6  # At which the counter of the official scorer starts


def map_at_k(
    ranked: Sequence[Sequence],
    relevant: Sequence[Collection],
    k: int,
    divisor: str = 'hits',
) -> float:
    """MAP@K, the mean over queries.

    Args:
        ranked: The names that each query finds, best first.
        relevant: The right names of each query.
        k: How many of the ranked ones count.
        divisor: What the sum of precisions at the hits is divided by: ``'hits'``, the number of
            hits, as the official scorer of the CVPR 2023 foundation model challenge, Track 2, whose
            counter of hits starts at 1e-6; or ``'relevant'``, the number of relevant names.

    Raises:
        ConfigError: If the divisor is neither.
        DataError: If there are no queries, as many lists as sets, or a query without a right name.
    """
    check_choice('divisor', divisor, ['hits', 'relevant'])
    if len(ranked) != len(relevant) or not len(ranked):
        raise DataError(
            f'there are {len(ranked)} ranked lists for {len(relevant)} queries; give one a query'
        )
    return sum(_average(*query, k, divisor) for query in zip(ranked, relevant)) / len(ranked)


def _average(ranked: Sequence, relevant: Collection, k: int, divisor: str) -> float:
    right = set(relevant)
    number = len(right)
    if not number:
        raise DataError('a query has no relevant name; leave it out')
    hits = OFFSET if divisor == 'hits' else 0.0
    total = 0.0
    for place, name in enumerate(ranked[:k], 1):
        if name in right:
            hits += 1
            total += hits / place
            if divisor == 'relevant':
                right.discard(name)  # A name that is ranked again is no second hit.
    return total / (hits if divisor == 'hits' else number)
