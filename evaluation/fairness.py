"""How a selection or a score falls on groups of people. Flags that ask for a review, not findings.

Rates and ratios as New York City's Local Law 144 (6 RCNY § 5-300) and the Uniform
Guidelines (29 CFR 1607.4) define them. A disparity is assessed here; whether it is
justified is a question of validity and of law.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from data.contract import UndefinedMetric
from evaluation.agreement import CONFIDENCE, complete

FOUR_FIFTHS = 0.8
"""29 CFR 1607.4(D)."""

SMALLEST_SHARE = 0.02
"""A group below this share of the people may be left out of the ratio: 6 RCNY § 5-301."""

UNKNOWN = "unknown"
"""Row that counts the people whose group was not declared."""


def impact_ratio(scores: pd.Series, groups: pd.Series, *, cut: float) -> pd.Series:
    """Selection rate of each group over that of the group selected most.

    Below 0.8 asks for a review; it is a flag, not a finding.

    scores : (candidate,) in [0, 1]; NaN (not scored) takes no part
    groups : (candidate,) label; NaN (not declared) takes no part
    cut : a score that reaches it is selected
    Raises UndefinedMetric if nobody reaches the cut.
    Source: 29 CFR 1607.4(D).
    """
    rates = (scores[scores.notna()] >= cut).groupby(groups).mean()
    if not (rates > 0).any():
        raise UndefinedMetric(f"An impact ratio needs someone selected; nobody reaches {cut:g}.")
    return (rates / rates.max()).rename("impact_ratio")


def above_median(scores: pd.Series) -> pd.Series:
    """Whether each score is above the median of all: strictly, so a tie with it is not.

    `impact_table(above_median(scores), groups)` is the law's table of scoring rates.
    Report `median_ties` beside it.
    """
    return _known(scores, "a score") > scores.median()


def median_ties(scores: pd.Series) -> int:
    """How many scores equal the median of all and therefore count as not above it."""
    return int((_known(scores, "a score") == scores.median()).sum())


def intersection(first: pd.Series, second: pd.Series) -> pd.Series:
    """Joint label "first × second" of each person, missing where either is missing."""
    joint = first.astype(str) + " × " + second.astype(str)
    return joint.where(first.notna() & second.notna())


def impact_table(selected: pd.Series, groups: pd.Series) -> pd.DataFrame:
    """Rates, ratios and tests of every group against the group selected most.

    selected : (candidate,) True or False, nobody missing; for scoring rates give
        `above_median(scores)`
    groups : (candidate,) label; those not declared are counted in the row "unknown"
    Returns one row a group:
      n, selected, share of all people, rate
      impact_ratio, ratio_low, ratio_high : NaN in the row "unknown" and for a group
        under 2 % of the people, neither of which may set the highest rate; the
        interval is 95 % of the logarithm of the ratio, NaN where nobody is selected
      below_four_fifths : True asks for a review
      statistic, p, test : "pooled z", or "Fisher" where a cell expects fewer than 5
        (statistic is then the odds ratio)
      shortfall : selections the group lacks (below 0: has over) against equal rates
    Raises UndefinedMetric if nobody in a group large enough is selected.
    """
    chosen = _known(selected, "an outcome").astype(bool)
    labels = groups.reindex(selected.index).astype(object)
    counted = chosen.groupby(labels.where(labels.notna(), UNKNOWN))
    table = pd.DataFrame({"n": counted.size(), "selected": counted.sum()})
    table["share"] = table["n"] / table["n"].sum()
    table["rate"] = table["selected"] / table["n"]
    eligible = table[(table["share"] >= SMALLEST_SHARE) & (table.index != UNKNOWN)]
    if not (eligible["selected"] > 0).any():
        raise UndefinedMetric(
            "An impact ratio needs someone selected in a group of at least 2 % of the people."
        )
    best = _Count.of(eligible.sort_values(["rate", "n"]).iloc[-1])
    rows = {label: _compared(_Count.of(row), best) for label, row in eligible.iterrows()}
    compared = pd.DataFrame.from_dict(rows, orient="index")
    return table.join(compared).rename_axis("group")


def four_fifths_flags(table: pd.DataFrame) -> list[str]:
    """One sentence for each row of an `impact_table` that asks for a review."""
    flagged = table[table["below_four_fifths"] == True]  # noqa: E712 (NaN is not a flag)
    return [
        f"{label}: impact ratio {row['impact_ratio']:.2f} "
        f"[{row['ratio_low']:.2f}, {row['ratio_high']:.2f}] is below {FOUR_FIFTHS}"
        for label, row in flagged.iterrows()
    ]


@dataclass(frozen=True)
class CommonOdds:
    """Association of selection and group with the strata held fixed.

    odds_ratio : Mantel–Haenszel; above 1, the focal group is selected more
    strata : number that contain both groups and both outcomes
    """

    odds_ratio: float
    chi2: float
    p: float
    strata: int


def common_odds(selected: ArrayLike, focal: ArrayLike, stratum: ArrayLike) -> CommonOdds:
    """Cochran–Mantel–Haenszel test over jobs, years or places, with continuity correction.

    selected : (n,) True or False, nobody missing
    focal : (n,) True or False; NaN (not declared) takes no part
    stratum : (n,) label of the pool each person was chosen from; NaN takes no part
    Raises UndefinedMetric if no stratum has both groups and both outcomes.
    """
    table = pd.DataFrame(
        {
            "selected": _known(pd.Series(np.asarray(selected)), "an outcome"),
            "focal": np.asarray(focal, object),
            "stratum": np.asarray(stratum),
        }
    ).dropna()
    table[["selected", "focal"]] = table[["selected", "focal"]].astype(bool)
    crossed = [_crossed(part) for _, part in table.groupby("stratum")]
    informative = [t for t in crossed if t.sum(axis=0).all() and t.sum(axis=1).all()]
    if not informative:
        raise UndefinedMetric("No stratum has both groups and both outcomes: nothing to compare.")
    fitted = StratifiedTable(informative)
    test = fitted.test_null_odds(correction=True)
    return CommonOdds(
        float(fitted.oddsratio_pooled), float(test.statistic), float(test.pvalue), len(informative)
    )


def smd(first: ArrayLike, second: ArrayLike) -> float:
    """Standardised mean difference d: (mean of first − mean of second) / pooled SD."""
    [a], [b] = complete(first), complete(second)
    if min(len(a), len(b)) < 2:
        raise UndefinedMetric(
            f"A mean difference needs two people in each group, got {len(a)} and {len(b)}."
        )
    within = (len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)
    if within == 0:
        raise UndefinedMetric("A mean difference needs scores that vary within a group.")
    return float((a.mean() - b.mean()) / math.sqrt(within / (len(a) + len(b) - 2)))


def composite_gap(
    weights: Sequence[float], gaps: Sequence[float], correlations: ArrayLike
) -> float:
    """Gap d of a weighted sum of standardised predictors: w'd / √(w'Rw).

    gaps : (predictors,) d of each; correlations : (predictors, predictors) within groups
    Source: Sackett and Ellingson 1997.
    """
    w = np.asarray(weights, float)
    spread = float(w @ np.asarray(correlations, float) @ w)
    if spread <= 0:
        raise UndefinedMetric("A composite needs at least one weight other than 0.")
    return float(w @ np.asarray(gaps, float)) / math.sqrt(spread)


@dataclass(frozen=True)
class Selection:
    """What choosing the half with the highest scores brings.

    high_performers, retained, both : share of those people who are selected
    ratio : selection rate of the focal group over that of the others
    """

    high_performers: float
    retained: float
    both: float
    ratio: float

    @property
    def accuracy(self) -> float:
        """Accuracy part of the score: 50 by chance, 100 at most."""
        return 25 * self.high_performers + 25 * self.retained + 50 * self.both

    @property
    def score(self) -> float:
        """Accuracy less 100·|1 − ratio|. Noise in the ratio alone costs points: two at
        6,000 people, five at 1,200."""
        return self.accuracy - 100 * abs(1 - self.ratio)


def top_half(
    high_performer: ArrayLike, score: ArrayLike, retained: ArrayLike, focal: ArrayLike
) -> Selection:
    """Outcome of selecting the top half by score; people who tie at the cut share its places.

    high_performer, retained, focal : (n,) 1 or 0; a row with a missing value takes no part
    Raises UndefinedMetric where a share has nobody in its denominator.
    Source: SIOP machine learning competition 2020, Koenig and Thompson.
    """
    high, points, stayed, group = complete(high_performer, score, retained, focal)
    places = len(points) // 2
    if not places or min(group.sum(), (1 - group).sum(), (high * stayed).sum()) == 0:
        raise UndefinedMetric(
            "Selecting the top half needs people in both groups and at least one retained high "
            "performer."
        )
    cut = np.partition(points, -places)[-places]
    above, tied = points > cut, points == cut
    selected = above + tied * (places - above.sum()) / tied.sum()
    others = float(np.average(selected, weights=1 - group))
    if others == 0:
        raise UndefinedMetric("The ratio has no value: nobody outside the focal group is selected.")
    return Selection(
        high_performers=float(np.average(selected, weights=high)),
        retained=float(np.average(selected, weights=stayed)),
        both=float(np.average(selected, weights=high * stayed)),
        ratio=float(np.average(selected, weights=group)) / others,
    )


class _Count(NamedTuple):
    n: int
    selected: int

    @staticmethod
    def of(row: pd.Series) -> _Count:
        return _Count(int(row["n"]), int(row["selected"]))

    @property
    def rate(self) -> float:
        return self.selected / self.n


def _compared(group: _Count, best: _Count) -> dict[str, float | str | bool]:
    ratio = group.rate / best.rate
    low, high = _ratio_interval(group, best)
    statistic, p, test = _difference(group, best)
    pooled = (group.selected + best.selected) / (group.n + best.n)
    return {
        "impact_ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "below_four_fifths": ratio < FOUR_FIFTHS,
        "statistic": statistic,
        "p": p,
        "test": test,
        "shortfall": group.n * pooled - group.selected,
    }


def _ratio_interval(group: _Count, best: _Count) -> tuple[float, float]:
    """95 % interval by the delta method on the logarithm; NaN where it has no variance."""
    if group == best or group.selected == 0:
        return (1.0, 1.0) if group == best else (math.nan, math.nan)
    error = math.sqrt((1 - group.rate) / group.selected + (1 - best.rate) / best.selected)
    reach = math.exp(stats.norm.ppf((1 + CONFIDENCE) / 2) * error)
    ratio = group.rate / best.rate
    return ratio / reach, ratio * reach


def _difference(group: _Count, best: _Count) -> tuple[float, float, str]:
    cells = np.array([[c.selected, c.n - c.selected] for c in (group, best)])
    pooled = cells[:, 0].sum() / cells.sum()
    if pooled == 1:
        return 0.0, 1.0, "pooled z"
    if stats.contingency.expected_freq(cells).min() < 5:
        odds, p = stats.fisher_exact(cells)
        return float(odds), float(p), "Fisher"
    error = math.sqrt(pooled * (1 - pooled) * (1 / group.n + 1 / best.n))
    z = (group.rate - best.rate) / error
    return z, 2 * float(stats.norm.sf(abs(z))), "pooled z"


def _crossed(part: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """2 × 2 counts: focal group and the rest by selected and not."""
    return np.array(
        [
            [((part["focal"] == f) & (part["selected"] == s)).sum() for s in (True, False)]
            for f in (True, False)
        ]
    )


def _known(column: pd.Series, what: str) -> pd.Series:
    missing = int(column.isna().sum())
    if missing:
        raise UndefinedMetric(
            f"Rates need {what} for everyone; {missing} of {len(column)} people have none. "
            "Decide how to count them first."
        )
    return column
