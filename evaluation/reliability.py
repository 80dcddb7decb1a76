"""How far a rating or a score repeats: over raters, over questions, over occasions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import lsqr

from data.contract import UndefinedMetric
from evaluation.agreement import CONFIDENCE, Estimate, Floats


@dataclass(frozen=True)
class Icc:
    """Agreement of raters drawn at random, each of whom rated everyone.

    single : ICC(2,1), of one rater; average : ICC(2,k), of the mean of these k
    """

    single: Estimate
    average: Estimate
    raters: int


def icc(ratings: ArrayLike) -> Icc:
    """ICC(2,1) and ICC(2,k): two-way random effects, absolute agreement.

    ratings : (people, raters); people with a missing rating take no part
    Source: Shrout and Fleiss 1979; intervals McGraw and Wong 1996.
    """
    table = _complete_table(ratings, "rater")
    people, raters = table.shape
    of_people, of_raters, error = _mean_squares(table)
    if of_people == 0 and of_raters == 0 and error == 0:
        raise UndefinedMetric("An ICC needs ratings that vary; all are the same.")
    column = raters * (of_raters - error) / people
    single = (of_people - error) / (of_people + (raters - 1) * error + column)
    low, high = _icc_interval(single, (of_people, of_raters, error), people, raters)
    average = [spearman_brown(value, factor=raters) for value in (single, low, high)]
    return Icc(
        Estimate(single, low, high, people),
        Estimate(average[0], average[1], average[2], people),
        raters,
    )


def one_rater_reliability(ratings: ArrayLike) -> float:
    """ICC(1): share of one rating's variance that lies between responses.

    For tables in which not every rater rated every response (one-way analysis of variance
    with unequal numbers of raters).

    ratings : (responses, raters), NaN where not rated
    Raises UndefinedMetric where nothing was rated twice.
    Source: Shrout and Fleiss 1979, with the mean group size of Donner 1986.
    """
    table: Floats = np.asarray(ratings, float)
    counts = (~np.isnan(table)).sum(axis=1)
    table, counts = table[counts > 0], counts[counts > 0]
    n, total = len(counts), int(counts.sum())
    if n < 2 or total <= n:
        raise UndefinedMetric("The reliability of one rater needs responses rated by two.")
    means = np.nanmean(table, axis=1)
    within = float(np.nansum((table - means[:, None]) ** 2)) / (total - n)
    between = float((counts * (means - np.nanmean(table)) ** 2).sum()) / (n - 1)
    size = (total - float((counts**2).sum()) / total) / (n - 1)
    if between + (size - 1) * within == 0:
        raise UndefinedMetric("The reliability of one rater needs ratings that vary.")
    return (between - within) / (between + (size - 1) * within)


def spearman_brown(reliability: float, *, factor: float) -> float:
    """Reliability of a measure made `factor` times as long (raters, questions)."""
    return factor * reliability / (1 + (factor - 1) * reliability)


def length_needed(reliability: float, *, target: float) -> float:
    """How many times as long a measure must be to reach the target reliability.

    Raises UndefinedMetric unless reliability is above 0 and target in (0, 1).
    """
    if not (0 < reliability <= 1 and 0 < target < 1):
        raise UndefinedMetric(
            f"Lengthening needs a reliability above 0 and a target below 1, "
            f"got {reliability:.2f} and {target:.2f}."
        )
    return target * (1 - reliability) / (reliability * (1 - target))


def standard_error_of_measurement(scores: ArrayLike, *, reliability: float) -> float:
    """SD of the same person's scores over repetitions: SD·√(1 − r), in the scores' unit."""
    if not 0 <= reliability <= 1:
        raise UndefinedMetric(f"Needed a reliability from 0 to 1, got {reliability:.2f}.")
    values = np.asarray(scores, float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        raise UndefinedMetric(f"A standard deviation needs two scores, got {len(values)}.")
    return float(values.std(ddof=1)) * math.sqrt(1 - reliability)


@dataclass(frozen=True)
class Generalisability:
    """Variance components of people × questions, and what they mean for an interview.

    person, question, residual : variances, in the square of the scores' unit;
        a component estimated below 0 is 0
    relative : Eρ², for ranking people who answered the same questions
    absolute : Φ, for a cut or for people who answered different questions
    questions : number of questions both are for
    """

    person: float
    question: float
    residual: float
    relative: float
    absolute: float
    questions: int

    def questions_needed(self, target: float) -> int:
        """Smallest number of questions whose Eρ² reaches the target."""
        one = self.person / (self.person + self.residual)
        return max(1, math.ceil(length_needed(one, target=target) - 1e-9))


def generalisability(scores: ArrayLike) -> Generalisability:
    """Components of scores of people who all answered the same questions.

    scores : (people, questions); people with a missing score take no part
    Source: Brennan 2001, p × q design: Eρ² = σ²p / (σ²p + σ²pq,e / n_q).
    """
    table = _complete_table(scores, "question")
    people, questions = table.shape
    of_people, of_questions, residual = _mean_squares(table)
    person = max(0.0, (of_people - residual) / questions)
    question = max(0.0, (of_questions - residual) / people)
    if person == 0:
        raise UndefinedMetric(
            "Reliability has no value: people do not differ by more than their answers do."
        )
    relative = person / (person + residual / questions)
    absolute = person / (person + (question + residual) / questions)
    return Generalisability(person, question, residual, relative, absolute, questions)


def _complete_table(values: ArrayLike, column: str) -> Floats:
    table: Floats = np.asarray(values, float)
    table = table[~np.isnan(table).any(axis=1)]
    if table.shape[0] < 2 or table.shape[1] < 2:
        raise UndefinedMetric(
            f"Reliability needs at least two people and two {column}s without gaps, "
            f"got {table.shape[0]} and {table.shape[1]}."
        )
    return table


def _mean_squares(table: Floats) -> tuple[float, float, float]:
    """Of rows, of columns, and residual, in a two-way table with one value a cell."""
    n, k = table.shape
    total = table.mean()
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    residual = table - rows[:, None] - columns[None, :] + total
    return (
        float(k * ((rows - total) ** 2).sum() / (n - 1)),
        float(n * ((columns - total) ** 2).sum() / (k - 1)),
        float((residual**2).sum() / ((n - 1) * (k - 1))),
    )


def _icc_interval(
    single: float, squares: tuple[float, float, float], people: int, raters: int
) -> tuple[float, float]:
    """F interval of ICC(2,1) with Satterthwaite's degrees of freedom."""
    of_people, of_raters, error = squares
    if error == 0:
        return single, single
    n, k = people, raters
    a = k * single / (n * (1 - single))
    b = 1 + k * single * (n - 1) / (n * (1 - single))
    freedom = (a * of_raters + b * error) ** 2 / (
        (a * of_raters) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    )
    tail = 1 - (1 - CONFIDENCE) / 2
    upper, lower = stats.f.ppf(tail, n - 1, freedom), stats.f.ppf(tail, freedom, n - 1)
    spread = k * of_raters + (k * n - k - n) * error
    low = n * (of_people - upper * error) / (upper * spread + n * of_people)
    high = n * (lower * of_people - error) / (spread + n * lower * of_people)
    return float(low), float(high)


def rater_severity(ratings: Floats) -> Floats:
    """(raters,) points by which each rater is below the raters' mean on the same recordings.

    Least squares of rating = recording − severity; NaN for who rated nothing.

    ratings : (recordings, raters), NaN where not rated
    Raises UndefinedMetric when the raters fall into groups that share no recording.
    """
    ratings = ratings[~np.isnan(ratings).all(axis=1)]
    known = ~np.isnan(ratings)
    item, rater = np.nonzero(known)
    items, raters = ratings.shape
    links = coo_matrix((np.ones(len(item)), (item, items + rater)), (items + raters,) * 2)
    _, group = connected_components(links, directed=False)
    if len(set(group[items:][known.any(axis=0)])) > 1:
        raise UndefinedMetric(
            "The raters fall into groups without a common recording, so nobody can say who is "
            "severe; have some recordings rated by raters of both groups."
        )
    n = len(item)
    signs = np.concatenate([np.ones(n), -np.ones(n)])
    columns = np.concatenate([item, items + rater])
    design = coo_matrix((signs, (np.tile(np.arange(n), 2), columns)), (n, items + raters))
    found = lsqr(design.tocsr(), ratings[known], atol=1e-12, btol=1e-12, iter_lim=10 * n)[0]
    severity = found[items:] - found[items:][known.any(axis=0)].mean()
    return np.where(known.any(axis=0), severity, np.nan)
