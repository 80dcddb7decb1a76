"""Jobs, competencies and the question bank: `configs/jobs.yaml`, checked."""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

import configs

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

DELIVERY = ("fluency", "prosody", "expression")
"""Weighted aspects that are not competencies: how it was said, not what."""


class UnknownJob(ValueError):
    """No such job (HTTP 422); the message names those there are."""

    def __init__(self, key: str, known: list[str]) -> None:
        """The message names `known`."""
        super().__init__(f"unknown job {key!r}; configs/jobs.yaml has: {', '.join(known)}")


class UnknownQuestion(ValueError):
    """The job has no such question (HTTP 422); the message names those it has."""

    def __init__(self, key: str, job: str, known: list[str]) -> None:
        """The message names `known`."""
        super().__init__(f"unknown question {key!r}; job {job!r} has: {', '.join(known)}")


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bilingual(_Entry):
    """One text in both languages."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)

    def __getitem__(self, language: str) -> str:
        """The text in `language`; English where it is neither zh nor en."""
        return self.zh if language == "zh" else self.en


class BilingualList(_Entry):
    """Several texts in each language, in the same order."""

    zh: tuple[str, ...] = Field(min_length=1)
    en: tuple[str, ...] = Field(min_length=1)

    def __getitem__(self, language: str) -> tuple[str, ...]:
        """The texts in `language`; English where it is neither zh nor en."""
        return self.zh if language == "zh" else self.en


class Competency(_Entry):
    """What a question asks for."""

    name: Bilingual
    definition: Bilingual


class Question(_Entry):
    """One question of a job's bank.

    key : set from its place in the file
    key_points : what a strong answer contains
    references : whole answers an experienced interviewer would rate high
    """

    key: str = ""
    competency: str
    time_limit_s: int = Field(ge=15, le=600)
    text: Bilingual
    key_points: BilingualList
    references: BilingualList

    def comparisons(self, language: str) -> tuple[str, ...]:
        """Texts an answer is compared with: the references, then the key points as one text."""
        joined = "；".join if language == "zh" else "; ".join
        return (*self.references[language], joined(self.key_points[language]))


class Job(_Entry):
    """One job: its weights and its questions.

    weights : competency or delivery aspect -> share of the total; they sum to 1
    accept_provisional : whether provisional scores count in the total
    hotwords : terms of the work that a recogniser may be shown. None of a question's key
        points: what is expected of the answer must not be put into the recogniser's mouth
    """

    key: str = ""
    name: Bilingual
    language: Language
    accept_provisional: bool
    weights: dict[str, float]
    questions: dict[str, Question] = Field(min_length=1)
    hotwords: BilingualList | None = None

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Job:
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError("weights must not be negative")
        if not math.isclose(sum(self.weights.values()), 1, abs_tol=1e-6):
            raise ValueError(f"weights must sum to 1, got {sum(self.weights.values()):.4f}")
        return self

    @property
    def competencies(self) -> tuple[str, ...]:
        """Weighted competencies, in the order of `weights`."""
        return tuple(name for name in self.weights if name not in DELIVERY)

    def hotwords_in(self, language: str) -> tuple[str, ...]:
        """Its hotwords in `language`; none in a language the bank is not written in."""
        return self.hotwords[language] if self.hotwords and language in LANGUAGES else ()

    def question(self, key: str) -> Question:
        """The question named `key`. Raises UnknownQuestion."""
        if key not in self.questions:
            raise UnknownQuestion(key, self.key, sorted(self.questions))
        return self.questions[key]


class JobsConfig(_Entry):
    """The whole file. `version` changes when a weight or a text does."""

    version: int = Field(ge=1)
    competencies: dict[str, Competency]
    jobs: dict[str, Job] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_known(self) -> JobsConfig:
        known = {*self.competencies, *DELIVERY}
        for key, job in self.jobs.items():
            asked = {question.competency for question in job.questions.values()}
            if unknown := (set(job.weights) - known) | (asked - set(self.competencies)):
                raise ValueError(f"job {key}: unknown competency {', '.join(sorted(unknown))}")
            if differing := asked ^ set(job.competencies):
                raise ValueError(
                    f"job {key}: each weighted competency needs a question and the reverse; "
                    f"not so: {', '.join(sorted(differing))}"
                )
        return self


def jobs(config: JobsConfig | None = None) -> dict[str, Job]:
    """Every job by its key, each question knowing its own key."""
    config = config or configs.load("jobs", JobsConfig)
    return {key: _named(job, key) for key, job in config.jobs.items()}


def job(key: str) -> Job:
    """The job named `key`. Raises UnknownJob."""
    known = jobs()
    if key not in known:
        raise UnknownJob(key, sorted(known))
    return known[key]


def competencies() -> dict[str, Competency]:
    """Every competency by its key."""
    return configs.load("jobs", JobsConfig).competencies


def _named(job: Job, key: str) -> Job:
    questions = {
        name: question.model_copy(update={"key": name}) for name, question in job.questions.items()
    }
    return job.model_copy(update={"key": key, "questions": questions})
