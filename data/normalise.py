"""Two spellings of the same words → one, so that error rates count what was misheard.

A recogniser writes 12.5%, a transcript 百分之十二点五; both were said alike. Mandarin is
compared as it is read aloud, in characters; English in words with numbers in digits.
Numbers are read by cn2an (MIT), English is brought to one spelling by Whisper's own
normaliser (whisper-normalizer, MIT), edits are counted by rapidfuzz (MIT).
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cn2an
import zhconv
from rapidfuzz.distance import Levenshtein
from whisper_normalizer.english import EnglishTextNormalizer

from data.contract import Word

_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(,\d{3})+(?!\d)")
_DATE = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_CLOCK = re.compile(r"(?<!\d)(\d{1,2}):(\d{2})(?!\d)")
_RANGE = re.compile(r"(?<=\d)[-~](?=\d)")
_DIGIT_BY_DIGIT = re.compile(r"(?<![\d.])(0\d+|\d{9,})(?![\d.])")
"""Telephone and card numbers."""

_ONE_SPELLING = str.maketrans({"两": "二", "幺": "一", "〇": "零"})
_UNIT = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+(?:'[^\W\d_\u3400-\u9fff]+)*|\d+")


def spoken(text: str) -> str:
    """Chinese text as it is read aloud: simplified, half width, lower case, numerals as 汉字.

    两 and 二, 幺 and 一 become one: digits do not say which of them was spoken.
    """
    text = zhconv.convert(unicodedata.normalize("NFKC", text), "zh-cn").lower()
    text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    text = _DATE.sub(r"\1年\2月\3日", text)
    text = _CLOCK.sub(r"\1点\2分", text)
    text = _RANGE.sub("到", text)
    text = _DIGIT_BY_DIGIT.sub(lambda found: cn2an.an2cn(found[0], "direct"), text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what it leaves as it is
        text = cn2an.transform(text, "an2cn")
    return text.translate(_ONE_SPELLING)


@cache
def _english() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()


def units(text: str, language: str) -> list[str]:
    """What errors are counted in, in one spelling and without punctuation.

    Characters of Chinese (a Latin word in it is one unit), words of any other language.
    """
    if language == "zh":
        return _UNIT.findall(spoken(text))
    one = _english()(text) if language == "en" else unicodedata.normalize("NFKC", text).lower()
    return _UNIT.findall(one)


@dataclass(frozen=True)
class Errors:
    """The fewest edits between a reference and what was recognised, in units.

    units : of the reference; there may be more edits than those
    """

    substituted: int
    deleted: int
    inserted: int
    units: int

    @property
    def edits(self) -> int:
        """All three together."""
        return self.substituted + self.deleted + self.inserted

    @property
    def rate(self) -> float:
        """Of the reference's units: the character error rate of zh, the word error rate of en."""
        return self.edits / self.units if self.units else float(self.edits > 0)


def errors(reference: str, found: str, language: str) -> Errors:
    """What was misheard, once both are in one spelling."""
    wanted = units(reference, language)
    counts = {"replace": 0, "delete": 0, "insert": 0}
    for edit in Levenshtein.editops(wanted, units(found, language)):
        counts[edit.tag] += 1
    return Errors(counts["replace"], counts["delete"], counts["insert"], len(wanted))


@dataclass(frozen=True)
class Piece:
    """Recognised words that are compared as one, since a number may span several.

    wrong : of its `units`, those that were not said
    """

    words: tuple[Word, ...]
    wrong: int
    units: int


def pieces(reference: str, words: Sequence[Word], language: str) -> list[Piece]:
    """The recognised words with how many of their units were not said."""
    groups = _whole_numbers(words)
    found = [units("".join(word.text for word in group), language) for group in groups]
    owner = [i for i, part in enumerate(found) for _ in part]
    wrong = [0] * len(groups)
    joined = [unit for part in found for unit in part]
    for edit in Levenshtein.editops(units(reference, language), joined):
        if edit.tag != "delete":
            wrong[owner[edit.dest_pos]] += 1
    return [
        Piece(tuple(group), errors_in, len(part))
        for group, errors_in, part in zip(groups, wrong, found, strict=True)
        if part
    ]


def _whole_numbers(words: Sequence[Word]) -> list[list[Word]]:
    """Words in groups; a word that goes on with a number, or ends one, is not cut off it."""
    groups: list[list[Word]] = []
    for word in words:
        before = "".join(one.text for one in groups[-1]) if groups else ""
        if re.search(r"\d[.,:%万亿]?$", before) and re.match(r"[.,:%\d万亿年月日]", word.text):
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups
