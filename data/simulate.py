"""Tables with planted truth: what a recipe should find is known because it was put there.

Performance is a weighted sum of true scores plus noise; raters and supervisors are
lenient or severe and err; one group scores lower by a planted gap. People are numbers:
nothing here describes anyone.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.outcomes import Outcomes, checked

Floats = npt.NDArray[np.float64]

ATTRIBUTE = "group"
FOCAL, REFERENCE = "focal", "reference"

_DECIDED = pd.Timestamp("2024-01-08")


class SimulationConfig(BaseModel):
    """What is planted: `configs/simulate.yaml`.

    weights : predictor -> share, summing to 1
    correlation : between any two predictors
    noise : SD of performance that the scores do not explain, in SD of what they do
    gap : predictor -> d, the focal group lower; performance_gap : the same, beyond scores
    rater_* : points of 100; supervisor_* : points of the 1–5 performance scale
    hire_share : of applicants, the highest by unit weights
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(ge=0)
    job: str
    people: int = Field(ge=10)
    weights: dict[str, float] = Field(min_length=1)
    correlation: float = Field(ge=0, lt=1)
    score_sd: float = Field(gt=0, le=20)
    noise: float = Field(ge=0)
    supervisors: int = Field(ge=1)
    supervisor_severity: float = Field(ge=0)
    supervisor_noise: float = Field(ge=0)
    raters: int = Field(ge=1)
    rater_severity: float = Field(ge=0)
    rater_noise: float = Field(ge=0)
    gap: dict[str, float] = {}
    performance_gap: float = 0
    focal_share: float = Field(gt=0, lt=1)
    undeclared_share: float = Field(ge=0, lt=1)
    hire_share: float = Field(gt=0, le=1)
    retained_share: float = Field(gt=0, lt=1)
    promoted_share: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _weights_are_shares(self) -> SimulationConfig:
        if abs(sum(self.weights.values()) - 1) > 1e-6:
            raise ValueError(f"weights must sum to 1, got {sum(self.weights.values()):.4f}")
        if unknown := set(self.gap) - set(self.weights):
            raise ValueError(f"gap of predictors without a weight: {', '.join(sorted(unknown))}")
        return self


def simulate(config: SimulationConfig) -> Outcomes:
    """The six tables of one history, checked like real ones; `.write(folder)` keeps them."""
    random = np.random.default_rng(config.seed)
    people = np.array([f"p{i:06d}" for i in range(config.people)])
    focal = random.random(config.people) < config.focal_share
    standard = _standard_scores(config, focal, random)
    points = np.clip(50 + config.score_sd * standard, 0, 100)
    hired = _top(points.mean(axis=1), config.hire_share)
    performance = _performance(config, standard, focal, random)
    retained = _retained(config, performance, random)
    promoted = _top(performance[hired] + random.normal(size=hired.sum()), config.promoted_share)
    return checked(
        {
            "scores": _scores(config, people, points),
            "ratings": _ratings(config, people, points, random),
            "hires": _hires(config, people, hired, retained),
            "performance": _supervised(config, people[hired], performance[hired], random),
            "promotions": _promotions(people[hired][promoted], random),
            "groups": _groups(config, people, focal, random),
        }
    )


def _standard_scores(
    config: SimulationConfig, focal: npt.NDArray[np.bool_], random: np.random.Generator
) -> Floats:
    """(people, predictors) with SD 1 within each group."""
    shared = random.normal(size=(config.people, 1))
    own = random.normal(size=(config.people, len(config.weights)))
    gap = np.array([config.gap.get(name, 0.0) for name in config.weights])
    within = np.sqrt(config.correlation) * shared + np.sqrt(1 - config.correlation) * own
    return cast(Floats, within - focal[:, None] * gap)


def _performance(
    config: SimulationConfig,
    standard: Floats,
    focal: npt.NDArray[np.bool_],
    random: np.random.Generator,
) -> Floats:
    """(people,) true performance with SD 1: weights times scores, plus what they miss."""
    weights = np.array(list(config.weights.values()))
    spread = (1 - config.correlation) * (weights**2).sum() + config.correlation
    explained = standard @ weights / np.sqrt(spread)
    missed = config.noise * random.normal(size=config.people)
    performance = (explained + missed) / np.sqrt(1 + config.noise**2)
    return cast(Floats, performance - focal * config.performance_gap)


def _retained(
    config: SimulationConfig, performance: Floats, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Better performers stay somewhat more often: half a unit of the log odds per SD."""
    odds = np.log(config.retained_share / (1 - config.retained_share)) + performance / 2
    return cast(npt.NDArray[np.bool_], random.random(config.people) < 1 / (1 + np.exp(-odds)))


def _top(values: Floats, share: float) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.argsort(-values, kind="stable")[: round(share * len(values))]] = True
    return chosen


def _scores(config: SimulationConfig, people: npt.NDArray[np.str_], points: Floats) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "person": np.repeat(people, len(config.weights)),
            "job": config.job,
            "name": np.tile(list(config.weights), len(people)),
            "score": points.ravel().round(2),
        }
    )


def _ratings(
    config: SimulationConfig,
    people: npt.NDArray[np.str_],
    points: Floats,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Every rater rates one response a predictor of everyone."""
    severity = random.normal(0, config.rater_severity, config.raters)
    error = random.normal(0, config.rater_noise, (*points.shape, config.raters))
    given = np.clip(points[:, :, None] - severity + error, 0, 100)
    index = pd.MultiIndex.from_product(
        [people, list(config.weights), [f"r{i}" for i in range(config.raters)]],
        names=["person", "target", "rater"],
    )
    table = pd.DataFrame({"rating": given.ravel().round()}, index=index).reset_index()
    return table.assign(item=table["person"] + "-" + table["target"])


def _hires(
    config: SimulationConfig,
    people: npt.NDArray[np.str_],
    hired: npt.NDArray[np.bool_],
    retained: npt.NDArray[np.bool_],
) -> pd.DataFrame:
    stayed = pd.Series(retained, dtype="boolean").where(hired)
    return pd.DataFrame(
        {
            "person": people,
            "job": config.job,
            "decided_on": _DECIDED + pd.to_timedelta(7 * (np.arange(len(people)) % 52), unit="D"),
            "hired": hired,
            "retained": stayed,
        }
    )


def _supervised(
    config: SimulationConfig,
    people: npt.NDArray[np.str_],
    performance: Floats,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Each employee rated by some of ten times as many supervisors as rate one person."""
    pool = 10 * config.supervisors
    severity = random.normal(0, config.supervisor_severity, pool)
    first = random.integers(pool, size=len(people))
    given = (first[:, None] + np.arange(config.supervisors)) % pool
    error = random.normal(0, config.supervisor_noise, given.shape)
    rating = np.clip(3 + 0.6 * performance[:, None] - severity[given] + error, 1, 5)
    return pd.DataFrame(
        {
            "person": np.repeat(people, config.supervisors),
            "period": "2025",
            "rater": [f"s{i:03d}" for i in given.ravel()],
            "rating": rating.ravel().round(1),
        }
    )


def _promotions(people: npt.NDArray[np.str_], random: np.random.Generator) -> pd.DataFrame:
    after = pd.to_timedelta(random.integers(180, 720, len(people)), unit="D")
    return pd.DataFrame({"person": people, "promoted_on": _DECIDED + after, "grade": 2})


def _groups(
    config: SimulationConfig,
    people: npt.NDArray[np.str_],
    focal: npt.NDArray[np.bool_],
    random: np.random.Generator,
) -> pd.DataFrame:
    declared = random.random(config.people) >= config.undeclared_share
    label = np.where(focal, FOCAL, REFERENCE)
    return pd.DataFrame({"person": people, "attribute": ATTRIBUTE, "group": label})[declared]
