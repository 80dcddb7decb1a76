import numpy as np
import pandas as pd
import pytest

from evaluation import agreement
from evaluation.calibration import conformal_half_width
from evaluation.card import Calibration, Metric
from evaluation.rows import ALL_SCORES, SCORE_BAND, Intervals, calibrated, filled, impact_rows


def predictions(people: int = 60, answers: int = 2) -> pd.DataFrame:
    random = np.random.default_rng(3)
    n = people * answers
    rating = random.uniform(20, 90, n)
    return pd.DataFrame(
        {
            "person": [f"p{i // answers}" for i in range(n)],
            "item": [f"i{i}" for i in range(n)],
            "target": "fluency",
            "rating": rating,
            "score": rating + random.normal(0, 10, n) - 5,
            "words": random.integers(20, 200, n),
            "adult": np.where(np.arange(n) // answers % 3 == 0, "no", "yes"),
            "baseline_mean": rating.mean() + random.normal(0, 1, n),
            "rater_a": rating + random.normal(0, 5, n),
            "rater_b": rating + random.normal(0, 5, n),
        }
    )


def row(kind: str, **more: object) -> Metric:
    return Metric.model_validate({"type": kind, "target": "fluency", **more})


def test_each_type_is_the_formula_of_its_name() -> None:
    table = predictions()
    rating, score = table["rating"], table["score"]
    expected = {
        "pearson": agreement.pearson(rating, score),
        "spearman": agreement.spearman(rating, score),
        "mae": float(np.abs(rating - score).mean()),
        "bias": float((score - rating).mean()),
        "qwk": agreement.qwk(rating / 10, score / 10, low=0, high=10),
        "partial_pearson": agreement.partial_pearson(rating, score, np.log(table["words"])),
    }
    for kind, value in expected.items():
        found = filled(row(kind), table)
        assert found.value == pytest.approx(value), kind
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high, kind


def test_n_counts_what_was_resampled() -> None:
    table = predictions(60, answers=2)
    assert filled(row("pearson"), table).n == 60
    assert filled(row("pearson", unit="item"), table).n == 120
    assert filled(row("pearson", slice={"adult": "no"}), table).n == 20


def test_a_row_without_a_score_takes_no_part() -> None:
    table = predictions(60, answers=1)
    table.loc[:9, "score"] = np.nan
    assert filled(row("mae"), table).n == 50


def test_baseline_and_ceiling_are_the_same_metric_of_other_columns() -> None:
    table = predictions()
    found = filled(row("mae", baseline={"mean": None}), table)
    assert found.baseline["mean"] == pytest.approx(
        np.abs(table["rating"] - table["baseline_mean"]).mean()
    )
    between = float(np.abs(table["rater_a"] - table["rater_b"]).mean())
    assert found.human_ceiling == pytest.approx(between)


def test_a_metric_without_a_value_says_why() -> None:
    found = filled(row("pearson", note="one rater"), predictions().assign(score=50.0))
    assert found.value is None
    assert found.note.startswith("one rater; A correlation needs scores that vary")


def test_a_row_of_a_column_that_is_not_there_raises() -> None:
    with pytest.raises(KeyError):
        filled(row("pearson", slice={"dialect": "yue"}), predictions())


def test_half_widths_are_of_their_slice_and_coverage_is_of_the_widest() -> None:
    table = predictions()
    adults = table[table["adult"] == "yes"]
    stated = Calibration(
        method="residual quantile",
        level=0.9,
        half_width=(row("half_width", slice={"adult": "yes"}),),
        coverage=(row("coverage"), row("coverage", slice={"adult": "yes"})),
    )
    found = calibrated(table, stated)
    exact = conformal_half_width(
        adults["rating"], adults["score"], by=adults["person"].to_numpy(), coverage=0.9
    )
    width = Intervals.of(found).width("fluency", ALL_SCORES)
    assert exact <= width < exact + 0.01
    everybody, grown = found.coverage
    without = Intervals.of(found, table).without
    assert {person for *_, person in without} == set(adults["person"])
    keys = [("fluency", ALL_SCORES, person) for person in table["person"]]
    served = np.array([without.get(key, width) for key in keys])
    inside = (table["rating"] - table["score"]).abs() <= served
    assert everybody.value == pytest.approx(inside.mean())
    assert grown.low <= grown.value <= grown.high
    assert grown.value == pytest.approx(0.91, abs=0.03)


def test_a_band_of_scores_has_its_own_width_and_serves_the_scores_inside_it() -> None:
    """Twelve people below 50 are off by twelve at most, twelve above by four; two between."""
    low = [(f"l{i}", 30.0 + i, i + 1.0, "low") for i in range(12)]
    middle = [(f"m{i}", 60.0 + i, 2.0, "middle") for i in range(2)]
    high = [(f"h{i}", 80.0 + i, (i + 1) / 3, "high") for i in range(12)]
    table = pd.DataFrame(
        {"person": person, "item": person, "target": "fluency", SCORE_BAND: band}
        | {"score": score, "rating": score + off}
        for person, score, off, band in (*low, *middle, *high)
    )
    slices = ({}, *({SCORE_BAND: band} for band in ("low", "middle", "high")))
    widths = tuple(row("half_width", slice=wanted) for wanted in slices)
    covered = tuple(row("coverage", slice=wanted) for wanted in slices)
    stated = Calibration(method="any", level=0.9, half_width=widths, coverage=covered)
    found = calibrated(table, stated)
    everybody, of_low, of_middle, of_high = (width.value for width in found.half_width)
    assert (everybody, of_low, of_middle, of_high) == (11, 12, None, 4)
    target = Intervals.of(found).target("fluency", table)
    assert [(band.up_to, band.half_width) for band in target.bands] == [(41, 12), (61, 11)]
    assert [target.half_width_at(score) for score in (10, 41, 41.5, 61, 62, 100)] == [
        *(12, 12, 11, 11, 4, 4)
    ]
    assert [row.n for row in found.coverage] == [26, 12, 2, 12]
    assert found.coverage[1].value == pytest.approx(11 / 12)  # but l11, by the others' eleven


def test_scores_in_answers_and_pairs_of_raters_have_rows_of_their_own() -> None:
    table = predictions()
    table["score_in_answer"] = table["rating"] + 5
    table.loc[0, "score_in_answer"] = np.nan
    bias, perfect = (filled(row(f"{kind}_in_answer"), table) for kind in ("bias", "pearson"))
    assert (bias.value, bias.low, bias.high) == (5, 5, 5)
    assert bias.n == table.loc[1:, "person"].nunique()
    assert perfect.value == pytest.approx(1)
    table["score_band_in_answer"] = "high"
    served = Intervals(0.9, {("fluency", "high"): 5.01})
    assert filled(row("coverage_in_answer"), table, served).value == 1
    narrower = Intervals(0.9, {("fluency", "high"): 4.99})
    assert filled(row("coverage_in_answer"), table, narrower).value == 0
    pairs = filled(row("pearson_of_two_raters"), table)
    assert pairs.value == pytest.approx(agreement.pearson(table["rater_a"], table["rater_b"]))
    assert pairs.low <= pairs.value <= pairs.high


def test_impact_rows_by_hand() -> None:
    table = pd.DataFrame(
        {
            "target": "total",
            "score": [4.0, 3, 2, 1, 8, 7, 6, 5],
            "group": ["a"] * 4 + ["b"] * 4,
        }
    )
    rows = {found.group: found for found in impact_rows(table, "total", "group")}
    assert (rows["a"].selected, rows["b"].selected) == (0, 4)
    assert rows["a"].ratio == 0
    table["score"] = [1.0, 9, 8, 2, 3, 7, 6, 5]
    rows = {found.group: found for found in impact_rows(table, "total", "group")}
    assert (rows["a"].selected, rows["b"].selected) == (2, 2)


def test_coverage_is_judged_by_the_width_that_the_others_set() -> None:
    """Nine people are off by up to nine points and one by a hundred."""
    off = [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 100]
    table = pd.DataFrame(
        {
            "person": [f"p{i}" for i in range(10)],
            "item": [f"i{i}" for i in range(10)],
            "target": "fluency",
            "rating": 0.0,
            "score": off,
        }
    )
    widths = (row("half_width"),)
    section = Calibration(method="any", level=0.9, half_width=widths, coverage=(row("coverage"),))
    found = calibrated(table, section)
    assert found.half_width[0].value == 100  # the whole table's own width covers everybody
    assert found.coverage[0].value == pytest.approx(0.9)  # but p9, by the others' width of nine
    without = Intervals.of(found, table).without
    assert without["fluency", ALL_SCORES, "p9"] == 9
    assert without["fluency", ALL_SCORES, "p0"] == 100
