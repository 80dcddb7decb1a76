import numpy as np
import pandas as pd
import pytest

from data.contract import UndefinedMetric
from evaluation.calibration import conformal_half_width, coverage, coverage_by_group


def test_the_half_width_is_the_conformal_order_statistic():
    # 19 people, residuals 1..19: ceil(.9 * 20) = 18th smallest
    assert conformal_half_width(np.arange(1, 20), np.zeros(19), by=np.arange(19)) == 18


def test_nine_people_give_the_largest_residual_and_eight_give_none():
    assert conformal_half_width(np.arange(1, 10), np.zeros(9), by=np.arange(9)) == 9
    with pytest.raises(UndefinedMetric, match="at least 9 people outside the fit, got 8"):
        conformal_half_width(np.arange(1, 9), np.zeros(8), by=np.arange(8))


def test_a_person_with_a_thousand_answers_counts_once():
    residual = np.concatenate([np.arange(1, 20), np.full(1000, 0.5)])
    people = np.concatenate([np.arange(19), np.full(1000, 19)])
    # 20 people: 18.9 of 21 places; the talkative one fills the first
    assert conformal_half_width(residual, np.zeros(1019), by=people) == 18


def test_new_people_are_covered_as_promised():
    random = np.random.default_rng(0)
    level = random.normal(0, 5, 400)
    people = np.repeat(np.arange(400), 5)
    rating = 50 + level[people] + random.normal(0, 5, 2000)
    score = np.full(2000, 50.0)
    known = people < 200
    half = conformal_half_width(rating[known], score[known], by=people[known])
    new = ~known
    found = coverage(rating[new], score[new] - half, score[new] + half, by=people[new])
    assert found.low <= 0.9 <= found.high
    assert found.n == 1000


def test_a_rating_on_the_edge_is_covered():
    assert coverage([1, 2, 3], [1, 0, 4], [2, 2, 5], by=[0, 1, 2]).value == pytest.approx(2 / 3)


def test_coverage_and_width_are_given_for_each_group():
    table = pd.DataFrame(
        {
            "rating": [1, 2, 3, 4, 9],
            "low": [0, 0, 5, 3, 0],
            "high": [2, 4, 9, 5, 9],
            "person": list("abcde"),
            "sex": ["f", "f", "m", "m", None],
        }
    )
    found = coverage_by_group(table, group="sex")
    assert found.loc["f", "coverage"] == 1
    assert found.loc["m", "coverage"] == 0.5
    assert found["width"].to_dict() == {"f": 3, "m": 3}
    assert found["n"].to_dict() == {"f": 2, "m": 2}
