"""The lowest score from which on held-out predictions have a precision, by hand."""

import numpy as np
import pytest

from allinone.tasks.pseudo_labels import (
    ClassRule,
    HeldOutScores,
    Threshold,
    best_precision,
    lowest_threshold,
)


def scores(*pairs):
    values, right = zip(*pairs)
    return HeldOutScores.of_predictions(np.array(values), np.array(right))


FALLING = scores((0.9, 1), (0.8, 1), (0.7, 0), (0.6, 1), (0.5, 0), (0.4, 0))


@pytest.mark.parametrize(
    'precision, expected',
    [
        (1.0, (0.8, 1.0, 2, 2)),
        (0.75, (0.6, 0.75, 3, 4)),  # 2 of 3 at .7, but 3 of 4 at .6
        (0.7, (0.6, 0.75, 3, 4)),
        (0.6, (0.5, 0.6, 3, 5)),
        (0.5, (0.4, 0.5, 3, 6)),
    ],
)
def test_the_lowest_score_that_reaches_a_precision(precision, expected):
    assert lowest_threshold(FALLING, precision) == Threshold(*expected)


def test_predictions_of_one_score_are_all_above_or_all_below():
    tied = scores((0.9, 1), (0.5, 0), (0.5, 1), (0.5, 1), (0.5, 0))
    # In some order 2 of 2 or 3 of 4 would be right; all of them are 3 of 5.
    assert lowest_threshold(tied, 0.7) == Threshold(0.9, 1.0, 1, 1)
    assert lowest_threshold(tied, 0.6) == Threshold(0.5, 0.6, 3, 5)
    assert lowest_threshold(scores((0.5, 0), (0.5, 1), (0.5, 1)), 0.7) is None


def test_some_predictions_stand_behind_a_threshold():
    found = scores((0.9, 1), (0.8, 0), (0.7, 0), (0.6, 1), (0.5, 1), (0.4, 1))
    assert lowest_threshold(found, 0.8, minimum=1) == Threshold(0.9, 1.0, 1, 1)
    assert lowest_threshold(found, 0.8, minimum=2) is None
    assert best_precision(found, minimum=1) == 1
    assert best_precision(found, minimum=2) == pytest.approx(4 / 6)
    assert best_precision(found, minimum=7) is None


def test_no_float_error_decides():
    # 0.7 * 10 is 7.000000000000001 for some orders of arithmetic.
    found = scores(*[(0.5, right) for right in [1] * 7 + [0] * 3])
    for precision, reached in ((0.7, True), (0.70001, False)):
        assert (lowest_threshold(found, precision) is not None) is reached


def test_no_predictions():
    empty = HeldOutScores.of_predictions(np.zeros(0), np.zeros(0, bool))
    assert lowest_threshold(empty, 0.1) is None
    assert best_precision(empty) is None
    assert empty.total() == 0


def test_a_threshold_is_a_score_that_was_seen():
    counts = np.array([0, 4, 0, 6])
    binned = HeldOutScores(np.array([0.9, 0.6, 0.3, 0.0]), np.array([0, 4, 0, 0]), counts, counts)
    assert lowest_threshold(binned, 0.7) == Threshold(0.6, 1.0, 4, 4)


def test_rules_are_the_same_after_json():
    for rule in (ClassRule(Threshold(0.1 + 0.2, 2 / 3, 2, 3), None, 9), ClassRule(None, None, 0)):
        assert ClassRule.from_json(rule.to_json()) == rule
