"""A version's folder checked against itself: its card, computed again from its predictions.

Needs card.json and predictions.csv and nothing of what made them, so an auditor needs
neither the model nor the libraries it was trained with. What a card says beside its tables
(prose, counts of people, abstentions) is not a function of the predictions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from data.contract import (
    EXPRESSION_MEASURES,
    Band,
    ContractMismatch,
    Record,
    Target,
    UndefinedMetric,
    Widening,
)
from data.registry import MANIFEST, PREDICTIONS, ROBUSTNESS, STABILITY, read_manifest
from evaluation.card import Drift, Impact, Metric, Robustness, read_card
from evaluation.robustness import changes, widenings
from evaluation.rows import ABOVE_MEDIAN, FORMULAS, Intervals, filled, impact_rows, tables
from evaluation.stability import drifts

TOLERANCE = 0.0006
"""Another library or processor moves no number by more."""

METRIC_FIELDS = ("value", "low", "high", "n", "human_ceiling", "baseline")
ROBUSTNESS_FIELDS = ("n", "abstained", "mean", "median", "p95")
DRIFT_FIELDS = ("n", "lost", "mean", "worst", "of_range")
IMPACT_FIELDS = ("n", "selected", "rate", "ratio", "low", "high")


@dataclass(frozen=True)
class Checked:
    """One row of the card beside its numbers computed again.

    name, target, where : what the row is of
    stated, recomputed : field -> number; recomputed is None where the row is not a
        function of the predictions
    """

    name: str
    target: str
    where: dict[str, str]
    stated: dict[str, float | None] = field(default_factory=dict)
    recomputed: dict[str, float | None] | None = None

    @property
    def differences(self) -> list[str]:
        """Fields in which the card states what the predictions do not show."""
        if self.recomputed is None:
            return []
        names = [*self.stated, *(name for name in self.recomputed if name not in self.stated)]
        return [
            name for name in names if not _same(self.stated.get(name), self.recomputed.get(name))
        ]


def check(folder: Path) -> list[Checked]:
    """Every row of the tables of the card in a version's folder, and what is served of it.

    Raises ContractMismatch when the card or a table it states rows of is absent or unreadable.
    """
    predicted = ("person", "item", "target", "rating", "score")
    card, predictions = read_card(folder), _table(folder / PREDICTIONS, predicted)
    rows = tables(card)
    intervals = Intervals.of(card.calibration, predictions)
    found = [_checked(row, predictions, intervals) for row in rows]
    impact = card.impact if isinstance(card.impact, tuple) else ()
    found += _checked_impact(impact, predictions)
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    if manifest:
        for target in manifest.targets:
            found += _checked_target(target, intervals, predictions)
    if isinstance(card.robustness, tuple) and card.robustness:
        worse = _table(folder / ROBUSTNESS, ("person", "item", "target", "condition"))
        found += _checked_robustness(card.robustness, worse)
        found += _checked_widenings(manifest.widenings if manifest else (), worse, intervals.level)
    if isinstance(card.stability, tuple) and card.stability:
        filmed = _table(folder / STABILITY, ("recording", "change", "measure", "value"))
        found += _checked_stability(card.stability, filmed)
    return found


def _checked_target(
    stated: Target, intervals: Intervals, predictions: pd.DataFrame
) -> Iterator[Checked]:
    """Half widths that are served, of each band of scores."""
    try:
        again = _widths(intervals.target(stated.name, predictions))
    except (UndefinedMetric, KeyError):  # nothing shows them
        again = {}
    for (up_to,), shown, recomputed in _beside(_widths(stated), again, ("half_width",)):
        where = {"score": f"at most {up_to:g}"} if math.isfinite(up_to) else {}
        yield Checked(f"half width in {MANIFEST}", stated.name, where, shown, recomputed)


def _widths(target: Target) -> dict[tuple[float], Band | Target]:
    """(upper edge,) → what has the half width of the scores below it."""
    return {**{(band.up_to,): band for band in target.bands}, (math.inf,): target}


def _checked_robustness(stated: tuple[Robustness, ...], worse: pd.DataFrame) -> Iterator[Checked]:
    rows = {(row.condition, row.target): row for row in stated}
    again = {(row.condition, row.target): row for row in changes(worse)}
    for (condition, target), shown, recomputed in _beside(rows, again, ROBUSTNESS_FIELDS):
        yield Checked("change", target, {"condition": condition}, shown, recomputed)


def _checked_stability(stated: tuple[Drift, ...], table: pd.DataFrame) -> Iterator[Checked]:
    rows = {(row.change, row.measure): row for row in stated}
    again = {(row.change, row.measure): row for row in drifts(table, EXPRESSION_MEASURES)}
    for (change, measure), shown, recomputed in _beside(rows, again, DRIFT_FIELDS):
        yield Checked("drift", measure, {"change": change}, shown, recomputed)


def _checked_widenings(
    stated: tuple[Widening, ...], worse: pd.DataFrame, level: float
) -> Iterator[Checked]:
    found = widenings(worse, level=level) if math.isfinite(level) else ()
    rows = {(row.measure, row.below): row for row in stated}
    again = {(row.measure, row.below): row for row in found}
    for (measure, below), shown, recomputed in _beside(rows, again, ("factor",)):
        where = {str(measure): f"below {below:g}"}
        yield Checked(f"widening in {MANIFEST}", "all", where, shown, recomputed)


Key = TypeVar("Key", bound=tuple[Any, ...])


def _beside(
    stated: Mapping[Key, Record], again: Mapping[Key, Record], names: tuple[str, ...]
) -> Iterator[tuple[Key, dict[str, float | None], dict[str, float | None]]]:
    """Key, stated and recomputed numbers of every row that either table has."""
    for key in dict.fromkeys([*stated, *again]):
        shown, recomputed = (
            _numbers(table[key], names) if key in table else {} for table in (stated, again)
        )
        yield key, shown, recomputed


def _checked(row: Metric, predictions: pd.DataFrame, intervals: Intervals) -> Checked:
    if row.type not in FORMULAS:
        return Checked(row.type, row.target, row.slice, _numbers(row, METRIC_FIELDS))
    try:
        again = filled(row, predictions, intervals)
    except KeyError:  # a column that the row needs is gone, so nothing shows it
        again = Metric(type=row.type, target=row.target)
    stated, recomputed = (_numbers(one, METRIC_FIELDS) for one in (row, again))
    return Checked(row.type, row.target, row.slice, stated, recomputed)


def _checked_impact(stated: tuple[Impact, ...], predictions: pd.DataFrame) -> Iterator[Checked]:
    """Rows of every table that the card states, those it leaves out included."""
    rows = {(row.target, row.column, row.group): row for row in stated}
    again: dict[tuple[str, str, str], Impact] = {}
    for target, column in dict.fromkeys((row.target, row.column) for row in stated):
        if column in predictions:
            found = impact_rows(predictions, target, column)
            again |= {(target, column, row.group): row for row in found}
    for key, shown, recomputed in _beside(rows, again, IMPACT_FIELDS):
        target, column, group = key
        follows = key not in rows or rows[key].cut == ABOVE_MEDIAN
        yield Checked("impact", target, {column: group}, shown, recomputed if follows else None)


def _numbers(row: Record, names: tuple[str, ...]) -> dict[str, float | None]:
    """Field -> number; `baseline tfidf` for each of the baselines."""
    found: dict[str, float | None] = {}
    for name in names:
        value: Any = getattr(row, name)
        if isinstance(value, dict):
            found |= {f"{name} {key}": number for key, number in value.items()}
        else:
            found[name] = value
    return found


def _same(stated: float | None, recomputed: float | None) -> bool:
    if stated is None or recomputed is None:
        return stated is recomputed
    return abs(stated - recomputed) <= TOLERANCE


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"person": str, "item": str, "target": str})
    except (OSError, ValueError) as error:
        raise ContractMismatch(f"{path} cannot be read as a table: {error}") from error
    if absent := set(columns) - set(table.columns):
        raise ContractMismatch(f"{path} has no column {', '.join(sorted(absent))}")
    return table
