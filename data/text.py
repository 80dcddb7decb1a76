"""Text as it is read everywhere: one spelling, sentences, clauses, units.

A unit is one Chinese character, one word of another script, one number or one operator.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import zhconv

Grams = Counter[tuple[str, ...]]

CJK = "\u4e00-\u9fff"
IDEOGRAPH = re.compile(rf"[{CJK}]")
_UNIT = re.compile(rf"[{CJK}]|[a-z]+|\d+(?:\.\d+)?|[+\-*/^=<>]")
_WIDE = f"{CJK}，。！？；：、“”"
_GAP = re.compile(rf"(?<=[{_WIDE}]) +(?=[{_WIDE}])")
"""A space between Chinese characters: recognisers write some, and they say nothing."""

_SENTENCE_END = re.compile(r"(?<=[。！？!?；;\n])|(?<=[A-Za-z\d%)\"”]\.)(?=\s)")
_CLAUSE_END = re.compile(r"[。！？!?；;，,：:\n]|\.(?=\s)|[(（]\d{1,2}[)）]|(?<!\d)\d[.、](?!\d)")


def normalised(text: str) -> str:
    """Lower case, compatibility forms folded, simplified Chinese, single spaces."""
    folded = unicodedata.normalize("NFKC", text)
    simple = str(zhconv.convert(folded, "zh-hans")).lower()
    single = re.sub(r"\s*\n\s*", "\n", re.sub(r"[ \t\r]+", " ", simple)).strip()
    return _GAP.sub("", single)


def sentences(text: str) -> list[str]:
    """Sentences in order; pieces without a letter, digit or ideograph are dropped."""
    return [piece.strip() for piece in _SENTENCE_END.split(text) if re.search(r"\w", piece)]


def clauses(text: str) -> list[str]:
    """Clauses in order: sentences cut again at commas, colons and list numbers."""
    pieces = (piece.strip() for piece in _CLAUSE_END.split(text))
    return [piece for piece in pieces if len(re.findall(r"\w", piece)) >= 2]


def units(plain: str) -> tuple[str, ...]:
    """Units of a normalised text, in order."""
    return tuple(_UNIT.findall(plain))


def ngrams(found: Sequence[str], size: int) -> Grams:
    """How often each run of `size` units occurs."""
    return Counter(zip(*(islice(found, start, None) for start in range(size)), strict=False))


def is_chinese(text: str) -> bool:
    """Whether any of it is written in Chinese characters."""
    return bool(IDEOGRAPH.search(text))


def joined(parts: Sequence[str]) -> str:
    """Sentences as one text: Chinese without spaces between, else with one."""
    return ("" if is_chinese("".join(parts)) else " ").join(parts)
