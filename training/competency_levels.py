"""The five levels of a competency, learned from the rubric's example answers.

A proportional-odds model: P(level > k) = σ(w'z − θ_k). z holds the exam head's score, how near
the answer is to each anchor, and how it is built; what the score gains by mere length is taken
out. Weights are shrunk (ridge), thresholds are not. More of what is good never lowers the
level, and no single measure of wording decides it: weights lie between 0 and `most`
(anchors' are free).
A second, logistic model says whether the words answer this question at all; below even odds
the expected level is lowered with them.
Source: McCullagh 1980, regression models for ordinal data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from data.contract import LANGUAGE, LANGUAGE_ANCHORS, LANGUAGE_COMPARISONS, LANGUAGE_MEASURES
from data.jobs import LEVELS, points_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int_]

BUILT = tuple(column.name for column in LANGUAGE_MEASURES if column.unit == "1/100 units")
"""Measures that say how an answer is built, whatever its length."""

COMPARED = ("coverage", "reference_cosine", "question_cosine")
MORE_IS_WORSE = ("generalities",)
TOPICAL = tuple(
    column.name
    for column in LANGUAGE_COMPARISONS
    if not column.name.startswith("log_")
    and column.name not in ("clause_ratio", "negation_gap", "verdict")
)
"""Comparisons that tell whether an answer is to this question: none of its length or stance."""

EVEN = 0.5
"""Probability of an answer to this question below which the level is lowered."""

RATE_CAP = 4.0
"""Per hundred units: more of the same makes no better answer."""

BUILT_AT = [LANGUAGE.names.index(name) for name in BUILT]
COMPARED_AT = [LANGUAGE.names.index(name) for name in COMPARED]
ANCHORS_AT = [LANGUAGE.names.index(column.name) for column in LANGUAGE_ANCHORS]
LENGTH_AT = LANGUAGE.names.index("log_units")
TOPICAL_AT = [LANGUAGE.names.index(name) for name in TOPICAL]
INPUTS = 1 + len(COMPARED_AT) + len(ANCHORS_AT) + len(BUILT_AT)


@dataclass(frozen=True)
class LevelModel:
    """The levels and, of TOPICAL comparisons, whether the words answer this question.

    centre, deviation, weights : (INPUTS,); thresholds : (LEVELS − 1,) rising
    topic_weights : (len(TOPICAL),); topic_threshold : of their sum, at even odds
    length_effect : of `level_inputs`
    """

    centre: Floats
    deviation: Floats
    weights: Floats
    thresholds: Floats
    topic_weights: Floats
    topic_threshold: float
    length_effect: float

    def above(self, inputs: Floats) -> Floats:
        """(n, LEVELS − 1) probability of more than level 1, 2, 3, 4."""
        slope = ((inputs[:, :INPUTS] - self.centre) / self.deviation) @ self.weights
        return np.asarray(expit(slope[:, None] - self.thresholds))

    def on_topic(self, inputs: Floats) -> Floats:
        """(n,) probability that the words answer this question."""
        return np.asarray(expit(inputs[:, INPUTS:] @ self.topic_weights - self.topic_threshold))

    def points(self, inputs: Floats) -> Floats:
        """(n,) expected level in points of 100, lowered where the words answer another question."""
        expected = self.above(inputs).sum(axis=1) * points_of(2)
        return np.asarray(expected * np.minimum(1.0, self.on_topic(inputs) / EVEN))


def length_effect(short: Floats, long: Floats, log_short: Floats, log_long: Floats) -> float:
    """Points of quality that words which add nothing bring, per log of the length.

    short, long : (n,) quality of answers, and of the same answers with such words
    log_short, log_long : (n,) log of their units. Never negative.
    """
    longer = log_long - log_short
    return max(0.0, float((long - short) @ longer / (longer @ longer)))


def level_inputs(
    features: npt.NDArray[np.float32], quality: Floats, length_effect: float
) -> Floats:
    """(n, INPUTS + TOPICAL) of LANGUAGE features and the exam head's points of 100.

    Anchors count by how much nearer they are than the mean of the five, so that a topic that
    is near to all says nothing.
    """
    rows = features.astype(float)
    whole, nearest = rows[:, ANCHORS_AT[::2]], rows[:, ANCHORS_AT[1::2]]
    apart = [found - found.mean(axis=1, keepdims=True) for found in (whole, nearest)]
    built = np.log1p(np.minimum(rows[:, BUILT_AT], RATE_CAP))
    earned = np.clip(quality, 0, 100)[:, None] - length_effect * rows[:, [LENGTH_AT]]
    share = earned / 100
    return np.hstack([share, rows[:, COMPARED_AT], *apart, built, rows[:, TOPICAL_AT]])


def fit_levels(
    inputs: Floats,
    levels: Ints,
    on_topic: npt.NDArray[np.bool_],
    *,
    penalty: float,
    most: float,
    topic_penalty: float,
    length_effect: float,
) -> LevelModel:
    """The most probable model. levels : (n,) 1 to 5, each of which occurs

    on_topic : (n,) whether it answers its question; only these say what a level is
    penalty, topic_penalty : of squared standardised weights; length_effect : of the inputs
    most : standardised weight of one measure. Raises ValueError where a level is absent.
    """
    topic = _fit_topic(inputs[:, INPUTS:], on_topic, topic_penalty)
    inputs, levels = inputs[on_topic, :INPUTS], levels[on_topic]
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

    bounds = [*_bounds(most), *[(None, None)] * (LEVELS - 1)]
    options = {"maxiter": 500}
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return LevelModel(centre, deviation, found.x[:-4], _rising(found.x[-4:]), *topic, length_effect)


def _bounds(most: float) -> list[tuple[float | None, float | None]]:
    """Of each weight, in the order of `level_inputs`. A question said again is free to count."""
    rising, falling = (0.0, most), (-most, 0.0)
    compared = [(None, None) if name == "question_cosine" else rising for name in COMPARED]
    built = [falling if name in MORE_IS_WORSE else rising for name in BUILT]
    return [rising, *compared, *[(None, None)] * len(ANCHORS_AT), *built]


def _fit_topic(
    compared: Floats, on_topic: npt.NDArray[np.bool_], penalty: float
) -> tuple[Floats, float]:
    """Weights of the raw comparisons and their threshold; none without an answer off the topic."""
    if on_topic.all():
        return np.zeros(compared.shape[1]), -np.inf
    centre, deviation = compared.mean(axis=0), np.maximum(compared.std(axis=0), 1e-6)
    model = LogisticRegression(C=0.5 / penalty, max_iter=1000)
    model.fit((compared - centre) / deviation, on_topic)
    weights = model.coef_[0] / deviation
    return weights, float(weights @ centre - model.intercept_[0])


def _rising(x: Floats) -> Floats:
    """Thresholds of a first one and the logs of the steps to the next."""
    return np.asarray(np.cumsum([x[0], *np.exp(x[1:])]), np.float64)


def _take(table: Floats, columns: Ints) -> Floats:
    return np.asarray(table[np.arange(len(table)), columns], np.float64)
