"""The question bank by meaning: questions that ask the same, answers to another question."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt
from pydantic import Field

import configs
from data.assets import cache_folder
from data.content import judged
from data.contract import ENCODER, LANGUAGE, Record
from data.embedding import embed
from data.jobs import LANGUAGES, Bank, bank
from data.text import ngrams, normalised, units

Vectors = npt.NDArray[np.float32]


class QuestionBankConfig(Record):
    """configs/question_bank.yaml. Nearness of an answer to a reference: cosine + wording."""

    same_question: float = Field(
        description="mean cosine over the languages from which two questions may ask the same"
    )
    different: tuple[tuple[str, str], ...] = Field(
        description="pairs above it that a person read and found to ask for different things"
    )
    other_near: float = Field(description="nearness to another question's reference at least")
    other_ahead: float = Field(description="by which that is nearer than to any of its own")


@dataclass(frozen=True)
class Pair:
    """Two questions that are near in meaning. cosine : mean over the languages"""

    first: str
    second: str
    cosine: float


@dataclass(frozen=True)
class Index:
    """Reference answers of every question in one language.

    keys : (references,) question of each; pairs : each one's pairs of units
    """

    keys: npt.NDArray[np.str_]
    pairs: tuple[frozenset[tuple[str, ...]], ...]
    vectors: Vectors


def load(language: str) -> None:
    """Read the bank's references now (seconds the first time) instead of at the first answer."""
    _index(bank().version, language)


def other_question(answer: str, key: str, language: str) -> str | None:
    """The question of the bank that the words answer instead of the one called `key`.

    None where they are as near to their own question's references as to any other's. Near in
    meaning is not enough: words of the other reference, or its meaning nearly whole.
    """
    config = configs.load("question_bank", QuestionBankConfig)
    index = _index(bank().version, language)
    text = judged(answer)
    near = index.vectors @ embed([text])[0] + _wording(text, index)
    own = index.keys == key
    mine = float(near[own].max()) if own.any() else 0.0
    best = int(np.where(own, -1, near).argmax())
    if near[best] < config.other_near or near[best] - mine < config.other_ahead:
        return None
    return str(index.keys[best])


def near_questions(found: Bank | None = None, least: float | None = None) -> list[Pair]:
    """Pairs of questions whose texts mean nearly the same, nearest first.

    least : cosine; default that of configs/question_bank.yaml, without pairs read by a person
    """
    found = found or bank()
    config = configs.load("question_bank", QuestionBankConfig)
    known = {frozenset(pair) for pair in config.different} if least is None else set()
    floor = config.same_question if least is None else least
    asked = {
        key: question for job in found.jobs.values() for key, question in job.questions.items()
    }
    keys = list(asked)
    cosines = [
        (vectors := embed([normalised(asked[key].text[code]) for key in keys])) @ vectors.T
        for code in LANGUAGES
    ]
    nearest = np.mean(cosines, axis=0)
    pairs = [
        Pair(keys[i], keys[j], round(float(nearest[i, j]), 3))
        for i, j in combinations(range(len(keys)), 2)
        if nearest[i, j] >= floor and {keys[i], keys[j]} not in known
    ]
    return sorted(pairs, key=lambda pair: -pair.cosine)


def _wording(text: str, index: Index) -> npt.NDArray[np.float64]:
    """(references,) share of the answer's pairs of units that each reference has."""
    own = set(ngrams(units(text), 2))
    return np.array([len(own & known) / max(len(own), 1) for known in index.pairs])


@lru_cache(maxsize=4)
def _index(version: str, language: str) -> Index:
    """Of the bank of this version; its vectors are kept beside the weights, made once."""
    texts = [
        (key, normalised(reference))
        for job in bank().jobs.values()
        for key, asked in job.questions.items()
        for reference in asked.references[language]
    ]
    name = hashlib.sha256(f"{ENCODER.name} {LANGUAGE.id} {version}".encode()).hexdigest()[:16]
    path = cache_folder() / "bank" / f"{name}-{language}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{path.stem}.{os.getpid()}.npy")
        np.save(scratch, embed([text for _, text in texts]))
        scratch.replace(path)
    return Index(
        keys=np.array([key for key, _ in texts]),
        pairs=tuple(frozenset(ngrams(units(text), 2)) for _, text in texts),
        vectors=np.load(path, allow_pickle=False),
    )
