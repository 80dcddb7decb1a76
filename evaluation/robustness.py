"""How far scores move when the same answer is recorded worse, and how much wider that makes them.

The table has one row an answer, condition and target: person, item, condition, target,
rating, plain (the score of the recording as it is), score (missing where the part
abstains), reason (its code), and what was measured of the signal (snr_db, bandwidth_hz) and
how like the speech it learned from the version found it (familiarity).
The condition `plain` is the recording as it is.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd

from data.contract import UndefinedMetric, Widening
from evaluation.calibration import conformal_half_width
from evaluation.card import Robustness

PLAIN = "plain"

BANDS: dict[Literal["snr_db", "bandwidth_hz", "familiarity"], tuple[float, ...]] = {
    "snr_db": (10.0, 15.0, 20.0, 25.0),
    "bandwidth_hz": (4500.0,),
    "familiarity": (0.75, 0.85),
}
"""Measure of the signal → edges below which its intervals may have to be wider."""


def changes(table: pd.DataFrame) -> tuple[Robustness, ...]:
    """One row a condition and target, conditions in the table's order, without `plain`."""
    worse = table[table["condition"] != PLAIN]
    return tuple(
        _change(str(condition), str(target), rows)
        for condition, of_condition in worse.groupby("condition", sort=False)
        for target, rows in of_condition.groupby("target", sort=False)
    )


def _change(condition: str, target: str, rows: pd.DataFrame) -> Robustness:
    moved = (rows["score"] - rows["plain"]).dropna()
    reasons = sorted(rows.loc[rows["score"].isna(), "reason"].dropna().unique())
    return Robustness(
        condition=condition,
        target=target,
        n=len(rows),
        abstained=len(rows) - len(moved),
        reasons=", ".join(reasons),
        mean=float(moved.mean()) if len(moved) else None,
        median=float(moved.abs().median()) if len(moved) else None,
        p95=float(moved.abs().quantile(0.95)) if len(moved) else None,
    )


def widenings(table: pd.DataFrame, *, level: float) -> tuple[Widening, ...]:
    """By how much intervals must grow where the signal measures below an edge.

    The half width that covers `level` of the ratings there over the one that does for the
    plain recordings of the same people, of the target that needs most; edges that need no
    more than the one above them are left out.

    Raises UndefinedMetric with too few people for that coverage.
    """
    plain = table[table["condition"] == PLAIN]
    found = []
    for measure, edges in BANDS.items():
        if measure not in table:  # of an older version
            continue
        needed = 1.0
        for low, high in reversed(list(zip((-math.inf, *edges), edges, strict=False))):
            inside = table[(table[measure] >= low) & (table[measure] < high)]
            try:
                factor = _factor(plain, inside, level)
            except UndefinedMetric:  # too few people were recorded so: as wide as above
                continue
            if factor > needed:
                needed = factor
                found.append(Widening(measure=measure, below=high, factor=factor))
    return tuple(found)


def _factor(plain: pd.DataFrame, worse: pd.DataFrame, level: float) -> float:
    factors = []
    for target, rows in worse.dropna(subset=["score"]).groupby("target"):
        usual = plain[plain["target"] == target]
        widths = [
            conformal_half_width(part["rating"], part["score"], by=part["person"], coverage=level)
            for part in (rows, usual)
        ]
        factors.append(widths[0] / widths[1])
    if not factors:
        raise UndefinedMetric("Nobody was scored with such a signal.")
    return math.ceil(float(np.max(factors)) * 100) / 100
