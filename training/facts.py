"""What is known about the data a version learned from: stated by someone, never assumed."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field, ValidationError

import configs
from data.assets import file_sha256
from data.contract import Record
from data.outcomes import BadTable

DATASET = "dataset.yaml"
"""File beside the data in which its owner states facts."""

UNKNOWN = "unknown: the folder states nothing"


class Facts(Record):
    """Facts of one data set, as a card needs them.

    languages, settings : where a version learned from it may be called validated; none
        where nobody says so, and every score is provisional
    """

    name: str = "data of an unnamed folder"
    people: str = UNKNOWN
    dates: str = UNKNOWN
    consent_basis: str = UNKNOWN
    label_source: str = UNKNOWN
    datasheet: str = UNKNOWN
    recordings: str = Field(default=UNKNOWN, description="codec and noise")
    licences: tuple[str, ...] = (f"licence of the data {UNKNOWN}",)
    languages: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def learned_from(self) -> str:
        """For the manifest."""
        return f"{self.name}: {self.people}"


class Corpus(Record):
    """A data set known by its content. files : name -> sha256."""

    files: dict[str, str] = Field(min_length=1)
    facts: Facts


class Corpora(Record):
    """configs/corpora.yaml."""

    corpora: tuple[Corpus, ...]


def facts(folder: Path) -> Facts:
    """What the folder's dataset.yaml states, else what is known of tables of this content.

    Raises BadTable where dataset.yaml has a key that is no fact.
    """
    stated = folder / DATASET
    if stated.is_file():
        try:
            return Facts.model_validate(yaml.safe_load(stated.read_text(encoding="utf-8")))
        except (ValidationError, yaml.YAMLError) as error:
            keys = ", ".join(Facts.model_fields)
            raise BadTable(f"{stated}: {error}; it may state {keys}") from error
    for corpus in configs.load("corpora", Corpora).corpora:
        if all(_is(folder / name, sha256) for name, sha256 in corpus.files.items()):
            return corpus.facts
    return Facts()


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256
