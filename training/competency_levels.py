"""The five levels of a competency, learned from the rubric's example answers.

A proportional-odds model: P(level > k) = σ(w'z − θ_k). z holds the exam head's score, how near
the answer is to each anchor, and how it is built; never its length. Weights are shrunk
(ridge), thresholds are not.
Source: McCullagh 1980, regression models for ordinal data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from data.contract import LANGUAGE, LANGUAGE_ANCHORS, LANGUAGE_MEASURES
from data.jobs import LEVELS, points_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int_]

BUILT = tuple(
    column.name for column in LANGUAGE_MEASURES if column.unit == "1/100 units"
)
"""Measures that say how an answer is built, whatever its length."""

COMPARED = ("coverage", "clause_relevance", "reference_cosine", "question_cosine", "new_singles_recall")
RATE_CAP = 4.0
"""Per hundred units: more of the same makes no better answer."""

BUILT_AT = [LANGUAGE.names.index(name) for name in BUILT]
COMPARED_AT = [LANGUAGE.names.index(name) for name in COMPARED]
ANCHORS_AT = [LANGUAGE.names.index(column.name) for column in LANGUAGE_ANCHORS]
INPUTS = 1 + len(COMPARED_AT) + len(ANCHORS_AT) + len(BUILT_AT)


@dataclass(frozen=True)
class LevelModel:
    """centre, deviation, weights : (INPUTS,); thresholds : (LEVELS − 1,) rising."""

    centre: Floats
    deviation: Floats
    weights: Floats
    thresholds: Floats

    def above(self, inputs: Floats) -> Floats:
        """(n, LEVELS − 1) probability of more than level 1, 2, 3, 4."""
        slope = ((inputs - self.centre) / self.deviation) @ self.weights
        return np.asarray(expit(slope[:, None] - self.thresholds))

    def points(self, inputs: Floats) -> Floats:
        """(n,) expected level in points of 100."""
        return np.asarray(self.above(inputs).sum(axis=1) * points_of(2))


def level_inputs(features: npt.NDArray[np.float32], quality: Floats) -> Floats:
    """(n, INPUTS) of LANGUAGE features and the exam head's points of 100.

    Anchors count by how much nearer they are than the mean of the five, so that a topic that
    is near to all says nothing.
    """
    rows = features.astype(float)
    whole, nearest = rows[:, ANCHORS_AT[::2]], rows[:, ANCHORS_AT[1::2]]
    apart = [found - found.mean(axis=1, keepdims=True) for found in (whole, nearest)]
    built = np.log1p(np.minimum(rows[:, BUILT_AT], RATE_CAP))
    share = np.clip(quality, 0, 100)[:, None] / 100
    return np.hstack([share, rows[:, COMPARED_AT], *apart, built])


def fit_levels(inputs: Floats, levels: Ints, *, penalty: float) -> LevelModel:
    """The most probable model. levels : (n,) 1 to 5, each of which occurs

    penalty : of squared standardised weights. Raises ValueError where a level is absent.
    """
    if absent := set(range(1, LEVELS + 1)) - set(levels.tolist()):
        raise ValueError(f"no example of level {', '.join(map(str, sorted(absent)))}")
    centre, deviation = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-6)
    scaled = (inputs - centre) / deviation
    steps = np.arange(1, LEVELS)
    begin = np.concatenate([np.zeros(scaled.shape[1]), [-1.5], np.log(np.ones(LEVELS - 2))])

    def loss(x: Floats) -> tuple[float, Floats]:
        weights, thresholds = x[:-4], _rising(x[-4:])
        above = expit((scaled @ weights)[:, None] - thresholds)
        edges = np.hstack([np.ones((len(above), 1)), above, np.zeros((len(above), 1))])
        mass = np.maximum(_take(edges, levels - 1) - _take(edges, levels), 1e-12)
        slope = edges * (1 - edges)
        by_slope = (_take(slope, levels - 1) - _take(slope, levels)) / mass
        by_edge = np.zeros((len(above), LEVELS + 1))
        rows = np.arange(len(above))
        by_edge[rows, levels - 1] -= _take(slope, levels - 1) / mass
        by_edge[rows, levels] += _take(slope, levels) / mass
        by_threshold = by_edge[:, 1:LEVELS].sum(axis=0)
        gaps = np.exp(x[-3:])
        by_gap = np.array([by_threshold[k:].sum() * gaps[k - 1] for k in steps[:-1]])
        gradient = np.concatenate(
            [-(scaled.T @ by_slope) + 2 * penalty * weights, [-by_threshold.sum()], -by_gap]
        )
        return -float(np.log(mass).sum()) + penalty * float(weights @ weights), gradient

    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return LevelModel(centre, deviation, found.x[:-4], _rising(found.x[-4:]))


def _rising(x: Floats) -> Floats:
    """Thresholds of a first one and the logs of the steps to the next."""
    return np.asarray(np.cumsum([x[0], *np.exp(x[1:])]), np.float64)


def _take(table: Floats, columns: Ints) -> Floats:
    return np.asarray(table[np.arange(len(table)), columns], np.float64)
