"""Answers that try to earn a score without answering, and honest ones that must not suffer.

tests/attacks/*.yaml: each answer with the behaviour wanted of the shipped models. A case has
the words as `answer`; or a `base` with more put `before` or `added` after it; or the reference
answer `of` another question. Wanted is one or more of
    refused   one of these codes instead of a score
    at_most   points, where it is scored
    at_least  points
    scored    any score
    below     less than these words get
    (base)    no more than MARGIN above the base
A refusal is as good as a low score where both are named.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import BaseModel, ConfigDict

import configs
from data.contract import Transcript
from data.jobs import Question, bank
from data.text import is_chinese, normalised, units
from serving.competency import score_competency
from serving.models import LoadedVersion
from serving.parts import Outcome
from serving.scoring import ScoringConfig

FOLDER = Path(__file__).resolve().parents[1] / "attacks"
MARGIN = 5.0
"""Points of 100: a sixth of the interval's half width."""

CONFIG = configs.load("scoring", ScoringConfig)


class Case(BaseModel):
    """One line of the files."""

    model_config = ConfigDict(extra="forbid")

    question: str
    language: str
    answer: str | None = None
    base: str = ""
    before: str = ""
    added: str = ""
    of: str = ""
    refused: tuple[str, ...] = ()
    at_most: float | None = None
    at_least: float | None = None
    scored: bool = False
    below: str = ""

    @property
    def text(self) -> str:
        """The words that are scored."""
        if self.of:
            return question_named(self.of).references[self.language][0]
        if self.answer is not None:
            return self.answer
        between = " " if self.language == "en" else ""
        return between.join(filter(None, (self.before, self.base, self.added)))


KINDS = {
    path.stem: [Case.model_validate(case) for case in yaml.safe_load(path.read_text())]
    for path in sorted(FOLDER.glob("*.yaml"))
}


def question_named(key: str) -> Question:
    return next(job.questions[key] for job in bank().jobs.values() if key in job.questions)


def outcome(version: LoadedVersion, key: str, language: str, text: str) -> Outcome:
    """What a person's words, written down without an error, get."""
    job = next(job for job in bank().jobs.values() if key in job.questions)
    transcript = Transcript(text=text, language=language, language_probability=1, source="supplied")
    return score_competency(version, job, job.questions[key], transcript, language, CONFIG)


def points(version: LoadedVersion, key: str, language: str, text: str) -> float | None:
    scores = outcome(version, key, language, text).scores
    return scores[0].score if scores else None


def fault(case: Case, version: LoadedVersion) -> str | None:
    """How the case behaves other than wanted; None: as wanted."""
    found = outcome(version, case.question, case.language, case.text)
    if not found.scores:
        asked = question_named(case.question).competency
        code = next(entry.code for entry in found.not_scored if entry.name == asked)
        return None if code in case.refused else f"refused: {code}"
    score = found.scores[0].score

    def of(text: str) -> float:
        known = points(version, case.question, case.language, text)
        assert known is not None, f"{text!r} is refused"
        return known

    limits: dict[str, tuple[bool, Callable[[], float]]] = {}
    if case.base:
        limits["more than its base"] = (True, lambda: of(case.base) + MARGIN)
    if case.below:
        limits["no less than the right answer"] = (True, lambda: of(case.below) - 0.01)
    if case.at_most is not None:
        limits["too high"] = (True, lambda: case.at_most or 0.0)
    if case.at_least is not None:
        limits["too low"] = (False, lambda: case.at_least or 0.0)
    if not limits and not case.scored:
        return f"scored {score}, not refused"
    for name, (upper, limit) in limits.items():
        bound = limit()
        if score > bound if upper else score < bound:
            return f"{name}: {score} where the limit is {bound:.2f}"
    return None


@pytest.fixture(scope="module")
def faults(scorer: Any) -> dict[str, list[str]]:
    """Kind -> the cases that behave other than wanted, with how."""
    version = scorer.versions["competency"]
    return {
        kind: [
            f"{case.question} {case.language} {wrong}: {case.text[:60]}"
            for case in cases
            if (wrong := fault(case, version))
        ]
        for kind, cases in KINDS.items()
    }


def test_there_are_150_answers_of_every_kind():
    assert sum(len(cases) for cases in KINDS.values()) >= 150
    assert {case.language for cases in KINDS.values() for case in cases} == {"zh", "en"}
    assert len({case.question for cases in KINDS.values() for case in cases}) >= 40


def test_at_least_95_in_100_behave_as_wanted(faults: dict[str, list[str]]):
    wrong = [line for lines in faults.values() for line in lines]
    total = sum(len(cases) for cases in KINDS.values())
    assert len(wrong) <= 0.05 * total, "\n".join(wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_attack_is_left_open(kind: str, faults: dict[str, list[str]]):
    """Two in three of each: padding, the weakest, gains at most 8 points in 5 cases of 16."""
    assert len(faults[kind]) <= len(KINDS[kind]) / 3, "\n".join(faults[kind])


@pytest.mark.parametrize("kind", ["honest", "mixed", "low_effort"])
def test_nobody_who_tries_is_refused_and_nobody_who_does_not_is_scored(
    kind: str, faults: dict[str, list[str]]
):
    assert not faults[kind]


def misheard(text: str, share: float, rng: random.Random) -> str:
    """The text with this share of its units heard as others of the bank, lost or doubled."""
    chinese = is_chinese(text)
    found = list(text) if chinese else text.split(" ")
    others = sorted(
        {
            unit
            for unit in units(normalised(spoken_words("zh" if chinese else "en")))
            if unit.isalpha()
        }
    )
    for place in rng.sample(range(len(found)), round(share * len(found))):
        kind = rng.random()
        found[place] = rng.choice(others) if kind < 0.7 else "" if kind < 0.85 else found[place] * 2
    return "".join(found) if chinese else " ".join(found)


def spoken_words(language: str) -> str:
    """Every reference answer of the bank."""
    return " ".join(
        reference
        for job in bank().jobs.values()
        for question in job.questions.values()
        for reference in question.references[language]
    )


@pytest.mark.parametrize(("share", "median", "most"), [(0.05, 2, 8), (0.1, 5, 17), (0.2, 10, 26)])
def test_misheard_words_move_a_score_little_and_refuse_nobody(
    share: float, median: float, most: float, scorer: Any
):
    version, rng = scorer.versions["competency"], random.Random(1)
    moved = []
    for case in (*KINDS["honest"], *KINDS["mixed"]):
        clean = points(version, case.question, case.language, case.text)
        noisy = points(version, case.question, case.language, misheard(case.text, share, rng))
        assert clean is not None
        assert noisy is not None, case.text
        moved.append(abs(noisy - clean))
    assert np.median(moved) <= median
    assert np.quantile(moved, 0.9) <= most
