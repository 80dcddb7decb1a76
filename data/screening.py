"""A résumé against what a job asks for: each term found, near or absent, and in which words.

Terms and their ways of being written are configs/requirements.yaml. What is found counts; a
line that only means something near is shown, marked as near and never counted. Nobody is
refused here: a person reads the matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

import configs
from data.contract import Record
from data.embedding import embed
from data.jobs import Bilingual, UnknownJob
from data.resume import Resume, Section, UnreadableResume, read_resume
from data.text import clauses, is_chinese, normalised, units

Status = Literal["found", "near", "absent"]
Need = Literal["must", "nice"]

NEAR_UNITS = (4, 80)
"""A line of fewer or more units is compared with nothing."""


class TermConfig(Record):
    """One thing that is asked for.

    words : ways of writing it; means : lines that say it in other words, for what is near;
    where : sections in which it counts; empty: all
    """

    name: Bilingual
    words: tuple[str, ...] = Field(min_length=1)
    means: tuple[str, ...] = ()
    where: tuple[Section, ...] = ()


class JobRequirements(Record):
    """Terms of one job."""

    must: tuple[str, ...] = Field(min_length=1)
    nice: tuple[str, ...] = ()


class RequirementsConfig(Record):
    """configs/requirements.yaml."""

    near: float = Field(gt=0, lt=1)
    terms: dict[str, TermConfig]
    jobs: dict[str, JobRequirements]

    @model_validator(mode="after")
    def _terms_are_known(self) -> Self:
        for job, asked in self.jobs.items():
            if unknown := {*asked.must, *asked.nice} - set(self.terms):
                raise ValueError(f"job {job}: unknown terms {', '.join(sorted(unknown))}")
            if twice := set(asked.must) & set(asked.nice):
                raise ValueError(f"job {job}: both must and nice: {', '.join(sorted(twice))}")
        return self


class Match(Record):
    """One term of a job in one résumé.

    word : as it is written there; quote : the line it stands in; start, end : of `word` for
    what was found, of the line for what is near, in `Resume.text`; cosine : of a near line
    """

    term: str
    name: Bilingual
    need: Need
    status: Status
    word: str = ""
    section: str = ""
    quote: str = ""
    start: int | None = None
    end: int | None = None
    cosine: float | None = None


class Screening(Record):
    """Every term of a job, in the order of the configuration.

    share : of the terms found, a must counting twice
    """

    job: str
    matches: tuple[Match, ...]
    must_found: int
    must_asked: int
    nice_found: int
    nice_asked: int
    share: float


class ScreenedFile(Record):
    """One file: its screening, or the code and message of why it has none.

    removed : kind of identity -> how often it was replaced
    """

    file: str
    screening: Screening | None = None
    removed: dict[str, int] = Field(default={})
    code: str = ""
    message: str = ""


def screen_files(files: Sequence[Path], job: str, processes: int = 1) -> Iterator[ScreenedFile]:
    """Each file's screening, in the order given; a file that cannot be read ends nothing.

    Raises UnknownJob before the first file.
    """
    _asked_of(job, _config())
    one = partial(_screen_file, job=job)
    if processes == 1:
        yield from map(one, files)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, files, chunksize=4)


def ordered(screened: Iterable[ScreenedFile]) -> list[ScreenedFile]:
    """Most of what must be there first, then the greatest share; files not read at the end."""

    def place(file: ScreenedFile) -> tuple[float, float, str]:
        found = file.screening
        return (-found.must_found, -found.share, file.file) if found else (1, 0, file.file)

    return sorted(screened, key=place)


def rows(screened: Sequence[ScreenedFile]) -> pd.DataFrame:
    """One row a file: counts, and each term's status under its key."""
    return pd.DataFrame([_row(file) for file in screened])


def _row(file: ScreenedFile) -> dict[str, object]:
    row: dict[str, object] = {"file": file.file, "code": file.code}
    if found := file.screening:
        row |= found.model_dump(exclude={"matches"})
        row |= {match.term: match.status for match in found.matches}
    return row


def _screen_file(file: Path, *, job: str) -> ScreenedFile:
    try:
        resume = read_resume(file)
    except UnreadableResume as error:
        return ScreenedFile(file=str(file), code=error.code, message=str(error))
    except OSError as error:
        return ScreenedFile(file=str(file), code="not_read", message=str(error.strerror))
    return ScreenedFile(file=str(file), screening=screen(resume, job), removed=resume.removed)


def screen(resume: Resume, job: str, config: RequirementsConfig | None = None) -> Screening:
    """The job's terms in the résumé. Raises UnknownJob where nothing is asked for it."""
    config = config or _config()
    asked = _asked_of(job, config)
    keys = (*asked.must, *asked.nice)
    page = _Page.of(resume.text)
    found = {key: _found(resume, page, config.terms[key]) for key in keys}
    absent = [key for key in keys if found[key] is None]
    near = dict(zip(absent, _near(resume, [config.terms[k] for k in absent], config), strict=True))
    matches = tuple(
        _match(
            key, config.terms[key], "must" if key in asked.must else "nice", found[key] or near[key]
        )
        for key in keys
    )
    counts = {
        need: sum(match.need == need and match.status == "found" for match in matches)
        for need in ("must", "nice")
    }
    weight = 2 * len(asked.must) + len(asked.nice)
    return Screening(
        job=job,
        matches=matches,
        must_found=counts["must"],
        must_asked=len(asked.must),
        nice_found=counts["nice"],
        nice_asked=len(asked.nice),
        share=round((2 * counts["must"] + counts["nice"]) / weight, 4),
    )


@lru_cache(maxsize=1)
def _config() -> RequirementsConfig:
    return configs.load("requirements", RequirementsConfig)


def _asked_of(job: str, config: RequirementsConfig) -> JobRequirements:
    if job not in config.jobs:
        raise UnknownJob(job, sorted(config.jobs))
    return config.jobs[job]


@dataclass(frozen=True)
class _Page:
    """The text to look in: lower case, lines that wrap within a Chinese word joined.

    places : of each character in the résumé's own text
    """

    text: str
    places: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> _Page:
        kept, places = [], []
        for place, character in enumerate(text):
            wrapped = (
                character == "\n"
                and 0 < place < len(text) - 1
                and is_chinese(text[place - 1])
                and is_chinese(text[place + 1])
            )
            if wrapped:
                continue
            low = character.lower()
            kept.append(low if len(low) == 1 else character)
            places.append(place)
        return cls("".join(kept), tuple(places))


@dataclass(frozen=True)
class _Hit:
    """Where a term stands, or the line that is near to it."""

    start: int
    end: int
    section: Section
    word: str
    quote: str
    cosine: float | None = None


_DENIED_BEFORE = re.compile(
    r"(?:不会|不熟悉|不懂|不了解|没有|没学过|没用过|未曾|未学过|未接触过?|缺乏|缺少|尚无|无)"
    r"(?:任何|过|相关|使用)?[^,，。;；、\n]{0,4}$"
    r"|\b(?:no|not|never|without|lack(?:s|ing)?"
    r"|haven't|hasn't|don't|unfamiliar with)\b[^,.;\n]{0,20}$"
)
_WISHED_BEFORE = re.compile(
    r"(?:希望|想|期望|渴望|有意|愿意|意向|求职意向|应聘)[^。;；\n]{0,12}$"
    r"|\b(?:hope|wish|want|eager|keen|seeking|looking) [^.;\n]{0,25}$"
)


_NOT_DONE = re.compile(
    r"没有(?:学|用|接触)|没(?:学|用|接触)过|从未|未曾|不会|不熟悉|不懂|不了解|希望|想要?学|期望|有意|应聘"
    r"|\b(?:never|no experience|unfamiliar|hope|wish|want|eager|seeking|looking for)\b",
    re.IGNORECASE,
)
"""In a line that is near to nothing: it tells of what was not done, or is only wanted."""


def _found(resume: Resume, page: _Page, term: TermConfig) -> _Hit | None:
    """The first way of writing the term that stands where it counts and is not denied."""
    hits = (
        hit
        for match in _pattern(term.words).finditer(page.text)
        if (hit := _hit(resume, page, term, match))
    )
    return next(hits, None)


def _hit(resume: Resume, page: _Page, term: TermConfig, match: re.Match[str]) -> _Hit | None:
    start, end = page.places[match.start()], page.places[match.end() - 1] + 1
    section = resume.section_at(start)
    if term.where and section not in term.where:
        return None
    before = page.text[max(0, match.start() - 40) : match.start()]
    if _DENIED_BEFORE.search(before) or _WISHED_BEFORE.search(before):
        return None
    return _Hit(start, end, section, resume.text[start:end], _line_at(resume.text, start, end))


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Longer ways of writing first; Latin ones as whole words."""
    parts = []
    for word in sorted(words, key=len, reverse=True):
        plain = re.escape(word.lower()).replace(r"\ ", r"\s+")
        left = r"(?<![a-z0-9])" if re.match(r"[a-z0-9]", word.lower()) else ""
        right = r"(?![a-z0-9+#])" if re.search(r"[a-z0-9+#]$", word.lower()) else ""
        parts.append(f"{left}{plain}{right}")
    return re.compile("|".join(parts))


def _line_at(text: str, start: int, end: int) -> str:
    """The whole line or lines that hold the stretch."""
    begin = text.rfind("\n", 0, start) + 1
    stop = text.find("\n", end)
    return text[begin : stop if stop >= 0 else len(text)]


def _near(
    resume: Resume, terms: Sequence[TermConfig], config: RequirementsConfig
) -> list[_Hit | None]:
    """For each term the line nearest in meaning to one of its names or words; None: none is."""
    lines = _lines(resume)
    if not terms or not lines:
        return [None] * len(terms)
    vectors = embed([normalised(line.quote) for line in lines])
    return [_nearest(term, lines, vectors, config.near) for term in terms]


def _nearest(
    term: TermConfig, lines: Sequence[_Hit], vectors: npt.NDArray[np.float32], least: float
) -> _Hit | None:
    allowed = np.array([not term.where or line.section in term.where for line in lines])
    near = np.where(allowed, (vectors @ _meanings(term).T).max(axis=1), -1)
    best = int(near.argmax())
    if near[best] < least:
        return None
    line = lines[best]
    cosine = round(float(near[best]), 3)
    return _Hit(line.start, line.end, line.section, "", line.quote, cosine)


def _meanings(term: TermConfig) -> npt.NDArray[np.float32]:
    return _embedded((term.name.zh, term.name.en, *term.means))


@lru_cache(maxsize=256)
def _embedded(words: tuple[str, ...]) -> npt.NDArray[np.float32]:
    return embed([normalised(word) for word in words])


def _lines(resume: Resume) -> list[_Hit]:
    """Clauses of what was done and can be done, each once."""
    least, most = NEAR_UNITS
    found: dict[str, _Hit] = {}
    for entry in resume.entries:
        if entry.section in ("summary", "other"):
            continue
        at = entry.start
        for line in entry.text.split("\n"):
            for clause in clauses(line):
                told = least <= len(units(clause.lower())) <= most and not _NOT_DONE.search(clause)
                if told and clause not in found:
                    start = resume.text.find(clause, at)
                    start = at if start < 0 else start
                    found[clause] = _Hit(start, start + len(clause), entry.section, "", clause)
            at += len(line) + 1
    return list(found.values())


def _match(key: str, term: TermConfig, need: Need, hit: _Hit | None) -> Match:
    if hit is None:
        return Match(term=key, name=term.name, need=need, status="absent")
    return Match(
        term=key,
        name=term.name,
        need=need,
        status="found" if hit.cosine is None else "near",
        word=hit.word,
        section=hit.section,
        quote=hit.quote,
        start=hit.start,
        end=hit.end,
        cosine=hit.cosine,
    )
