"""Honest intervals around a score: how wide they must be, and whether they hold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from data.contract import UndefinedMetric
from evaluation.agreement import Estimate, Floats, complete, interval


def conformal_half_width(
    rating: ArrayLike, score: ArrayLike, *, by: ArrayLike, coverage: float = 0.9
) -> float:
    """Half width h such that score ± h covers that share of the ratings of new people.

    On scores of folds that together hold everybody this is the residual quantile of
    cross-validation, close to the jackknife+: each residual comes from a head fitted on the
    other folds, not from the one that is served, so coverage is what the folds show and not
    a guarantee. On people kept out of every fit it is split conformal, which is one.

    The quantile of |rating − score| over people the head was not fitted on, each
    person counting once however many responses they gave, with one place kept for
    the new person: with one response each it is the ⌈coverage·(n + 1)⌉-th smallest.

    by : (n,) who was rated
    Raises UndefinedMetric with too few people for that coverage (below 9 for .9).
    Source: Lei et al. 2018; Dunn, Wasserman and Ramdas 2023 for repeated measures;
    Barber et al. 2021 for the jackknife+ and its cross-validated form.
    """
    owners = np.asarray(by)
    rating, score, rows = complete(rating, score, np.arange(len(owners)))
    owner = np.unique(owners[rows.astype(int)], return_inverse=True)[1]
    people = len(np.bincount(owner))
    if coverage * (people + 1) > people + 1e-9:
        needed = math.ceil(coverage / (1 - coverage) - 1e-9)
        raise UndefinedMetric(
            f"A {coverage:.0%} interval needs at least {needed} people outside the fit, "
            f"got {people}."
        )
    residual = np.abs(rating - score)
    order = np.argsort(residual)
    covered = np.cumsum(1 / np.bincount(owner)[owner[order]])
    # 1e-9: sums of 1/k fall short of a whole number by rounding
    return float(residual[order][np.searchsorted(covered, coverage * (people + 1) - 1e-9)])


def coverage(
    rating: ArrayLike, low: ArrayLike, high: ArrayLike, *, by: ArrayLike, repeats: int = 1000
) -> Estimate:
    """Share of ratings inside [low, high], ends included, with an interval over people."""
    return interval(_share_inside, rating, low, high, by=by, repeats=repeats)


def coverage_by_group(table: pd.DataFrame, *, group: str) -> pd.DataFrame:
    """Coverage and mean width of the intervals in each group.

    table : one row a score: rating, low, high, person, and the named group column;
        rows with no group take no part
    Returns one row a group: coverage, coverage_low, coverage_high, width, n.
    """
    rows = {}
    for label, part in table.groupby(group):
        found = coverage(part["rating"], part["low"], part["high"], by=part["person"])
        width = float((part["high"] - part["low"]).mean())
        rows[label] = (found.value, found.low, found.high, width, found.n)
    columns = ["coverage", "coverage_low", "coverage_high", "width", "n"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(group)


def _share_inside(rating: Floats, low: Floats, high: Floats) -> float:
    if not len(rating):
        raise UndefinedMetric("Coverage needs at least one rating with an interval, got none.")
    return float(((low <= rating) & (rating <= high)).mean())
