"""The total of one response: the job's weights over what its question asks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from data.contract import Score
from data.jobs import DELIVERY, Job, Question


@dataclass(frozen=True)
class Total:
    """A total with its interval, or None with the reason. weights : those that were used."""

    value: float | None
    low: float | None
    high: float | None
    reason: str
    weights: dict[str, float]


def asked_weights(weights: Mapping[str, float], question: Question | None) -> dict[str, float]:
    """Weights of what this response can show: the question's competency and the delivery."""
    wanted = {*DELIVERY, question.competency} if question else set(DELIVERY)
    return {name: weight for name, weight in weights.items() if name in wanted and weight > 0}


def total(
    scores: tuple[Score, ...], asked: dict[str, float], job: Job, *, min_share: float
) -> Total:
    """Weighted mean of the scores that count, their weights made to sum to one.

    A provisional score counts only where the job accepts it. The interval takes the errors
    of different parts as independent, those within a part as the same: one head makes them.

    asked : weights of what the question asks (see `asked_weights`)
    """
    counted = {
        score.name: score
        for score in scores
        if score.name in asked and (job.accept_provisional or not score.provisional)
    }
    share = sum(asked[name] for name in counted) / sum(asked.values()) if asked else 0.0
    if share < min_share or not counted:
        return Total(None, None, None, _why_not(scores, asked, job, share), asked)
    used = {name: asked[name] / sum(asked[n] for n in counted) for name in counted}
    value = sum(weight * counted[name].score for name, weight in used.items())
    of_part: defaultdict[str, float] = defaultdict(float)
    for name, weight in used.items():
        of_part[counted[name].part] += weight * _half_width(counted[name])
    half_width = math.hypot(*of_part.values())
    return Total(
        value=round(value, 2),
        low=round(max(0.0, value - half_width), 2),
        high=round(min(100.0, value + half_width), 2),
        reason="",
        weights=used,
    )


def _half_width(score: Score) -> float:
    """Of the interval before its ends were cut to the scale.

    The interval lies evenly about the score, so its longer side is whole, unless both are cut.
    """
    return max(score.high - score.score, score.score - score.low)


def _why_not(scores: tuple[Score, ...], asked: dict[str, float], job: Job, share: float) -> str:
    if not asked:
        return f"The job {job.key} gives no weight to anything this response could show."
    scored = {score.name for score in scores}
    absent = [name for name in asked if name not in scored]
    provisional = [
        score.name
        for score in scores
        if score.name in asked and score.provisional and not job.accept_provisional
    ]
    reasons = []
    if provisional:
        reasons.append(
            f"provisional and not accepted by the job's configuration: {', '.join(provisional)}"
        )
    if absent:
        reasons.append(f"not scored: {', '.join(absent)}")
    return f"{100 * share:.0f} % of the weight the question asks for is scored; " + "; ".join(
        reasons
    )
