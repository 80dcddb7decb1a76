"""Jobs, competencies and the question bank, checked.

`configs/jobs.yaml` names the jobs and their weights; each competency is a file of
`configs/competencies` with its five levels, each job's questions are a file of
`configs/questions`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

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


class Example(Bilingual):
    """A whole answer at one level. question : of the bank, or of the competency itself."""

    question: str


class Level(_Entry):
    """One of the five levels of a competency.

    anchor : what a person does in an answer at this level
    """

    anchor: Bilingual
    examples: tuple[Example, ...] = Field(min_length=1)


LEVELS = 5
"""Levels of every competency; the first is the lowest."""


def level_of(points: float) -> int:
    """Level 1 to 5 that a score in points of 100 lies nearest to, a half upwards."""
    return 1 + min(LEVELS - 1, max(0, math.floor(points / 100 * (LEVELS - 1) + 0.5)))


def points_of(level: float) -> float:
    """Points of 100 of a level: 1 is 0, 5 is 100."""
    return (level - 1) * 100 / (LEVELS - 1)


class Asked(_Entry):
    """A question with what its answers are compared with.

    key : set from its place in the file
    key_points : what a strong answer contains
    references : whole answers an experienced interviewer would rate high
    """

    key: str = ""
    text: Bilingual
    key_points: BilingualList
    references: BilingualList

    @model_validator(mode="after")
    def _languages_agree(self) -> Self:
        if len(self.key_points.zh) != len(self.key_points.en):
            raise ValueError("key_points need the same entries in zh and en")
        return self

    def comparisons(self, language: str) -> tuple[str, ...]:
        """Texts an answer is compared with: the references, then the key points as one text."""
        joined = "；".join if language == "zh" else "; ".join
        return (*self.references[language], joined(self.key_points[language]))


class Competency(_Entry):
    """What a question asks for.

    levels : lowest first; what people do in their answers
    questions : that its examples answer and that no job asks
    """

    name: Bilingual
    definition: Bilingual
    levels: tuple[Level, ...] = Field(min_length=LEVELS, max_length=LEVELS)
    questions: dict[str, Asked] = {}

    def anchors(self, language: str) -> tuple[str, ...]:
        """Of the five levels, lowest first."""
        return tuple(level.anchor[language] for level in self.levels)


class Question(Asked):
    """One question of a job's bank.

    difficulty : 1 anyone prepared can answer … 5 separates the best, by the author's judgement
    """

    competency: str
    difficulty: int = Field(ge=1, le=5)
    time_limit_s: int = Field(ge=15, le=600)


class JobEntry(_Entry):
    """One job of configs/jobs.yaml.

    weights : competency or delivery aspect -> share of the total; they sum to 1
    accept_provisional : whether provisional scores count in the total
    hotwords : terms of the work that a recogniser may be shown. None of a question's key
        points: what is expected of the answer must not be put into the recogniser's mouth
    """

    name: Bilingual
    language: Language
    accept_provisional: bool
    weights: dict[str, float]
    hotwords: BilingualList | None = None

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError("weights must not be negative")
        if not math.isclose(sum(self.weights.values()), 1, abs_tol=1e-6):
            raise ValueError(f"weights must sum to 1, got {sum(self.weights.values()):.4f}")
        return self


class Job(JobEntry):
    """One job with its questions."""

    key: str
    questions: dict[str, Question] = Field(min_length=1)

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
    """configs/jobs.yaml."""

    jobs: dict[str, JobEntry] = Field(min_length=1)


class Questions(RootModel[dict[str, Question]]):
    """A file of configs/questions: the questions of one job by their keys."""


class Bank(_Entry):
    """Every job, competency and question.

    version : digest of all of it; it changes with any weight or text
    """

    version: str
    competencies: dict[str, Competency]
    jobs: dict[str, Job]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
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

    @model_validator(mode="after")
    def _keys_are_unique(self) -> Self:
        owners: dict[str, str] = {}
        asked = [(f"job {key}", list(job.questions)) for key, job in self.jobs.items()]
        asked += [(f"competency {key}", list(c.questions)) for key, c in self.competencies.items()]
        for owner, keys in asked:
            for key in keys:
                if owners.setdefault(key, owner) != owner:
                    raise ValueError(f"question {key} is of {owners[key]} and of {owner}")
        for name, competency in self.competencies.items():
            for level in competency.levels:
                if absent := {example.question for example in level.examples} - set(owners):
                    raise ValueError(f"{name}: examples of no question {', '.join(sorted(absent))}")
        return self

    def asked(self, key: str) -> Asked:
        """The question called `key`, of a job or of a competency's examples."""
        every: list[Mapping[str, Asked]] = [job.questions for job in self.jobs.values()]
        every += [competency.questions for competency in self.competencies.values()]
        return next(questions[key] for questions in every if key in questions)


def bank() -> Bank:
    """Everything that can be asked, read once from each folder of configurations."""
    return _read(configs.FOLDER)


def jobs() -> dict[str, Job]:
    """Every job by its key."""
    return bank().jobs


def job(key: str) -> Job:
    """The job named `key`. Raises UnknownJob."""
    known = jobs()
    if key not in known:
        raise UnknownJob(key, sorted(known))
    return known[key]


def competencies() -> dict[str, Competency]:
    """Every competency by its key."""
    return bank().competencies


@lru_cache(maxsize=2)
def _read(folder: Path) -> Bank:
    """The bank of `folder`, which is where `configs` reads."""
    entries = configs.load("jobs", JobsConfig).jobs
    questions = configs.load_each("questions", Questions)
    if differing := set(entries) ^ set(questions):
        raise ValueError(
            "each job of configs/jobs.yaml needs its file of configs/questions and the reverse; "
            f"not so: {', '.join(sorted(differing))}"
        )
    found = {
        key: Job(key=key, questions=_keyed(questions[key].root), **dict(entry))
        for key, entry in entries.items()
    }
    known = {
        key: competency.model_copy(update={"questions": _keyed(competency.questions)})
        for key, competency in configs.load_each("competencies", Competency).items()
    }
    nameless = Bank(version="", competencies=known, jobs=found)
    digest = hashlib.sha256(nameless.model_dump_json().encode()).hexdigest()[:12]
    return nameless.model_copy(update={"version": digest})


AnyAsked = TypeVar("AnyAsked", bound=Asked)


def _keyed(questions: dict[str, AnyAsked]) -> dict[str, AnyAsked]:
    """Each question knowing its own key."""
    return {key: asked.model_copy(update={"key": key}) for key, asked in questions.items()}
