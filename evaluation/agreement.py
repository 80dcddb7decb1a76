"""Agreement of a machine's scores with human ratings, and of humans with each other.

Pairs in which either value is missing take no part. Every metric raises
UndefinedMetric where it has no value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from data.contract import UndefinedMetric

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Of every interval in this folder, unless a function says otherwise."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval. n : number of complete rows it rests on."""

    value: float
    low: float
    high: float
    n: int


def complete(*columns: ArrayLike) -> list[Floats]:
    """The columns as floats, without the rows in which any of them is missing.

    columns : (n,) or (n, k), the same n
    Raises ValueError if their lengths differ.
    """
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise ValueError(f"needed columns of one length, got lengths {sorted(lengths)}")
    known = np.all([~np.isnan(a).any(axis=tuple(range(1, a.ndim))) for a in arrays], axis=0)
    return [array[known] for array in arrays]


def pearson(rating: ArrayLike, score: ArrayLike) -> float:
    """Linear correlation, -1 to 1; blind to the level and spread of the scores."""
    rating, score = _varying(rating, score)
    return float(np.corrcoef(rating, score)[0, 1])


def spearman(rating: ArrayLike, score: ArrayLike) -> float:
    """Correlation of ranks, -1 to 1; ties share their mean rank."""
    rating, score = _varying(rating, score)
    return float(np.corrcoef(stats.rankdata(rating), stats.rankdata(score))[0, 1])


def mae(rating: ArrayLike, score: ArrayLike) -> float:
    """Mean absolute difference, in the unit of the two."""
    rating, score = complete(rating, score)
    _need(len(rating), 1)
    return float(np.abs(rating - score).mean())


def bias(rating: ArrayLike, score: ArrayLike) -> float:
    """Mean of score − rating, in the unit of the two; below 0 the scores are too low."""
    rating, score = complete(rating, score)
    _need(len(rating), 1)
    return float((score - rating).mean())


def qwk(rating: ArrayLike, score: ArrayLike, *, low: int, high: int) -> float:
    """Quadratically weighted kappa on the whole numbers low … high: 1 agrees, 0 is chance.

    Both are rounded to the nearest whole number, halves upward, and scores
    beyond the scale count as its ends. With squared weights kappa is 1 − mean squared
    difference over that of pairs drawn at random.
    """
    rating, score = complete(rating, score)
    _need(len(rating), 2)
    rated, scored = (np.clip(np.floor(x + 0.5), low, high).astype(int) for x in (rating, score))
    if np.ptp(np.concatenate([rated, scored])) == 0:
        raise UndefinedMetric(
            f"Kappa needs at least two different values; all ratings and scores are {rated[0]}."
        )
    by_chance = rated.var() + scored.var() + (rated.mean() - scored.mean()) ** 2
    return float(1 - ((rated - scored) ** 2).mean() / by_chance)


def qwk_of_ten(rating: ArrayLike, score: ArrayLike) -> float:
    """Kappa of points of 100 on the scale 0 to 10 that people see."""
    rating, score = complete(rating, score)
    return qwk(rating / 10, score / 10, low=0, high=10)


def partial_pearson(rating: ArrayLike, score: ArrayLike, control: ArrayLike) -> float:
    """Correlation of what is left of both after a straight line on the control.

    control : (n,) or (n, k), e.g. log of the number of words: the agreement that
        length alone does not explain
    """
    rating, score, control = complete(rating, score, control)
    design = np.column_stack([np.ones(len(rating)), control])
    _need(len(rating), design.shape[1] + 2)
    both = np.column_stack([rating, score])
    left = both - design @ np.linalg.lstsq(design, both, rcond=None)[0]
    if np.any(left.std(axis=0) < 1e-9 * np.maximum(both.std(axis=0), 1e-12)):
        raise UndefinedMetric(
            "A partial correlation needs ratings and scores that vary beyond the control; "
            "one of them is fully explained by it."
        )
    return float(np.corrcoef(left.T)[0, 1])


def interval(
    metric: Callable[..., float],
    rating: ArrayLike,
    score: ArrayLike,
    *more: ArrayLike,
    by: ArrayLike,
    repeats: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The metric with a percentile bootstrap interval that resamples whole people.

    metric : function of (rating, score, *more)
    more : further columns the metric takes, e.g. the control of `partial_pearson`
    by : (n,) who each row belongs to; rows of one person stay together
    """
    owners = np.asarray(by)
    columns = complete(rating, score, *more, np.arange(len(owners)))
    rows = columns.pop().astype(int)

    def statistic(chosen: NDArray[np.intp]) -> float:
        return metric(*(column[chosen] for column in columns))

    value = statistic(np.arange(len(rows)))
    low, high = _bootstrap(statistic, owners[rows], repeats=repeats, seed=seed)
    return Estimate(value, low, high, len(rows))


def human_ceiling(ratings: ArrayLike, *, by: ArrayLike) -> Estimate:
    """Correlation of one rater with the mean of the others, averaged over the raters.

    What a machine that rates as well as one human reaches.

    ratings : (n, raters), NaN where a rater did not rate
    by : (n,) who was rated
    """
    table = np.asarray(ratings, dtype=np.float64)

    def statistic(chosen: NDArray[np.intp]) -> float:
        return one_rater(pearson, table[chosen])

    value = statistic(np.arange(len(table)))
    low, high = _bootstrap(statistic, np.asarray(by), repeats=1000, seed=0)
    return Estimate(value, low, high, int((np.sum(~np.isnan(table), axis=1) > 1).sum()))


def one_rater(metric: Callable[..., float], ratings: ArrayLike) -> float:
    """The metric of one rater against the mean of the others, averaged over the raters.

    ratings : (n, raters), NaN where a rater did not rate
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise UndefinedMetric("A human ceiling needs at least two raters of the same responses.")
    return float(np.mean([_against_others(metric, table, j) for j in range(table.shape[1])]))


def two_raters(metric: Callable[..., float], ratings: ArrayLike) -> float:
    """The metric of one rater against another, averaged over the pairs.

    Lower than `one_rater`: the mean of the others errs less than any of them.

    ratings : (n, raters), NaN where a rater did not rate
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise UndefinedMetric("Raters are compared where at least two rated the same responses.")
    pairs = combinations(table.T, 2)
    return float(np.mean([metric(one, other) for one, other in pairs]))


def _against_others(metric: Callable[..., float], table: Floats, rater: int) -> float:
    others = np.delete(table, rater, axis=1)
    rated = (~np.isnan(others)).sum(axis=1)
    mean = np.where(rated > 0, np.nansum(others, axis=1) / np.maximum(rated, 1), np.nan)
    return metric(mean, table[:, rater])


def _bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    owners: NDArray[np.generic],
    *,
    repeats: int,
    seed: int,
) -> tuple[float, float]:
    """Percentile interval over people drawn with replacement.

    Draws on which the statistic is undefined are left out; if they are more than
    one in ten, so is the interval.
    """
    owner = np.unique(owners, return_inverse=True)[1]
    people = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    if len(people) < 2:
        raise UndefinedMetric(f"An interval needs at least two people; got {len(people)}.")
    random = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        drawn = random.integers(len(people), size=len(people))
        try:
            values.append(statistic(np.concatenate([people[i] for i in drawn])))
        except UndefinedMetric:
            continue
    if len(values) < 0.9 * repeats:
        raise UndefinedMetric(
            f"The metric has no value on {repeats - len(values)} of {repeats} resamples of "
            f"{len(people)} people; collect more people."
        )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _varying(rating: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    first, second = complete(rating, score)
    _need(len(first), 3)
    for name, column in (("ratings", first), ("scores", second)):
        if np.ptp(column) == 0:
            raise UndefinedMetric(
                f"A correlation needs {name} that vary; all {len(column)} are {column[0]:g}."
            )
    return first, second


def _need(got: int, needed: int) -> None:
    if got < needed:
        raise UndefinedMetric(f"Needed at least {needed} complete pairs, got {got}.")
