import numpy as np
import pytest

from data.contract import UndefinedMetric
from evaluation.reliability import (
    generalisability,
    icc,
    length_needed,
    one_rater_reliability,
    spearman_brown,
    standard_error_of_measurement,
)

SHROUT_FLEISS = [
    [9, 2, 5, 8],
    [6, 1, 3, 2],
    [8, 4, 6, 8],
    [7, 1, 2, 6],
    [10, 5, 6, 9],
    [6, 2, 4, 7],
]


def test_the_reliability_of_one_rater_in_the_published_example():
    # Shrout and Fleiss 1979, table 4: ICC(1,1) is .17
    assert one_rater_reliability(SHROUT_FLEISS) == pytest.approx(0.17, abs=0.005)
    with pytest.raises(UndefinedMetric, match="rated by two"):
        one_rater_reliability([[5, np.nan], [np.nan, 7]])


def test_icc_of_the_published_example():
    # Shrout and Fleiss 1979, table 4; the intervals are those of R's psych::ICC
    found = icc(SHROUT_FLEISS)
    assert found.single.value == pytest.approx(0.29, abs=0.005)
    assert found.average.value == pytest.approx(0.62, abs=0.005)
    assert (found.single.low, found.single.high) == pytest.approx((0.019, 0.761), abs=0.001)
    assert (found.average.low, found.average.high) == pytest.approx((0.071, 0.927), abs=0.001)


def test_a_person_with_a_missing_rating_takes_no_part_in_the_icc():
    assert icc([*SHROUT_FLEISS, [9, 9, 9, np.nan]]) == icc(SHROUT_FLEISS)


def test_raters_who_agree_exactly_have_an_icc_of_one():
    found = icc([[1, 1], [5, 5], [9, 9]])
    assert found.single.value == found.average.value == 1


def test_a_severe_rater_lowers_the_icc_because_agreement_is_absolute():
    random = np.random.default_rng(0)
    people = random.normal(0, 1, (500, 1)) + random.normal(0, 0.5, (500, 3))
    severe = people - np.array([0, 0, 2])
    assert icc(people).single.value == pytest.approx(1 / 1.25, abs=0.03)
    # rater variance 4/3: 1 / (1 + .25 + 1.33)
    assert icc(severe).single.value == pytest.approx(1 / (1.25 + 4 / 3), abs=0.03)


def test_spearman_brown_doubles_half_to_two_thirds_and_length_needed_undoes_it():
    assert spearman_brown(0.5, factor=2) == pytest.approx(2 / 3)
    assert length_needed(0.5, target=2 / 3) == pytest.approx(2)


def test_the_error_of_measurement_of_a_measure_with_reliability_three_quarters_is_half_its_sd():
    scores = [40, 60, 40, 60, np.nan]
    spread = np.std(scores[:4], ddof=1)
    assert standard_error_of_measurement(scores, reliability=0.75) == pytest.approx(spread / 2)


def test_planted_variance_components_come_back():
    random = np.random.default_rng(1)
    person, question = random.normal(0, 3, (3000, 1)), random.normal(0, 2, (1, 200))
    scores = 50 + person + question + random.normal(0, 4, (3000, 200))
    found = generalisability(scores)
    assert found.person == pytest.approx(9, rel=0.1)
    assert found.question == pytest.approx(4, rel=0.3)
    assert found.residual == pytest.approx(16, rel=0.02)


def test_generalisability_by_hand():
    # mean squares: people 8, questions 2, residual 0 -> person 4, question 2/2, residual 0
    found = generalisability([[1, 3], [5, 7]])
    assert (found.person, found.question, found.residual) == (8, 2, 0)
    assert found.relative == 1
    assert found.absolute == pytest.approx(8 / (8 + 2 / 2))


def test_questions_needed_for_seventy_hundredths_from_a_planted_single_question_reliability():
    # one question .36: .7 * .64 / (.36 * .3) = 4.15 questions
    random = np.random.default_rng(2)
    scores = 3 * random.normal(size=(20000, 1)) + 4 * random.normal(size=(20000, 6))
    assert generalisability(scores).questions_needed(0.7) == 5


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: icc([[1, 2]]), "two people and two raters"),
        (lambda: icc([[3, 3], [3, 3]]), "ratings that vary"),
        (lambda: generalisability([[1, 2], [2, 1]]), "do not differ"),
        (lambda: length_needed(0, target=0.7), "reliability above 0"),
        (lambda: standard_error_of_measurement([1, 2], reliability=1.2), "from 0 to 1"),
        (lambda: standard_error_of_measurement([1], reliability=0.5), "two scores"),
    ],
)
def test_a_reliability_without_a_value_says_why(call, says):
    with pytest.raises(UndefinedMetric, match=says):
        call()
