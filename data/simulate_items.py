"""Interviews whose able people, hard, telling, worn and unfair questions are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

DAYS = 365


@dataclass(frozen=True)
class Planted:
    """What is planted; points of 100.

    discrimination, unfair, worn : question -> points for each point of ability (else 1), points
        the focal group loses at equal ability, points gained for every 100 times asked
    gap : points by which the focal group is less able
    """

    people: int = 2000
    questions: int = 24
    asked: int = 4
    raters: int = 5
    raters_an_answer: int = 1
    ability_sd: float = 12.0
    difficulty_sd: float = 8.0
    severity_sd: float = 5.0
    error_sd: float = 10.0
    gap: float = 6.0
    focal_share: float = 0.4
    discrimination: Mapping[str, float] = field(default_factory=lambda: {"q03": 0.1})
    unfair: Mapping[str, float] = field(default_factory=lambda: {"q07": 8.0})
    worn: Mapping[str, float] = field(default_factory=lambda: {"q11": 6.0})
    seed: int = 0


@dataclass(frozen=True)
class Interviews:
    """answers : person, question, score, rater, answered_on; groups : data.outcomes.GROUPS

    ability, difficulty, severity : what was planted, by name
    """

    answers: pd.DataFrame
    groups: pd.DataFrame
    ability: pd.Series
    difficulty: pd.Series
    severity: pd.Series


def simulate_interviews(planted: Planted | None = None) -> Interviews:
    """Each person answers `asked` questions drawn at random, each scored by raters drawn so."""
    planted = planted or Planted()
    random = np.random.default_rng(planted.seed)
    people = [f"p{i:05d}" for i in range(planted.people)]
    questions = [f"q{i:02d}" for i in range(planted.questions)]
    raters = [f"rater-{i}" for i in range(planted.raters)]
    focal = random.random(planted.people) < planted.focal_share
    ability = random.normal(0, planted.ability_sd, planted.people) - planted.gap * focal
    difficulty = random.normal(0, planted.difficulty_sd, planted.questions)
    severity = random.normal(0, planted.severity_sd, planted.raters)
    known = {
        "ability": pd.Series(ability, index=people),
        "difficulty": pd.Series(difficulty - difficulty.mean(), index=questions),
        "severity": pd.Series(severity - severity.mean(), index=raters),
    }
    times = np.sort(random.uniform(0, DAYS, planted.people))
    before = dict.fromkeys(questions, 0)
    rows = []
    for i, person in enumerate(people):
        for question in random.choice(questions, planted.asked, replace=False):
            said = 60 + planted.discrimination.get(question, 1.0) * ability[i]
            said -= known["difficulty"][question] + planted.unfair.get(question, 0.0) * focal[i]
            said += planted.worn.get(question, 0.0) * before[question] / 100
            before[question] += 1
            for rater in random.choice(raters, planted.raters_an_answer, replace=False):
                score = said - known["severity"][rater] + random.normal(0, planted.error_sd)
                rows.append((person, question, np.clip(score, 0, 100), rater, times[i]))
    answers = pd.DataFrame(rows, columns=["person", "question", "score", "rater", "day"])
    answers["answered_on"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(
        answers.pop("day"), unit="D"
    ).dt.round("s")
    groups = pd.DataFrame(
        {"person": people, "attribute": "gender", "group": np.where(focal, "woman", "man")}
    )
    return Interviews(answers, groups, **known)
