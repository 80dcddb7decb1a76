"""Rows of a card's tables as functions of its held-out predictions.

A recipe says which rows its card has (type, target, slice, unit, names of baselines) and
`filled` gives them their numbers; an auditor clears the numbers of a published card and
lets them be filled again. `predictions` is always the table of predictions.csv: one row a
response and target with person, item, target, rating and score in points of 100, then
slices, lengths, `baseline_…` of simpler predictors and `expert_…` or `rater_…` of people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.contract import Band, Target, UndefinedMetric
from evaluation import agreement, calibration, reliability
from evaluation.agreement import Estimate
from evaluation.card import Calibration, Card, Impact, Metric
from evaluation.fairness import impact_table
from evaluation.validity import predictive_bias

REPEATS = 400
"""Bootstrap draws: an end of a 95 % interval moves by less than .002."""

PLACES = 4
"""Of numbers in predictions.csv: cards are computed from what is written there."""

RATERS = ("expert_", "rater_")
"""How columns with one rater's ratings begin."""

ABOVE_MEDIAN = "score above the median of all"
"""Selection rule of impact tables that `impact_rows` makes."""


@dataclass(frozen=True)
class Intervals:
    """What served intervals claim: share covered, and half widths in points.

    half_width : (target, band of scores) → half width; the band is ALL_SCORES where there
        is but one
    without : (target, band, person) → the half width that the others set, which is what
        that person would have been served with
    """

    level: float = math.nan
    half_width: Mapping[tuple[str, str], float] = field(default_factory=dict)
    without: Mapping[tuple[str, str, str], float] = field(default_factory=dict)

    @classmethod
    def of(cls, calibration: Calibration, predictions: pd.DataFrame | None = None) -> Intervals:
        """A target, or a band of its scores, has the widest of its rows of type `half_width`.

        predictions : that they come from, where each person is to be left out in turn
        """
        if isinstance(calibration.level, str) or isinstance(calibration.half_width, str):
            return cls()
        widest: dict[tuple[str, str], float] = {}
        for row in calibration.half_width:
            if row.value is not None:
                widest[_key(row)] = max(widest.get(_key(row), 0.0), row.value)
        without: dict[tuple[str, str, str], float] = {}
        for row in calibration.half_width:
            if predictions is not None and row.unit == "person":
                without |= _without_each(predictions, row, calibration.level)
        return cls(calibration.level, widest, without)

    def width(self, target: str, band: str, person: str = "") -> float:
        """The half width that others than the person set, where that is known.

        Raises UndefinedMetric where too few people show how wide it must be.
        """
        for scores in (band, ALL_SCORES):
            served = self.half_width.get((target, scores))
            if (found := self.without.get((target, scores, person), served)) is not None:
                return found
        raise UndefinedMetric(
            f"The half width of {' '.join(filter(None, (target, band)))} has no value: too few "
            f"people were held out for {self.level:.0%} coverage. Rate more people."
        )

    def target(self, name: str, predictions: pd.DataFrame) -> Target:
        """What a version serves: half widths, by band where the bands have their own.

        Raises UndefinedMetric where too few people show how wide one must be.
        """
        if not any(target == name and band for target, band in self.half_width):
            return Target(name=name, half_width=self.width(name, ALL_SCORES))
        rows = predictions[predictions["target"] == name]
        edges = rows.groupby(SCORE_BAND)["score"].max().sort_values()
        *lower, top = (Band(up_to=e, half_width=self.width(name, str(b))) for b, e in edges.items())
        return Target(name=name, half_width=top.half_width, bands=tuple(lower))


SCORE_BAND = "score_band"
"""Column of predictions and field of a row's slice, where scores err by how high they are."""

ALL_SCORES = ""


def _key(row: Metric) -> tuple[str, str]:
    return row.target, row.slice.get(SCORE_BAND, ALL_SCORES)


NO_NUMBERS: Mapping[str, Any] = {
    **dict.fromkeys(("value", "low", "high", "human_ceiling")),
    "baseline": {},
}
"""What a row stated before counts for nothing: no number is compared with itself."""


def filled(row: Metric, predictions: pd.DataFrame, intervals: Intervals | None = None) -> Metric:
    """The row with value, interval, n, baselines and human ceiling from the predictions alone.

    What has no value is None, and the note says why.
    intervals : needed by rows of types `coverage…` and `half_width`
    Raises KeyError where a column that the row needs is absent.
    """
    chosen = _chosen(predictions, row)
    known = chosen[chosen[["rating", "score"]].notna().all(axis=1)]
    numbers: dict[str, Any] = {**NO_NUMBERS, "n": known[row.unit].nunique()}
    try:
        numbers |= FORMULAS[row.type](known, row, intervals or Intervals())
    except UndefinedMetric as reason:
        numbers["note"] = "; ".join(filter(None, (row.note, str(reason))))
    if metric := PAIRS.get(row.type):
        numbers["baseline"] = {
            name: _or_none(metric, known["rating"], known[f"baseline_{name}"])
            for name in row.baseline
        }
        raters = _raters(known)
        numbers["human_ceiling"] = _or_none(agreement.one_rater, metric, raters)
    return row.model_copy(update=numbers)


def calibrated(predictions: pd.DataFrame, stated: Calibration) -> Calibration:
    """The section with its half widths, and then what they cover, from the predictions.

    stated : method, level, and the rows without numbers
    """

    def numbered(rows: tuple[Metric, ...] | str, intervals: Intervals) -> tuple[Metric, ...] | str:
        if isinstance(rows, str):
            return rows
        return tuple(filled(row, predictions, intervals) for row in rows)

    widths = numbered(stated.half_width, Intervals.of(stated))
    wide = stated.model_copy(update={"half_width": widths})
    covered = numbered(stated.coverage, Intervals.of(wide, predictions))
    return wide.model_copy(update={"coverage": covered})


def impact_rows(predictions: pd.DataFrame, target: str, column: str) -> tuple[Impact, ...]:
    """Who would be selected above the median of a target's scores, by the groups of a column."""
    rows = predictions[predictions["target"] == target].reset_index(drop=True)
    groups = rows[column].where(rows[column] != "")
    table = impact_table(rows["score"] > rows["score"].median(), groups)
    return tuple(_impact(target, column, str(group), row) for group, row in table.iterrows())


def _impact(target: str, column: str, group: str, row: pd.Series) -> Impact:
    ratio, low, high = (
        float(row[name]) if pd.notna(row[name]) else None
        for name in ("impact_ratio", "ratio_low", "ratio_high")
    )
    return Impact(
        target=target,
        column=column,
        group=group,
        n=int(row["n"]),
        selected=int(row["selected"]),
        rate=float(row["rate"]),
        ratio=ratio,
        low=low,
        high=high,
        cut=ABOVE_MEDIAN,
        note="" if ratio is not None else "counted; has no ratio (not declared, or under 2 %)",
    )


def tables(card: Card) -> list[Metric]:
    """Every row of the card's tables of metrics."""
    metrics, calibrated = card.metrics, card.calibration
    found = (
        *(metrics.rows, metrics.length_adjusted, metrics.by_codec, metrics.by_snr),
        *(card.reliability, card.criterion_validity),
        *(calibrated.half_width, calibrated.coverage),
    )
    return [row for table in found if isinstance(table, tuple) for row in table]


# --- formulas: (rows, the card's row, intervals) → what `filled` updates ----------------


def _bootstrapped(rows: pd.DataFrame, row: Metric, _: Intervals) -> dict[str, Any]:
    return _numbers(_interval(PAIRS[row.type], rows, row))


def _in_answer(rows: pd.DataFrame, row: Metric, _: Intervals) -> dict[str, Any]:
    """Of the score that the response had between others of the same person."""
    beside = rows.assign(score=rows["score_in_answer"]).dropna(subset=["score"])
    metric = IN_ANSWER[row.type]
    return {**_numbers(_interval(metric, beside, row)), "n": beside[row.unit].nunique()}


def _length_held_fixed(rows: pd.DataFrame, row: Metric, _: Intervals) -> dict[str, Any]:
    log_length = np.log(rows[LENGTHS[row.type]].to_numpy(float).clip(min=1))
    return _numbers(_interval(agreement.partial_pearson, rows, row, log_length))


def _coverage(rows: pd.DataFrame, row: Metric, intervals: Intervals) -> dict[str, Any]:
    by, score = rows[row.unit].to_numpy(str), rows["score"]
    bands = rows[SCORE_BAND].to_numpy(str) if SCORE_BAND in rows else [ALL_SCORES] * len(rows)
    pairs = zip(bands, by, strict=True)
    width = np.array([intervals.width(row.target, band, person) for band, person in pairs])
    found = calibration.coverage(
        rows["rating"], score - width, score + width, by=by, repeats=REPEATS
    )
    return _numbers(found)


def _coverage_in_answer(rows: pd.DataFrame, row: Metric, intervals: Intervals) -> dict[str, Any]:
    """As `coverage`, of the score that the response had between others of the same person."""
    beside = rows.assign(score=rows["score_in_answer"], score_band=rows["score_band_in_answer"])
    beside = beside.dropna(subset=["score"])
    return {**_coverage(beside, row, intervals), "n": beside[row.unit].nunique()}


def _half_width(rows: pd.DataFrame, row: Metric, intervals: Intervals) -> dict[str, Any]:
    """Rounded up to a hundredth of a point, so that no residual lies on the edge."""
    by, level = rows[row.unit].to_numpy(str), intervals.level
    return {"value": _rounded_half_width(rows, by, level)}


def _rounded_half_width(rows: pd.DataFrame, by: npt.NDArray[np.str_], level: float) -> float:
    width = calibration.conformal_half_width(rows["rating"], rows["score"], by=by, coverage=level)
    return math.ceil(width * 100) / 100


def _without_each(
    predictions: pd.DataFrame, row: Metric, level: float
) -> dict[tuple[str, str, str], float]:
    """(target, band, person) → the half width of the row without that person, where it has one."""
    rows = _chosen(predictions, row).dropna(subset=["rating", "score"])
    by = rows[row.unit].to_numpy(str)
    found = {}
    for one in np.unique(by):
        others = by != one
        with suppress(UndefinedMetric):
            found[*_key(row), str(one)] = _rounded_half_width(rows[others], by[others], level)
    return found


def _icc(rows: pd.DataFrame, row: Metric, _: Intervals) -> dict[str, Any]:
    found = reliability.icc(_raters(rows))
    estimate = found.single if row.type == "icc_2_1" else found.average
    return {**_numbers(estimate), "n": estimate.n}


def _two_raters(rows: pd.DataFrame, row: Metric, _: Intervals) -> dict[str, Any]:
    def of_pairs(chosen: npt.ArrayLike, _: npt.ArrayLike) -> float:
        return agreement.two_raters(agreement.pearson, raters[np.asarray(chosen, int)])

    raters = _raters(rows).to_numpy(float)
    places = np.arange(len(rows))
    by = rows[row.unit].to_numpy(str)
    return _numbers(agreement.interval(of_pairs, places, places, by=by, repeats=REPEATS))


def _one_rater(rows: pd.DataFrame, row: Metric, _: Intervals) -> dict[str, Any]:
    return {"value": reliability.one_rater_reliability(_raters(rows))}


def _cleary(rows: pd.DataFrame, row: Metric, _: Intervals) -> dict[str, Any]:
    """The group term of Cleary's regression, in points of 100 at score 0."""
    declared = rows[rows["group"].isin(["focal", "others"])]
    terms = predictive_bias(declared["rating"], declared["score"], declared["group"] == "focal")
    value, low, high = terms.loc["focal", ["coefficient", "low", "high"]].to_numpy(float)
    numbers = {"value": float(value), "low": float(low), "high": float(high)}
    return {**numbers, "n": declared[row.unit].nunique()}


Formula = Callable[[pd.DataFrame, Metric, Intervals], dict[str, Any]]

PAIRS: Mapping[str, Callable[..., float]] = {
    "pearson": agreement.pearson,
    "spearman": agreement.spearman,
    "mae": agreement.mae,
    "bias": agreement.bias,
    "qwk": agreement.qwk_of_ten,
}
"""Metrics of rating and score alone: they have baselines and a human ceiling."""

IN_ANSWER: Mapping[str, Callable[..., float]] = {
    "pearson_in_answer": agreement.pearson,
    "bias_in_answer": agreement.bias,
}
"""Metrics of `score_in_answer`."""

LENGTHS = {"partial_pearson": "words", "partial_pearson_seconds": "seconds"}
"""Column whose logarithm is held fixed."""

FORMULAS: Mapping[str, Formula] = {
    **dict.fromkeys(PAIRS, _bootstrapped),
    **dict.fromkeys(IN_ANSWER, _in_answer),
    **dict.fromkeys(LENGTHS, _length_held_fixed),
    "coverage": _coverage,
    "coverage_in_answer": _coverage_in_answer,
    "half_width": _half_width,
    "icc_2_1": _icc,
    "icc_2_k": _icc,
    "one_rater_reliability": _one_rater,
    "pearson_of_two_raters": _two_raters,
    "cleary_group_term": _cleary,
}
"""Types of rows that are functions of the predictions."""


def _chosen(predictions: pd.DataFrame, row: Metric) -> pd.DataFrame:
    keep = predictions["target"] == row.target
    for column, value in row.slice.items():
        keep &= predictions[column].astype(str) == value
    return predictions[keep]


def _interval(
    metric: Callable[..., float], rows: pd.DataFrame, row: Metric, *more: np.ndarray
) -> Estimate:
    by = rows[row.unit].to_numpy(str)
    return agreement.interval(metric, rows["rating"], rows["score"], *more, by=by, repeats=REPEATS)


def _numbers(found: Estimate) -> dict[str, Any]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _raters(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[[column for column in map(str, rows) if column.startswith(RATERS)]]


def _or_none(metric: Callable[..., float], *arguments: Any) -> float | None:
    try:
        return metric(*arguments)
    except UndefinedMetric:
        return None
