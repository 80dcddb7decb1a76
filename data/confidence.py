"""How often a recognised word is right, given how sure the recogniser says it is.

A recogniser's probability is calibrated by a logistic curve of two numbers (Platt 1999),
fitted on words of which a person wrote down what was said; one speaker is left out at a
time where it is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from data.contract import Record

Floats = npt.NDArray[np.float64]

LEAST = 1e-3
"""Probabilities nearer to 0 or 1 count as this near: the logit stays finite."""

BIN_EDGES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Of a reliability table."""


class Calibration(Record):
    """P(right) = 1 / (1 + exp(−(slope · logit p + offset)))."""

    slope: float = Field(gt=0, description="above 0: a surer word is never less probably right")
    offset: float
    missed: float = Field(ge=0, lt=1, description="units said but not written, a written unit")

    def right(self, probability: float) -> float:
        """Probability that a word is right, of the recogniser's own."""
        return float(_right(np.array([probability]), self.slope, self.offset)[0])

    def error_rate(self, right: Sequence[float], weights: Sequence[float]) -> float:
        """Errors to expect in a text, a unit that was said; 1 at most.

        right : of each word, calibrated; weights : its units
        """
        total = float(np.sum(weights))
        if not total:
            return 0.0
        wrong = float(np.dot(1 - np.asarray(right), weights)) / total
        return min(1.0, (wrong + self.missed) / (1 + self.missed))


@dataclass(frozen=True)
class Words:
    """Recognised words beside what was said, an entry a word.

    probability : the recogniser's; wrong, units : of the word's units those not said, and all
    missed : units that were said and not written, of all words together
    """

    probability: Floats
    wrong: Floats
    units: Floats
    speaker: npt.NDArray[np.str_]
    missed: int

    @property
    def error_share(self) -> Floats:
        """Of each word's units."""
        return self.wrong / self.units


def fit(words: Words) -> Calibration:
    """The curve most probable given the words."""
    slope, offset = _fitted(words, np.ones(len(words.units), dtype=bool))
    return Calibration(slope=slope, offset=offset, missed=words.missed / float(words.units.sum()))


def left_out(words: Words) -> Floats:
    """Calibrated probability of each word by a curve fitted on the other speakers."""
    found = np.empty(len(words.units))
    for speaker in np.unique(words.speaker):
        own = words.speaker == speaker
        found[own] = _right(words.probability[own], *_fitted(words, ~own))
    return found


@dataclass(frozen=True)
class Bin:
    """Words of like confidence. confidence, right : means, by units."""

    low: float
    high: float
    units: int
    confidence: float
    right: float


def reliability(words: Words, confidence: Floats) -> list[Bin]:
    """Confidence beside the share that was right, in bins that hold words."""
    bins = []
    for low, high in pairwise(BIN_EDGES):
        inside = (confidence >= low) & ((confidence < high) | (high == 1))
        if units := float(words.units[inside].sum()):
            mean = float(np.average(confidence[inside], weights=words.units[inside]))
            right = 1 - float(words.wrong[inside].sum()) / units
            bins.append(Bin(low, high, int(units), mean, right))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of confidence from the share that was right, by units."""
    total = sum(part.units for part in bins)
    return sum(part.units * abs(part.confidence - part.right) for part in bins) / max(1, total)


def _logit(probability: Floats) -> Floats:
    inside = np.clip(probability, LEAST, 1 - LEAST)
    logit: Floats = np.log(inside / (1 - inside))
    return logit


def _right(probability: Floats, slope: float, offset: float) -> Floats:
    right: Floats = 1 / (1 + np.exp(-(slope * _logit(probability) + offset)))
    return right


def _fitted(words: Words, chosen: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset; each unit is an observation, a word's units split as it was wrong."""
    logit = _logit(words.probability[chosen])[:, None]
    right, wrong = (words.units - words.wrong)[chosen], words.wrong[chosen]
    model = LogisticRegression(C=1e6)
    model.fit(
        np.concatenate([logit, logit]),
        np.concatenate([np.ones(len(right)), np.zeros(len(wrong))]),
        sample_weight=np.concatenate([right, wrong]),
    )
    return max(1e-3, float(model.coef_[0, 0])), float(model.intercept_[0])
