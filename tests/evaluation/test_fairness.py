import aedt_audit
import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_ratio
from scipy import stats
from statsmodels.stats.proportion import proportions_ztest

from data.contract import UndefinedMetric
from evaluation.fairness import (
    above_median,
    common_odds,
    composite_gap,
    four_fifths_flags,
    impact_ratio,
    impact_table,
    intersection,
    median_ties,
    smd,
    top_half,
)


def pool(**groups: tuple[int, int]) -> tuple[pd.Series, pd.Series]:
    """(selected, group) of people given as label=(selected, n)."""
    label = np.repeat(list(groups), [n for _, n in groups.values()])
    chosen = np.concatenate([np.arange(n) < k for k, n in groups.values()])
    return pd.Series(chosen), pd.Series(label)


def applicants(n: int = 3000) -> pd.DataFrame:
    random = np.random.default_rng(0)
    sex = random.choice(["female", "male"], n)
    score = random.normal(50, 10, n).round() - 3 * (sex == "female")
    return pd.DataFrame(
        {
            "score": score,
            "selected": score >= 55,
            "sex": sex,
            "race": random.choice(["a", "b", "c"], n, p=[0.6, 0.385, 0.015]),
        }
    )


def test_a_group_selected_half_as_often_has_an_impact_ratio_of_half():
    scores = pd.Series([0.9, 0.8, 0.9, 0.1])
    found = impact_ratio(scores, pd.Series(["a", "a", "b", "b"]), cut=0.5)
    assert found.to_dict() == {"a": 1, "b": 0.5}


def test_a_score_at_the_cut_is_selected_and_undeclared_or_unscored_people_take_no_part():
    scores = pd.Series([0.5, 0.5, 0.5, np.nan])
    found = impact_ratio(scores, pd.Series(["a", "b", None, "b"]), cut=0.5)
    assert found.to_dict() == {"a": 1, "b": 1}


def test_impact_ratios_equal_fairlearn():
    table = applicants()
    found = impact_ratio(table["score"] / 100, table["sex"], cut=0.55).min()
    expected = demographic_parity_ratio(
        table["selected"], table["selected"], sensitive_features=table["sex"]
    )
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("by", [["sex"], ["race"], ["sex", "race"]])
def test_selection_tables_equal_aedt_audit(by):
    table = applicants()
    table.loc[::50, by[0]] = None
    groups = table["sex"] if by == ["sex"] else table["race"]
    if len(by) == 2:
        groups = intersection(table["sex"], table["race"])
    ours = impact_table(table["selected"], groups)
    theirs = aedt_audit.four_fifths(aedt_audit.selection_rates(table, by=by, outcome="selected"))
    theirs = theirs[~theirs["excluded"] & ~theirs[by].eq("unknown").any(axis=1)]
    ours = ours[ours["impact_ratio"].notna()]
    assert len(ours) == len(theirs) > 1
    for name in ("n", "selected", "rate", "share", "impact_ratio"):
        assert ours[name].to_numpy(float) == pytest.approx(theirs[name].to_numpy(float))


def test_scoring_tables_equal_aedt_audit():
    table = applicants()
    ours = impact_table(above_median(table["score"]), table["sex"])
    theirs = aedt_audit.impact_ratios(aedt_audit.scoring_rates(table, by=["sex"], score="score"))
    assert ours["impact_ratio"].to_numpy(float) == pytest.approx(theirs["impact_ratio"].to_numpy())


def test_a_score_that_ties_with_the_median_is_not_above_it_and_is_disclosed():
    scores = pd.Series([1, 5, 5, 5, 9])
    assert above_median(scores).to_list() == [False, False, False, False, True]
    assert median_ties(scores) == 3


def test_the_published_four_fifths_example_is_flagged():
    # 48 of 80 and 12 of 40, the worked example of the Uniform Guidelines' Q&A 11
    table = impact_table(*pool(white=(48, 80), black=(12, 40)))
    assert table.loc["black", "impact_ratio"] == pytest.approx(0.5)
    assert table.loc["black", "below_four_fifths"]
    assert not table.loc["white", "below_four_fifths"]
    [sentence] = four_fifths_flags(table)
    assert sentence.startswith("black: impact ratio 0.50 [0.30, 0.83]")


def test_the_ratio_interval_by_hand():
    table = impact_table(*pool(a=(50, 100), b=(25, 100)))
    error = np.sqrt(0.5 / 50 + 0.75 / 25)
    expected = (0.5 * np.exp(-1.959964 * error), 0.5 * np.exp(1.959964 * error))
    assert tuple(table.loc["b", ["ratio_low", "ratio_high"]]) == pytest.approx(expected)


def test_large_groups_are_compared_by_the_pooled_z_of_statsmodels():
    row = impact_table(*pool(a=(50, 100), b=(30, 90))).loc["b"]
    z, p = proportions_ztest([30, 50], [90, 100])
    assert (row["statistic"], row["p"], row["test"]) == (
        pytest.approx(z),
        pytest.approx(p),
        "pooled z",
    )


def test_small_groups_are_compared_by_fishers_exact_test():
    row = impact_table(*pool(a=(8, 10), b=(1, 6))).loc["b"]
    assert row["test"] == "Fisher"
    assert row["p"] == pytest.approx(stats.fisher_exact([[1, 5], [8, 2]])[1])


def test_the_shortfall_is_what_equal_rates_would_have_selected_more():
    # 60 of 200 chosen: 30 expected of each hundred, 20 were chosen
    assert impact_table(*pool(a=(40, 100), b=(20, 100))).loc["b", "shortfall"] == pytest.approx(10)


def test_undeclared_and_tiny_groups_are_counted_but_have_no_ratio_and_set_no_rate():
    selected, groups = pool(a=(50, 100), b=(40, 100), tiny=(2, 2), x=(9, 10))
    table = impact_table(selected, groups.where(groups != "x"))
    assert table.loc["tiny", ["n", "rate"]].to_list() == [2, 1]
    assert table.loc["unknown", "n"] == 10
    assert table.loc[["tiny", "unknown"], "impact_ratio"].isna().all()
    assert table.loc["a", "impact_ratio"] == 1
    assert four_fifths_flags(table) == []


def test_a_group_of_whom_nobody_is_selected_has_ratio_zero_and_no_interval():
    row = impact_table(*pool(a=(50, 100), b=(0, 100))).loc["b"]
    assert row["impact_ratio"] == 0
    assert np.isnan(row["ratio_low"])
    assert row["below_four_fifths"]


def test_common_odds_over_departments_equal_rs_mantelhaen_test_on_the_berkeley_admissions():
    # R: mantelhaen.test(UCBAdmissions): X² = 1.4269, p = 0.2323, odds ratio 0.9046968
    admitted = {"m": (512, 353, 120, 138, 53, 22), "f": (89, 17, 202, 131, 94, 24)}
    rejected = {"m": (313, 207, 205, 279, 138, 351), "f": (19, 8, 391, 244, 299, 317)}
    rows = [
        (outcome, sex == "m", department)
        for outcome, counts in ((True, admitted), (False, rejected))
        for sex in "mf"
        for department, n in enumerate(counts[sex])
        for _ in range(n)
    ]
    found = common_odds(*zip(*rows, strict=True))
    assert found.odds_ratio == pytest.approx(0.9046968)
    assert found.chi2 == pytest.approx(1.4269, abs=5e-5)
    assert found.p == pytest.approx(0.2323, abs=5e-5)
    assert found.strata == 6


def test_who_declared_no_group_takes_no_part_in_the_common_odds():
    selected = [True, False, True, True] * 5
    focal = [True, True, False, False] * 5
    place = ["a"] * 20
    known = common_odds(selected, focal, place)
    for unknown in (np.nan, None):
        more = common_odds([*selected, True, True], [*focal, unknown, unknown], [*place, "a", "a"])
        assert more == known
    with pytest.raises(UndefinedMetric, match="an outcome for everyone"):
        common_odds([*selected, None], [*focal, True], [*place, "a"])


def test_the_standardised_difference_by_hand():
    # variances 1 and 1, means 3 and 2
    assert smd([2, 3, 4], [1, 2, 3, np.nan]) == 1


def test_the_gap_of_a_composite_is_that_of_the_weighted_sum():
    random = np.random.default_rng(1)
    correlations = np.array([[1, 0.3], [0.3, 1]])
    x = random.multivariate_normal([0, 0], correlations, 200_000)
    focal = np.arange(len(x)) % 2 == 0
    x[~focal] += [0.2, 0.8]
    found = composite_gap([1, 2], [0.2, 0.8], correlations)
    assert found == pytest.approx(smd(x[~focal] @ [1, 2], x[focal] @ [1, 2]), abs=0.02)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: impact_ratio(pd.Series([0.1, 0.2]), pd.Series(["a", "b"]), cut=0.5),
            "nobody reaches 0.5",
        ),
        (lambda: impact_table(*pool(a=(0, 10), b=(0, 10))), "someone selected"),
        (lambda: impact_table(pd.Series([True, None]), pd.Series(["a", "b"])), "1 of 2 people"),
        (lambda: above_median(pd.Series([1.0, np.nan])), "a score for everyone"),
        (lambda: common_odds([True, False], [True, True], [0, 0]), "No stratum"),
        (lambda: top_half([0, 1], [1, 2], [1, 0], [0, 1]), "retained high performer"),
        (lambda: smd([1], [1, 2]), "two people in each group, got 1 and 2"),
        (lambda: smd([1, 1], [2, 2]), "vary within a group"),
        (lambda: composite_gap([0], [1], [[1]]), "other than 0"),
    ],
)
def test_a_fairness_measure_without_a_value_says_why(call, says):
    with pytest.raises(UndefinedMetric, match=says):
        call()


def test_selecting_the_top_half_by_hand():
    # places for two of four: the first (high, retained, focal) and second (high) are taken
    found = top_half([1, 1, 0, 1], [9, 8, 7, 6], [1, 0, 1, 1], [1, 0, 1, 0])
    assert found.high_performers == pytest.approx(2 / 3)
    assert found.retained == pytest.approx(1 / 3)
    assert found.both == pytest.approx(1 / 2)
    assert found.ratio == 1
    assert found.score == pytest.approx(25 * 2 / 3 + 25 / 3 + 50 / 2)


def test_people_who_tie_at_the_cut_share_its_places_whatever_their_order():
    found = top_half([1, 0, 1, 0], [5, 5, 5, 5], [1, 1, 1, 1], [0, 1, 0, 1])
    assert (found.high_performers, found.retained, found.ratio) == (0.5, 0.5, 1)
    assert found.score == 50


def test_a_ratio_of_half_costs_fifty_points():
    found = top_half([1, 1, 0, 0, 1, 0], [6, 5, 4, 3, 2, 1], [1] * 6, [0, 0, 1, 1, 0, 1])
    assert found.ratio == pytest.approx(0.5)
    assert found.score == pytest.approx(found.accuracy - 50)
