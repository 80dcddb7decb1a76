"""Text without who somebody is: name, gender, age, address, school and its rank, and the like.

What is found is replaced by its kind, 〔name〕, the same for everyone, a school's rank by nothing:
two people who differ in nothing else have the same text. The rules of configs/identity.yaml look
at labels and at wording; they find what résumés are written with and cannot find everything.
"""

from __future__ import annotations

import calendar
import re
from collections import Counter
from functools import cached_property, lru_cache

import configs
from data.contract import Record

SPACED = ("name", "gender", "age", "origin", "belief", "family", "body")
"""Kinds whose label needs no colon: no sentence begins with one of them and a space."""

HEADER_LINES = 3
"""At the top of a résumé, where a name may stand without a label."""

_LABEL_END = (
    r"(?=\s{2,}|\s*[|｜/,，;；、\n]|\s+[\u4e00-\u9fff ]{2,6}[:：]|\s+[A-Z][A-Za-z ]{2,18}:|$)"
)
_LABEL_START = r"(?<![\w\u4e00-\u9fff])"

_KIND = r"(?:大学|学院|职业技术学院|专科学校|党校|中学|高中)"
_OF = r"(?: of(?: [A-Z][\w&-]+| and| the| &){1,6})"
_SCHOOL = re.compile(
    rf"[\u4e00-\u9fff·]{{2,14}}?{_KIND}(?:\([\u4e00-\u9fffA-Za-z]+\))?(?:[\u4e00-\u9fff]{{2,10}}学院)?"
    rf"|\b(?:[A-Z][\w&'’.-]*[ ]+){{1,5}}(?:University|College|Institute|Polytechnic|School)\b{_OF}?"
    rf"|\b(?:University|College|Institute|School){_OF}"
)
_NO_SCHOOL = re.compile(
    r"(?:面向|走进|各|多所|服务|所有|周边|几所|全国|当地)(?:大学|学院|中学|高中)|大学生|大学英语|大学(?:期间|时期)"
)
_SCHOOL_FOLLOWS = r"(?=[\s,，、;；。)(|]|本科|硕士|博士|研究生|毕业|读|校|$)"

_NAME_EN = re.compile(r"^[A-Z][A-Za-z'’-]+(?: [A-Z]\.?)?(?: [A-Z][A-Za-z'’-]+){1,2}$")
_MONTHS = frozenset(calendar.month_name)
_ROLE = re.compile(r"\b(chair|sales|spokes)(?:wo)?m[ae]n\b", re.IGNORECASE)


class ShortSchools(Record):
    """Abbreviated names of schools."""

    zh: tuple[str, ...]
    en: tuple[str, ...]


class IdentityConfig(Record):
    """configs/identity.yaml."""

    labels: dict[str, tuple[str, ...]]
    written: dict[str, tuple[str, ...]]
    short_schools: ShortSchools
    no_name: tuple[str, ...]
    surnames: str

    @cached_property
    def labelled(self) -> dict[str, re.Pattern[str]]:
        """Kind -> `label` and the `value` after it."""
        return {
            kind: re.compile(
                rf"(?P<label>{_LABEL_START}(?:{'|'.join(labels)})[^\S\n]*[:：][^\S\n]*)"
                rf"(?P<value>[^\n]*?){_LABEL_END}",
                re.IGNORECASE | re.MULTILINE,
            )
            for kind, labels in self.labels.items()
        }

    @cached_property
    def spaced(self) -> re.Pattern[str]:
        """A Chinese label that a space parts from its value, as in the text of a PDF's table."""
        chinese = (
            label for kind in SPACED for label in self.labels[kind] if re.match("[^a-z]", label)
        )
        return re.compile(rf"{_LABEL_START}({'|'.join(chinese)})[^\S\n]+(?=[^\s:：])")

    @cached_property
    def label(self) -> re.Pattern[str]:
        """A label and nothing else."""
        every = "|".join(label for labels in self.labels.values() for label in labels)
        return re.compile(rf"\s*(?:{every})\s*", re.IGNORECASE)

    @cached_property
    def anywhere(self) -> dict[str, re.Pattern[str]]:
        """Kind -> what tells it without a label."""
        return {
            kind: re.compile("|".join(patterns), re.IGNORECASE | re.MULTILINE)
            for kind, patterns in self.written.items()
        }

    @cached_property
    def short_school(self) -> re.Pattern[str]:
        """A school by the name that people use."""
        short = self.short_schools
        return re.compile(
            rf"(?:{'|'.join(short.zh)}){_SCHOOL_FOLLOWS}|\b(?:{'|'.join(short.en)})\b"
        )

    @cached_property
    def chinese_name(self) -> re.Pattern[str]:
        """A surname and one to three characters, nothing else."""
        surnames = re.sub(r"\s", "", self.surnames)
        return re.compile(rf"^[{surnames}][\u4e00-\u9fff·]{{1,3}}$")

    @cached_property
    def no_names(self) -> re.Pattern[str]:
        """What no name has in it."""
        return re.compile("|".join(self.no_name), re.IGNORECASE)


def without_identity(text: str, *, header: int = HEADER_LINES) -> tuple[str, dict[str, int]]:
    """The text with each kind of identity replaced, and how often each was.

    text : folded (compatibility forms, simplified Chinese), lines kept
    header : lines at the top, at most HEADER_LINES, where a name may stand without a label
    """
    config = _config()
    removed: Counter[str] = Counter()

    def mark(found: re.Match[str], kind: str) -> str:
        removed[kind] += 1
        return found.groupdict().get("label", "") + f"〔{kind}〕"

    def school(found: re.Match[str]) -> str:
        return found.group() if _NO_SCHOOL.search(found.group()) else mark(found, "school")

    text = _ROLE.sub(r"\1person", text.replace("她", "他"))
    text = config.spaced.sub(r"\1: ", text)
    for name in _names(text, config, min(header, HEADER_LINES)):
        text = _name_pattern(name).sub(lambda found: mark(found, "name"), text)
    for kind, pattern in config.labelled.items():
        text = pattern.sub(lambda found, kind=kind: mark(found, kind), text)  # type: ignore[misc]
    text = config.short_school.sub(lambda found: mark(found, "school"), _SCHOOL.sub(school, text))
    for kind, pattern in config.anywhere.items():
        text = pattern.sub(lambda found, kind=kind: mark(found, kind), text)  # type: ignore[misc]
    text = re.sub(r" ?\([\s,，、;；/]*\)", "", text.replace("〔rank〕", ""))
    once = re.sub(r"〔(\w+)〕(?:[\s,，、|/;；()（）]*〔\1〕)+", r"〔\1〕", text)
    return once, dict(sorted(removed.items()))


def is_label(cell: str) -> bool:
    """Whether a cell of a table names what the next cell tells of a person."""
    return bool(_config().label.fullmatch(cell))


@lru_cache(maxsize=1)
def _config() -> IdentityConfig:
    return configs.load("identity", IdentityConfig)


def _names(text: str, config: IdentityConfig, header: int) -> list[str]:
    """Names that a label gives, or that stand alone at the top; longest first."""
    found = {match["value"].strip() for match in config.labelled["name"].finditer(text)} - {""}
    for line in text.split("\n")[:header]:
        for piece in re.split(
            r"\s{2,}|[|｜/,，•]|\s(?=[\u4e00-\u9fff])|(?<=[\u4e00-\u9fff])\s", line
        ):
            bare = re.sub(r"的?(?:个人)?简历$", "", piece.strip())
            squeezed = bare.replace(" ", "")
            if config.no_names.search(bare):
                continue
            if config.chinese_name.match(squeezed):
                found |= {bare, squeezed}
            elif _NAME_EN.match(bare):
                found.add(bare)
    return sorted((name for name in found if len(name) >= 2), key=len, reverse=True)


def _name_pattern(name: str) -> re.Pattern[str]:
    """The whole name in any case; of a Latin one also each part that is written as a name."""
    whole = re.escape(name).replace(r"\ ", r"\s+")
    if not name.isascii():
        return re.compile(whole)
    parts = {part.title() for part in re.findall(r"[A-Za-z'-]{2,}", name)} - _MONTHS
    ways = "|".join([rf"(?i:{whole})", *(re.escape(part) for part in sorted(parts))])
    return re.compile(rf"(?<![A-Za-z])(?:{ways})(?![A-Za-z])")
