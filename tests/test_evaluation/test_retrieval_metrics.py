"""Ranking, recall, verification, re-ranking and MAP@K against their definitions."""

import numpy as np
import pytest
import torch
from mmdet.evaluation import ReIDMetrics
from sklearn.metrics import average_precision_score

from allinone.errors import ConfigError, DataError
from allinone.evaluation.retrieval import (
    map_at_k,
    rank_metrics,
    rank_metrics_from_embeddings,
    re_rank,
    recall_at_k,
    tar_at_far,
    verification_accuracy,
)
from allinone.evaluation.retrieval.re_ranking import LIMIT


def unit_rows(generator, *shape):
    rows = generator.standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# ---------------------------------------------------------------------------- ranking


def test_one_query_by_hand():
    # In order of distance: a of the query's camera (left out), b, a, c, a
    distances = [[0.5, 0.1, 0.9, 0.2, 0.6]]
    gallery, cameras = ['a', 'a', 'a', 'b', 'c'], [1, 0, 2, 0, 1]
    found = rank_metrics(distances, ['a'], gallery, [0], cameras, ranks=(1, 2))
    assert found == dict(rank1=0, rank2=1, mAP=(1 / 2 + 2 / 4) / 2, mINP=2 / 4)
    found = rank_metrics(distances, ['a'], gallery)
    assert found == dict(
        rank1=1, rank5=1, rank10=1, mAP=pytest.approx((1 + 2 / 3 + 3 / 5) / 3), mINP=3 / 5
    )


def test_equal_distances_stand_in_the_order_of_the_gallery():
    assert rank_metrics([[1, 1, 1]], [0], [5, 0, 0])['mAP'] == (1 / 2 + 2 / 3) / 2
    assert rank_metrics([[1, 1, 1]], [0], [0, 5, 0])['mAP'] == (1 + 2 / 3) / 2
    # What is left out before a match gives it no worse rank.
    assert rank_metrics([[1, 1, 1]], [0], [0, 5, 0], [7], [7, 7, 8])['mAP'] == 1 / 2


def test_queries_without_a_match_are_left_out():
    distances = [[0.1, 0.2], [0.3, 0.1]]
    assert rank_metrics(distances, ['a', 'z'], ['a', 'b'])['rank1'] == 1
    cameras = dict(query_cameras=[0, 0], gallery_cameras=[0, 1])
    assert rank_metrics(distances, ['a', 'b'], ['a', 'b'], **cameras)['mINP'] == 1


def by_definition(distances, query_ids, gallery_ids, query_cameras=None, gallery_cameras=None):
    """The metrics by two loops; None if no query has a match."""
    found = []
    for query, identity in enumerate(query_ids):
        rows = [
            row
            for row, other in enumerate(gallery_ids)
            if query_cameras is None
            or other != identity
            or gallery_cameras[row] != query_cameras[query]
        ]
        rows.sort(key=lambda row: distances[query][row])  # noqa: B023 - used at once
        places = [place for place, row in enumerate(rows, 1) if gallery_ids[row] == identity]
        if places:
            precisions = [number / place for number, place in enumerate(places, 1)]
            hits = [places[0] <= k for k in (1, 5, 10)]
            found.append([*hits, np.mean(precisions), len(places) / places[-1]])
    return list(np.mean(found, axis=0)) if found else None


def outcome(compute, *args, **options):
    try:
        return list(compute(*args, **options).values())
    except DataError as error:
        assert 'share no identity' in str(error)
        return None


def test_a_thousand_cases_are_as_defined():
    generator, without = np.random.default_rng(0), 0
    for case in range(1000):
        queries, rows, size = generator.integers(1, [9, 16, 4])
        identities = 1 if case % 10 == 0 else int(generator.integers(2, 7))
        # Products of small whole numbers have many ties, and are exact in blocks of any size.
        query = generator.integers(-2, 3, (queries, size)).astype(np.float32)
        gallery = generator.integers(-2, 3, (rows, size)).astype(np.float32)
        labels = [generator.integers(0, identities, count) for count in (queries, rows)]
        if case % 2:
            labels += [generator.integers(0, 3, count) for count in (queries, rows)]
        if case % 3 == 0:
            labels = [[f'id{value}' for value in part] for part in labels]
        distances = 100 - query @ gallery.T
        expected = by_definition(distances, *labels)
        without += expected is None
        found = [outcome(rank_metrics, distances, *labels)]
        for block in (None, 1, 3, queries):
            found.append(
                outcome(rank_metrics_from_embeddings, query, gallery, *labels, block=block)
            )
        assert all(one == found[0] for one in found)
        assert found[0] == (expected and pytest.approx(expected, abs=1e-12)), case
    assert 20 < without < 200


def test_blocks_of_real_embeddings_are_near_the_matrix():
    generator = np.random.default_rng(0)
    query, gallery = unit_rows(generator, 60, 32), unit_rows(generator, 90, 32)
    labels = [generator.integers(0, 9, count) for count in (60, 90)]
    expected = rank_metrics(1 - query.astype(float) @ gallery.T.astype(float), *labels)
    for block in (1, 7, 60):
        found = rank_metrics_from_embeddings(query, gallery, *labels, block=block)
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.int64, np.float16, np.float64])
def test_distances_of_any_type(dtype):
    distances = np.array([[0, 1, 2], [1, 2, 0]], dtype)
    assert rank_metrics(distances, [0, 1], [0, 1, 2])['mAP'] == (1 + 1 / 3) / 2


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_tensors_are_as_arrays(dtype):
    rows = torch.eye(3, dtype=dtype, requires_grad=True)
    ids = torch.tensor([3, 4, 5])
    expected = dict(rank1=1, rank5=1, rank10=1, mAP=1, mINP=1)
    assert rank_metrics(1 - rows, ids, [3, 4, 5]) == expected
    assert rank_metrics_from_embeddings(rows, rows, ids, np.array([3, 4, 5])) == expected


def test_average_precision_is_that_of_scikit_learn():
    generator = np.random.default_rng(3)
    distances, ids = generator.random((1, 60)), generator.integers(0, 3, 60)
    expected = average_precision_score(ids == 1, -distances[0])
    assert rank_metrics(distances, [1], ids)['mAP'] == pytest.approx(expected, abs=1e-12)


BAD_RANKING = dict(
    nan=(([[np.nan, 1]], ['a'], ['a', 'b']), 'a distance of row 0 is NaN or infinite'),
    shape=(([[1, 2, 3]], ['a'], ['a', 'b']), r'distances are \(1, 3\), but there are 1 queries'),
    one_side=(([[1, 2]], ['a'], ['a', 'b'], [0]), 'the gallery has no cameras, but the other has'),
    other_side=(([[1, 2]], ['a'], ['a', 'b'], None, [0, 1]), 'the query has no cameras'),
    cameras=(([[1, 2]], ['a'], ['a', 'b'], [0], [0]), 'give one camera an image'),
    no_match=(([[1, 2]], ['c'], ['a', 'b']), 'query and gallery share no identity'),
    own_camera=(([[1, 2]], ['a'], ['a', 'b'], [0], [0, 0]), 'query and gallery share no identity'),
)


@pytest.mark.parametrize('name', BAD_RANKING)
def test_bad_input_of_ranking_is_refused(name):
    args, words = BAD_RANKING[name]
    with pytest.raises(DataError, match=words):
        rank_metrics(*args)


def test_bad_embeddings_are_refused():
    good, bad = np.eye(2), np.array([[1, 0], [np.nan, 0]])
    for query, gallery, words in (
        (bad, good, 'the query of row 1 is NaN'),
        (good, bad, 'the gallery of row 1 is NaN'),
        (good, np.eye(3)[:2], r'embeddings are \(2, 2\) and \(2, 3\)'),
        (good[0], good, r'embeddings of the query are \(2,\)'),
    ):
        with pytest.raises(DataError, match=words):
            rank_metrics_from_embeddings(query, gallery, ['a', 'b'], ['a', 'b'])


# ---------------------------------------------------------------------------- recall


def test_recall_by_hand():
    # On a line at 0, 1, 3, 4 and 10 degrees; c is alone, and is found by others.
    angles = np.radians([0, 1, 3, 4, 10])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = recall_at_k(embeddings, ['a', 'b', 'a', 'b', 'c'])
    # Orders of the others: b a b c, a a b c, b b a c, a b a c
    first = [2, 3, 3, 2]
    expected = {f'recall{k}': np.mean([rank <= k for rank in first]) for k in (1, 2, 4, 8)}
    assert found == pytest.approx(expected | dict(mAP=np.mean([1 / rank for rank in first])))


def test_recall_is_that_of_mmdet():
    generator = np.random.default_rng(0)
    rows, ids = unit_rows(generator, 60, 8), generator.integers(0, 6, 60)
    metric = ReIDMetrics(metric=['mAP', 'CMC'], metric_options=dict(rank_list=[1, 4], max_rank=20))
    results = [
        dict(pred_feature=torch.from_numpy(row), gt_label=torch.tensor([label]))
        for row, label in zip(rows, ids)
    ]
    expected = metric.compute_metrics(results)  # Of three decimals
    found = recall_at_k(rows, ids)
    assert [round(found[name], 3) for name in ('recall1', 'recall4', 'mAP')] == [
        expected['R1'],
        expected['R4'],
        expected['mAP'],
    ]


def test_recall_without_pairs_is_refused():
    with pytest.raises(DataError, match='no identity has two images'):
        recall_at_k(np.eye(3), ['a', 'b', 'c'])
    with pytest.raises(DataError, match=r'embeddings are \(3, 3\), but there are 2 identities'):
        recall_at_k(np.eye(3), ['a', 'b'])


# ---------------------------------------------------------------------------- verification


def test_true_accepts_by_hand():
    same = [0.9, 0.8, 0.7, 0.2]
    others = [0.8, 0.7, 0.7, 0.1]
    rates = tar_at_far([*same, *others], [1] * 4 + [0] * 4, [0, 0.25, 0.5, 0.75, 1])
    # Thresholds: 0.8; 0.7, as the two equal scores are 0.5 together; 0.7; 0.1; none
    assert rates == [1 / 4, 2 / 4, 2 / 4, 1, 1]


def test_a_rate_just_below_a_whole_number_of_pairs_is_that_number():
    assert 0.29 * 100 < 29
    assert tar_at_far([*range(100), 70.5], [0] * 100 + [1], [0.29]) == [1]
    assert tar_at_far([*range(100), 69.5], [0] * 100 + [1], [0.29]) == [0]


def test_accuracy_of_folds_by_hand():
    scores = [0.9, 0.1, 0.8, 0.4, 0.3, 0.2]
    same = [1, 0, 1, 0, 1, 0]
    folds = ['x', 'x', 'y', 'y', 'z', 'z']
    # x: of 0.8+ 0.4- 0.3+ 0.2-, 0.3 and 0.8 are right for three; 0.3, the lowest, is right for x.
    # y: of 0.9+ 0.1- 0.3+ 0.2-, 0.3 is right for all, and accepts 0.4 too.
    # z: of 0.9+ 0.1- 0.8+ 0.4-, 0.8 is right for all, and refuses 0.3.
    mean, deviation = verification_accuracy(scores, same, folds)
    assert mean == pytest.approx(2 / 3) and deviation == pytest.approx(np.std([1, 0.5, 0.5]))


def test_equal_scores_are_accepted_together():
    # Of 0.5+ 0.5- 0.5-, all or none pass. None is right for two, but refuses 0.9 of the other fold.
    mean, _ = verification_accuracy([0.5, 0.5, 0.5, 0.9], [1, 0, 0, 1], [0, 0, 0, 1])
    assert mean == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize(
    'scores, same, words',
    [
        ([0.1, np.nan], [0, 1], 'a score is NaN'),
        ([0.1, 0.2], [1, 1], 'no pair is of different identities'),
        ([0.1, 0.2], [0, 0], 'no pair is of one identity'),
        ([0.1, 0.2], [0, 1, 1], 'there are 2 scores of 3 pairs'),
    ],
)
def test_bad_pairs_are_refused(scores, same, words):
    with pytest.raises(DataError, match=words):
        tar_at_far(scores, same, [0.1])
    with pytest.raises(DataError, match=words):
        verification_accuracy(scores, same, [0, 1])


def test_bad_rates_and_folds_are_refused():
    for far in (-0.1, 1.5, float('nan')):
        with pytest.raises(ConfigError, match=r'fars\[1\] is'):
            tar_at_far([0.1, 0.2], [0, 1], [0.5, far])
    with pytest.raises(DataError, match='all 2 pairs are of one fold'):
        verification_accuracy([0.1, 0.2], [0, 1], [3, 3])


# ---------------------------------------------------------------------------- MAP@K


def test_map_at_k_by_hand():
    ranked = [['a', 'x', 'b', 'y'], ['x', 'y', 'z', 'c']]
    relevant = [{'a', 'b', 'c'}, {'c'}]
    # Precisions at the hits: 1 and 2/3; none among three
    assert map_at_k(ranked, relevant, 3, 'relevant') == pytest.approx(
        (1 + 2 / 3) / 3 / 2, abs=1e-12
    )
    assert map_at_k(ranked, relevant, 4, 'relevant') == pytest.approx(
        ((1 + 2 / 3) / 3 + 1 / 4) / 2, abs=1e-12
    )
    # The official counter starts at 1e-6.
    first = (1.000001 / 1 + 2.000001 / 3) / 2.000001
    assert map_at_k(ranked, relevant, 3) == pytest.approx(first / 2, abs=1e-15)
    second = (1.000001 / 4) / 1.000001
    assert map_at_k(ranked, relevant, 4) == pytest.approx((first + second) / 2, abs=1e-15)


def test_bad_input_of_map_at_k_is_refused():
    with pytest.raises(ConfigError, match="divisor is 'all'"):
        map_at_k([['a']], [{'a'}], 1, 'all')
    with pytest.raises(DataError, match='1 ranked lists for 2 queries'):
        map_at_k([['a']], [{'a'}, {'b'}], 1)
    with pytest.raises(DataError, match='has no relevant name'):
        map_at_k([['a']], [set()], 1)


# ---------------------------------------------------------------------------- re-ranking


def re_ranked_by_definition(query, gallery, k1, k2, weight):
    """Sections 3.2 to 3.4 of 1701.08398, with sets and loops."""
    rows = np.concatenate([query, gallery]).astype(float)
    count = len(rows)
    distances = ((rows[:, None] - rows) ** 2).sum(2)
    distances /= distances.max(axis=1, keepdims=True)

    def nearest(row, k):
        return list(np.argsort(distances[row], kind='stable')[: k + 1])  # Itself included

    def reciprocal(row, k):
        return {other for other in nearest(row, k) if row in nearest(other, k)}

    encoding = np.zeros((count, count))
    for row in range(count):
        near = reciprocal(row, k1)
        members = set(near)
        for other in near:
            theirs = reciprocal(other, int(np.around(k1 / 2)))
            if len(theirs & near) > 2 / 3 * len(theirs):
                members |= theirs
        for member in members:
            encoding[row, member] = np.exp(-distances[row, member])
    encoding /= encoding.sum(axis=1, keepdims=True)
    encoding = np.array([encoding[nearest(row, k2 - 1)].mean(axis=0) for row in range(count)])
    first, second = encoding[: len(query), None], encoding[len(query) :]
    jaccard = 1 - np.minimum(first, second).sum(2) / np.maximum(first, second).sum(2)
    return (1 - weight) * jaccard + weight * distances[: len(query), len(query) :]


@pytest.mark.parametrize(
    'k1, k2, weight', [(20, 6, 0.3), (4, 2, 0.3), (6, 1, 0.5), (3, 3, 0), (7, 2, 1), (60, 40, 0.3)]
)
def test_re_ranking_is_as_defined(k1, k2, weight):
    generator = np.random.default_rng(k1)
    centres = generator.standard_normal((5, 4))
    rows = centres[generator.integers(0, 5, 30)] + 0.6 * generator.standard_normal((30, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = re_rank(rows[:9], rows[9:], k1, k2, weight)
    assert found.dtype == np.float32
    expected = re_ranked_by_definition(rows[:9], rows[9:], k1, k2, weight)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_bad_input_of_re_ranking_is_refused():
    rows = np.zeros((LIMIT // 2, 1), np.float32)
    with pytest.raises(DataError, match='compares all 20,001 rows'):
        re_rank(rows, np.zeros((LIMIT // 2 + 1, 1)))
    with pytest.raises(ConfigError, match='re_rank.k1 is 0'):
        re_rank(rows[:2], rows[:2], k1=0)
    with pytest.raises(ConfigError, match='re_rank.weight is 2'):
        re_rank(rows[:2], rows[:2], weight=2)
    with pytest.raises(DataError, match='the gallery of row 0 is NaN'):
        re_rank(rows[:2], np.full((2, 1), np.nan))


def test_a_name_that_is_ranked_twice_is_one_relevant_hit():
    assert map_at_k([['a', 'a', 'b']], [{'a', 'b'}], 3, 'relevant') == pytest.approx(
        (1 + 2 / 3) / 2
    )
