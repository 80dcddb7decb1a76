"""Whether scores predict what they are for: performance, retention, promotion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import ArrayLike
from scipy import stats

from data.contract import UndefinedMetric
from evaluation.agreement import CONFIDENCE, Estimate, complete, pearson

OPERATIONAL_VALIDITY = {"structured interview": 0.42, "unstructured interview": 0.19}
"""Mean corrected correlation with job performance: Sackett et al. 2022."""


def validity(predictor: ArrayLike, criterion: ArrayLike) -> Estimate:
    """Correlation with the criterion and its Fisher-z 95 % interval.

    criterion : performance rating, or 0 and 1 (the point-biserial correlation)
    Raises UndefinedMetric with fewer than 4 complete pairs or a constant column.
    """
    x, y = complete(predictor, criterion)
    if len(x) < 4:
        raise UndefinedMetric(f"A Fisher-z interval needs at least 4 pairs, got {len(x)}.")
    r = pearson(y, x)
    interval = stats.pearsonr(x, y).confidence_interval(CONFIDENCE)
    return Estimate(r, float(interval.low), float(interval.high), len(x))


def disattenuated(r: float, *, criterion_reliability: float) -> float:
    """Correlation with a criterion free of error: r / √r_yy.

    Report it only beside r and the r_yy it used, and say whose r_yy it is.
    """
    if not 0 < criterion_reliability <= 1:
        raise UndefinedMetric(
            f"Needed a criterion reliability in (0, 1], got {criterion_reliability:.2f}."
        )
    return r / math.sqrt(criterion_reliability)


def unrestricted(r: float, *, u: float) -> float:
    """Correlation among all applicants, from that among the hired: Thorndike's case II.

    u : SD of the predictor among applicants over its SD among the hired. Where it was
        not measured there is no correction.
    """
    if u <= 0:
        raise UndefinedMetric(f"Needed a positive ratio of standard deviations, got {u:.2f}.")
    return r * u / math.sqrt(1 + r**2 * (u**2 - 1))


@dataclass(frozen=True)
class Increment:
    """What further predictors add to the share of variance explained.

    base, full : R² without and with them; added = full − base; F test of `added`
    """

    base: float
    full: float
    added: float
    f: float
    p: float
    n: int


def increment(criterion: ArrayLike, base: ArrayLike, added: ArrayLike) -> Increment:
    """ΔR² of `added` over `base` (unit weights, the résumé) by least squares.

    base, added : (n,) or (n, k)
    """
    y, first, second = complete(criterion, base, added)
    small = sm.add_constant(first.reshape(len(y), -1), has_constant="add")
    large = np.column_stack([small, second.reshape(len(y), -1)])
    if len(y) <= large.shape[1] + 1 or np.ptp(y) == 0:
        raise UndefinedMetric(
            f"ΔR² needs a criterion that varies and more than {large.shape[1] + 1} people, "
            f"got {len(y)}."
        )
    without, with_them = sm.OLS(y, small).fit(), sm.OLS(y, large).fit()
    f, p, _ = with_them.compare_f_test(without)
    gain = float(with_them.rsquared - without.rsquared)
    return Increment(
        float(without.rsquared), float(with_them.rsquared), gain, float(f), float(p), len(y)
    )


def predictive_bias(criterion: ArrayLike, score: ArrayLike, focal: ArrayLike) -> pd.DataFrame:
    """Cleary's regression y = b0 + b1·score + b2·focal + b3·score·focal.

    b2 other than 0: the same score predicts another criterion in the focal group
    (below 0: it is predicted too high); b3: the score means more or less there.

    criterion, score : (n,); focal : (n,) True in the focal group
    Returns rows intercept, score, focal, score_x_focal: coefficient, error, t, p, low, high.
    Source: Cleary 1968.
    """
    y, x, g = complete(criterion, score, focal)
    if min((g == 0).sum(), (g == 1).sum()) < 3 or np.ptp(x) == 0:
        raise UndefinedMetric(
            "Predictive bias needs at least three people in each group and scores that vary."
        )
    fitted = sm.OLS(y, np.column_stack([np.ones(len(y)), x, g, x * g])).fit()
    bounds = fitted.conf_int(1 - CONFIDENCE)
    return pd.DataFrame(
        {
            "coefficient": fitted.params,
            "error": fitted.bse,
            "t": fitted.tvalues,
            "p": fitted.pvalues,
            "low": bounds[:, 0],
            "high": bounds[:, 1],
        },
        index=pd.Index(["intercept", "score", "focal", "score_x_focal"], name="term"),
    )


def composite_validity(
    weights: Sequence[float], validities: Sequence[float], correlations: ArrayLike
) -> float:
    """Correlation of a weighted sum of standardised predictors: w'v / √(w'Rw)."""
    w = np.asarray(weights, float)
    spread = float(w @ np.asarray(correlations, float) @ w)
    if spread <= 0:
        raise UndefinedMetric("A composite needs at least one weight other than 0.")
    return float(w @ np.asarray(validities, float)) / math.sqrt(spread)
