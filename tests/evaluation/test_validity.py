import numpy as np
import pytest

from data.contract import UndefinedMetric
from evaluation.validity import (
    composite_validity,
    disattenuated,
    increment,
    predictive_bias,
    unrestricted,
    validity,
)


def test_the_fisher_z_interval_by_hand():
    random = np.random.default_rng(0)
    x, y = random.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], 103).T
    found = validity(x, y)
    z = np.arctanh(np.corrcoef(x, y)[0, 1])
    assert found.low == pytest.approx(np.tanh(z - 1.959964 / 10))
    assert found.high == pytest.approx(np.tanh(z + 1.959964 / 10))
    assert found.n == 103


def test_a_criterion_half_of_which_is_error_hides_a_validity_of_one_behind_point_seven():
    assert disattenuated(np.sqrt(0.5), criterion_reliability=0.5) == pytest.approx(1)


def test_correcting_for_range_restriction_gives_back_the_correlation_of_the_applicants():
    random = np.random.default_rng(1)
    x, y = random.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 200_000).T
    hired = x > 0.5
    u = x.std() / x[hired].std()
    restricted = validity(x[hired], y[hired]).value
    assert restricted < 0.35
    assert unrestricted(restricted, u=u) == pytest.approx(0.5, abs=0.01)
    assert unrestricted(0.3, u=1) == pytest.approx(0.3)


def test_an_independent_predictor_adds_its_squared_correlation():
    random = np.random.default_rng(2)
    a, b = random.normal(size=(2, 20_000))
    y = 0.6 * a + 0.3 * b + np.sqrt(1 - 0.45) * random.normal(size=20_000)
    found = increment(y, a, b)
    assert found.base == pytest.approx(0.36, abs=0.02)
    assert found.added == pytest.approx(0.09, abs=0.01)
    assert found.full == pytest.approx(found.base + found.added)
    assert found.p < 1e-6


def test_a_predictor_of_noise_adds_nothing_significant():
    random = np.random.default_rng(3)
    y, a, noise = random.normal(size=(3, 500))
    assert increment(y + a, a, noise).p > 0.05


def test_planted_intercept_and_slope_differences_come_back_from_the_cleary_regression():
    random = np.random.default_rng(4)
    x, g = random.normal(size=5000), random.integers(0, 2, 5000)
    y = 3 + 2 * x - 0.5 * g + 0.25 * x * g + 0.1 * random.normal(size=5000)
    found = predictive_bias(y, x, g)
    assert found["coefficient"].to_list() == pytest.approx([3, 2, -0.5, 0.25], abs=0.02)
    assert (found["low"] < found["coefficient"]).all()
    assert found.loc["focal", "p"] < 1e-6


def test_without_bias_the_interval_of_the_group_term_contains_zero():
    random = np.random.default_rng(5)
    x, g = random.normal(size=2000), random.integers(0, 2, 2000)
    found = predictive_bias(x + random.normal(size=2000), x, g)
    assert found.loc["focal", "low"] < 0 < found.loc["focal", "high"]


def test_the_composite_of_two_uncorrelated_predictors_by_hand():
    assert composite_validity([1, 1], [0.3, 0.3], np.eye(2)) == pytest.approx(0.6 / np.sqrt(2))
    assert composite_validity([1, 1], [0.3, 0.3], np.ones((2, 2))) == pytest.approx(0.3)


def test_composite_validity_is_the_validity_of_the_weighted_sum():
    random = np.random.default_rng(6)
    x = random.normal(size=(400, 3)) @ random.normal(size=(3, 3))
    y = x @ [1, 2, 3] + random.normal(size=400)
    z = (x - x.mean(0)) / x.std(0)
    single = [validity(z[:, j], y).value for j in range(3)]
    found = composite_validity([0.5, 0.3, 0.2], single, np.corrcoef(z.T))
    assert found == pytest.approx(validity(z @ [0.5, 0.3, 0.2], y).value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: validity([1, 2, 3], [1, 2, 3]), "at least 4 pairs, got 3"),
        (lambda: validity([1, 2, 3, 4], [1, 1, 1, 1]), "vary"),
        (lambda: disattenuated(0.3, criterion_reliability=0), r"in \(0, 1\], got 0.00"),
        (lambda: unrestricted(0.3, u=0), "positive ratio"),
        (lambda: increment([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], [1, 0, 1, 0, 1]), "criterion that"),
        (lambda: predictive_bias([1, 2, 3], [1, 2, 3], [0, 0, 1]), "three people in each"),
        (lambda: composite_validity([0, 0], [0.3, 0.3], np.eye(2)), "other than 0"),
    ],
)
def test_a_validity_without_a_value_says_why(call, says):
    with pytest.raises(UndefinedMetric, match=says):
        call()
