import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from data.contract import UndefinedMetric
from evaluation.agreement import (
    bias,
    human_ceiling,
    interval,
    mae,
    partial_pearson,
    pearson,
    qwk,
    spearman,
    two_raters,
)


def test_scores_on_a_straight_line_with_the_ratings_correlate_perfectly():
    assert pearson([1, 2, 3], [10, 30, 50]) == pytest.approx(1)
    assert pearson([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_pearson_by_hand():
    # deviations (-1, 0, 1) and (-1, 1, 0): 1 / 2
    assert pearson([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)


def test_a_missing_rating_takes_no_part():
    assert pearson([1, 2, 3, np.nan], [1, 3, 2, 99]) == pytest.approx(0.5)


def test_mae_is_in_the_unit_of_the_ratings():
    assert mae([50, 60], [55, 45]) == 10


def test_correlations_equal_scipy():
    random = np.random.default_rng(0)
    rating = random.integers(0, 10, 200)
    score = rating + random.normal(0, 3, 200).round()
    assert pearson(rating, score) == pytest.approx(stats.pearsonr(rating, score).statistic)
    assert spearman(rating, score) == pytest.approx(stats.spearmanr(rating, score).statistic)


def test_qwk_equals_scikit_learn_on_whole_numbers():
    random = np.random.default_rng(1)
    rating = random.integers(0, 11, 300)
    score = np.clip(rating + random.integers(-2, 3, 300), 0, 10)
    expected = cohen_kappa_score(rating, score, weights="quadratic")
    assert qwk(rating, score, low=0, high=10) == pytest.approx(expected)


def test_bias_is_the_mean_of_what_scores_have_over_ratings():
    assert bias([50, 60, np.nan], [45, 51, 9]) == -7


def test_qwk_of_opposite_ratings_is_minus_one():
    assert qwk([0, 0, 1, 1], [1, 1, 0, 0], low=0, high=1) == pytest.approx(-1)


def test_qwk_rounds_halves_upward_and_clips_to_the_scale():
    exact = qwk([1, 2, 3, 5], [1, 2, 3, 5], low=0, high=5)
    assert qwk([1, 2, 3, 5], [0.5, 1.5, 3.4, 7], low=0, high=5) == exact == 1


def test_agreement_that_length_explains_is_gone_once_length_is_held():
    random = np.random.default_rng(2)
    words = random.normal(size=5000)
    rating, score = words + random.normal(size=5000), words + random.normal(size=5000)
    assert pearson(rating, score) == pytest.approx(0.5, abs=0.03)
    assert partial_pearson(rating, score, words) == pytest.approx(0, abs=0.03)


def test_partial_correlation_equals_the_textbook_formula():
    random = np.random.default_rng(3)
    x, y, z = random.multivariate_normal([0, 0, 0], np.eye(3) + 1, 50).T
    xy, xz, yz = pearson(x, y), pearson(x, z), pearson(y, z)
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_pearson(x, y, z) == pytest.approx(expected)


def test_the_interval_covers_the_planted_correlation_nineteen_times_in_twenty():
    random = np.random.default_rng(4)
    held = 0
    for seed in range(100):
        rating, score = random.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 100).T
        found = interval(pearson, rating, score, by=np.arange(100), repeats=200, seed=seed)
        held += found.low <= 0.6 <= found.high
    assert 88 <= held <= 99


def test_ten_copies_of_each_person_do_not_make_the_interval_narrower():
    random = np.random.default_rng(5)
    rating, score = random.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 60).T
    once = interval(pearson, rating, score, by=np.arange(60))
    copied = interval(
        pearson, np.repeat(rating, 10), np.repeat(score, 10), by=np.repeat(np.arange(60), 10)
    )
    assert copied.n == 600
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.1)


def test_the_interval_of_a_partial_correlation_resamples_the_control_too():
    random = np.random.default_rng(6)
    words = random.normal(size=300)
    rating, score = words + random.normal(size=300), words + random.normal(size=300)
    found = interval(partial_pearson, rating, score, words, by=np.arange(300), repeats=200)
    assert found.low < 0 < found.high


def test_two_raters_are_compared_pair_by_pair():
    ratings = [[1, 2, 4], [2, 4, 3], [3, 6, 2], [4, 8, 1]]
    assert two_raters(pearson, ratings) == pytest.approx((1 - 1 - 1) / 3)
    with pytest.raises(UndefinedMetric, match="at least two"):
        two_raters(pearson, [[1], [2]])


def test_the_human_ceiling_of_parallel_raters_is_the_one_classical_theory_gives():
    # one rater with reliability .5 against the mean of 4: sqrt(.5) * sqrt(.8)
    random = np.random.default_rng(7)
    ratings = random.normal(size=(4000, 1)) + random.normal(size=(4000, 5))
    ratings[::5, 4] = np.nan
    found = human_ceiling(ratings, by=np.repeat(np.arange(800), 5))
    assert found.value == pytest.approx(np.sqrt(0.5 * 0.8), abs=0.02)
    assert found.low < found.value < found.high
    assert found.n == 4000


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: pearson([5, 5, 5], [1, 2, 3]), "ratings that vary; all 3 are 5"),
        (lambda: pearson([1, 2, 3], [7, 7, 7]), "scores that vary; all 3 are 7"),
        (lambda: spearman([1, 2], [1, 2]), "at least 3 complete pairs, got 2"),
        (lambda: qwk([3, 3], [3, 3], low=0, high=5), "all ratings and scores are 3"),
        (lambda: mae([], []), "got 0"),
        (lambda: partial_pearson([1, 2, 3, 5], [3, 1, 4, 1], [1, 2, 3, 5]), "explained by it"),
        (lambda: human_ceiling([[1], [2]], by=[0, 1]), "at least two raters"),
        (lambda: interval(pearson, [1, 2, 3], [1, 3, 2], by=[0, 0, 0]), "at least two people"),
    ],
)
def test_a_metric_without_a_value_says_why(call, says):
    with pytest.raises(UndefinedMetric, match=says):
        call()


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        pearson([1, 2, 3], [1, 2])
