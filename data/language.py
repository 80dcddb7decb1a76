"""Answer text + question → LANGUAGE features: one extractor for training and serving.

The features compare the answer with the question and its reference answers, so that a
head can score questions it has never seen; named measures and sentence embeddings stand
beside them. Chinese and English; traditional Chinese is read as simplified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from data.content import judged
from data.contract import LANGUAGE_ANCHORS, LANGUAGE_COMPARISONS, LANGUAGE_MEASURES
from data.embedding import embed
from data.structure import NEGATION, rates
from data.text import IDEOGRAPH, Grams, clauses, ngrams, normalised, sentences, units

Vector = npt.NDArray[np.float32]

SIZES = ("singles", "pairs", "triples", "quadruples")
COVERED = 0.6
"""Cosine from which a clause counts as saying the reference's clause (coverage_share)."""

OF_NEAREST = {
    "negation_gap",
    "log_units",
    "log_reference_units",
    "log_length_ratio",
    "clause_ratio",
}
"""Comparisons taken from the nearest reference: for these more is not better."""

_OPENING = r"^(?:答[:：]?)?\s*"
_NO = re.compile(
    _OPENING + r"(?:错误|不正确|不对|错|否|不是|不可以|不能|不一定|没有|不会|(?:no|false|wrong)\b)"
)
_YES = re.compile(_OPENING + r"(?:正确|对|是的?|可以|能|有|会|(?:yes|true|correct|right)\b)")


@dataclass(frozen=True)
class Text:
    """One text, read once. `grams` are n-grams of units, n = 1 … 4."""

    plain: str
    units: tuple[str, ...]
    grams: tuple[Grams, ...]
    clauses: tuple[str, ...]
    clause_grams: tuple[Grams, ...]
    embedding: Vector
    sentence_embedding: Vector
    sentence_embeddings: Vector
    clause_embeddings: Vector


def extract(
    answer: str, question: str, references: Sequence[str], anchors: Sequence[str] = ()
) -> Vector:
    """LANGUAGE features (columns,) of one answer. Raises ValueError without a reference."""
    return np.asarray(extract_all([answer], question, references, anchors)[0], np.float32)


def extract_all(
    answers: Sequence[str], question: str, references: Sequence[str], anchors: Sequence[str] = ()
) -> Vector:
    """LANGUAGE features (answers, columns) of several answers to one question.

    Read is what of an answer is judged (`content.judged`): without asides and without what
    was said before. What answers share, such as the same answer with one sentence left out,
    is embedded once; what else is read of one is let go of before the next.

    anchors : of the competency's five levels, lowest first; none where it has none
    Raises ValueError without a reference.
    """
    asked, known = _rubric(question, tuple(references))
    levels = _anchors(tuple(anchors))
    texts = [judged(answer) for answer in answers]
    return np.stack([_row(answer, asked, known, levels) for answer in _read(texts)])


def measures(features: Vector) -> dict[str, float]:
    """The named measures of one row of features, for people to read."""
    names = [column.name for column in LANGUAGE_MEASURES]
    return dict(zip(names, features[: len(names)].tolist(), strict=True))


@lru_cache(maxsize=512)
def _rubric(question: str, references: tuple[str, ...]) -> tuple[Text, tuple[Text, ...]]:
    """The question and its references, read once for all answers."""
    known = [reference for reference in references if reference.strip()]
    if not known:
        raise ValueError("a question needs at least one reference answer to compare with")
    asked, *texts = _read([question, *known])
    return asked, tuple(texts)


@lru_cache(maxsize=64)
def _anchors(anchors: tuple[str, ...]) -> Vector:
    """(levels, width), lowest first; no row without anchors."""
    return embed([normalised(anchor) for anchor in anchors])


def _read(texts: Sequence[str]) -> Iterator[Text]:
    """One text after the other: a long one takes megabytes."""
    plains = [plain if re.search(r"\w", plain := normalised(text)) else "" for text in texts]
    pieces = [piece for plain in plains for piece in (plain, *sentences(plain), *clauses(plain))]
    different = sorted({"", *pieces})
    embedded = dict(zip(different, embed(different), strict=True))
    for plain in plains:
        yield _text(plain, embedded)


def _text(plain: str, embedded: dict[str, Vector]) -> Text:
    found, parts, said = units(plain), clauses(plain), sentences(plain)
    return Text(
        plain=plain,
        units=found,
        grams=tuple(ngrams(found, size + 1) for size in range(len(SIZES))),
        clauses=tuple(parts),
        clause_grams=tuple(ngrams(units(part), 1) for part in parts),
        embedding=embedded[plain],
        sentence_embedding=_mean_embedding(said, embedded),
        sentence_embeddings=np.stack([embedded[part] for part in said or [""]]),
        clause_embeddings=np.stack([embedded[part] for part in parts or [""]]),
    )


def _mean_embedding(parts: Sequence[str], embedded: dict[str, Vector]) -> Vector:
    """Unit mean of the sentences' embeddings, weighted by the root of their length."""
    total = sum((embedded[part] * len(part) ** 0.5 for part in parts), embedded[""])
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-6), np.float32)


def _row(answer: Text, question: Text, references: Sequence[Text], anchors: Vector) -> Vector:
    against = [_compare(answer, question, reference) for reference in references]
    nearest = max(against, key=lambda found: found["singles_f1"] + found["reference_cosine"])
    compared = [
        nearest[column.name]
        if column.name in OF_NEAREST
        else max(found[column.name] for found in against)
        for column in LANGUAGE_COMPARISONS
    ]
    row = np.array([*_measure(answer), *compared, *_levels(answer, anchors)], np.float32)
    return np.concatenate([row, answer.embedding, question.embedding])


def _levels(answer: Text, anchors: Vector) -> list[float]:
    """LANGUAGE_ANCHORS in order."""
    if not len(anchors):
        return [0.0] * len(LANGUAGE_ANCHORS)
    whole = anchors @ answer.embedding
    nearest = (anchors @ answer.sentence_embeddings.T).max(axis=1)
    return [float(value) for pair in zip(whole, nearest, strict=True) for value in pair]


def _measure(answer: Text) -> list[float]:
    """LANGUAGE_MEASURES in order."""
    n, count = len(answer.units), len(sentences(answer.plain))
    found = {
        "units": n,
        "sentences": count,
        "units_per_sentence": n / max(count, 1),
        "lexical_variety": len(set(answer.units)) / max(n, 1) ** 0.5,
        **rates(answer.plain, n),
    }
    return [found[column.name] for column in LANGUAGE_MEASURES]


def _compare(answer: Text, question: Text, reference: Text) -> dict[str, float]:
    return {
        **_overlap(answer, reference),
        **_new_overlap(answer, question, reference),
        **_order(answer, reference),
        **_cosines(answer, question, reference),
        **_clause_match(answer, reference),
        **_terms(answer, question, reference),
        **_stance(answer, reference),
        **_size(answer, reference),
    }


def _overlap(answer: Text, reference: Text) -> dict[str, float]:
    found = {}
    for size, ours, theirs in zip(SIZES, answer.grams, reference.grams, strict=True):
        precision, recall = _shares(ours, theirs)
        found[f"{size}_precision"], found[f"{size}_recall"] = precision, recall
        found[f"{size}_f1"] = 2 * precision * recall / max(precision + recall, 1e-9)
    return found


def _shares(ours: Grams, theirs: Grams) -> tuple[float, float]:
    """Share of `ours` found in `theirs`, and of `theirs` found in `ours`."""
    common = (ours & theirs).total()
    return common / max(ours.total(), 1), common / max(theirs.total(), 1)


def _new_overlap(answer: Text, question: Text, reference: Text) -> dict[str, float]:
    found = {}
    for i, size in enumerate(SIZES[:3]):
        ours = answer.grams[i].keys() - question.grams[i].keys()
        theirs = reference.grams[i].keys() - question.grams[i].keys()
        common = len(ours & theirs)
        found[f"new_{size}_precision"] = common / max(len(ours), 1)
        # a reference that adds nothing to the question is recalled by any new unit
        found[f"new_{size}_recall"] = common / len(theirs) if theirs else float(bool(ours))
    precision, recall = _shares(answer.grams[1], question.grams[1])
    return {**found, "question_precision": precision, "question_recall": recall}


def _order(answer: Text, reference: Text) -> dict[str, float]:
    common = _common_subsequence(answer.units, reference.units)
    return {
        "order_recall": common / max(len(reference.units), 1),
        "order_precision": common / max(len(answer.units), 1),
    }


def _common_subsequence(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    Each row of the usual table is one integer whose zero bits are the matches.
    Source: Hyyrö 2004, bit-parallel LCS.
    """
    where: dict[str, int] = {}
    for place, unit in enumerate(theirs):
        where[unit] = where.get(unit, 0) | 1 << place
    every = (1 << len(theirs)) - 1
    row = every
    for unit in ours:
        matched = row & where.get(unit, 0)
        row = ((row + matched) | (row - matched)) & every
    return len(theirs) - row.bit_count()


def _cosines(answer: Text, question: Text, reference: Text) -> dict[str, float]:
    to_reference = float(answer.embedding @ reference.embedding)
    to_question = float(answer.embedding @ question.embedding)
    return {
        "reference_cosine": to_reference,
        "question_cosine": to_question,
        "cosine_gain": to_reference - to_question,
        "sentence_cosine": float(answer.sentence_embedding @ reference.sentence_embedding),
    }


def _clause_match(answer: Text, reference: Text) -> dict[str, float]:
    cosine = answer.clause_embeddings @ reference.clause_embeddings.T
    shared = _shared_units(answer.clause_grams, reference.clause_grams)
    covered, relevant, said = cosine.max(axis=0), cosine.max(axis=1), shared.max(axis=0)
    length = np.array([len(clause) for clause in reference.clauses or "?"], float)
    same = _denials(answer)[:, None] == _denials(reference)
    agreeing = np.where(same, cosine, 0).max(axis=0)
    opposed = np.where(same, 0, cosine).max(axis=0)
    return {
        "coverage": float(np.average(covered, weights=length)),
        "agreeing_coverage": float(np.average(agreeing, weights=length)),
        "opposed_coverage": float(np.average(np.maximum(opposed - agreeing, 0), weights=length)),
        "coverage_mean": float(covered.mean()),
        "coverage_worst": float(covered.min()),
        "coverage_share": float((covered > COVERED).mean()),
        "clause_relevance": float(relevant.mean()),
        "clause_relevance_worst": float(relevant.min()),
        "best_clause": float(cosine.max()),
        "unit_coverage": float(np.average(said, weights=length)),
        "unit_coverage_worst": float(said.min()),
    }


def _denials(text: Text) -> npt.NDArray[np.bool_]:
    """(clauses,) whether each denies: an odd number of negations."""
    return np.array([len(NEGATION.findall(clause)) % 2 == 1 for clause in text.clauses or [""]])


def _shared_units(ours: Sequence[Grams], theirs: Sequence[Grams]) -> npt.NDArray[np.float64]:
    """(ours, theirs) share of the units of each of theirs that each of ours has."""
    if not ours or not theirs:
        return np.zeros((max(len(ours), 1), max(len(theirs), 1)))
    places = {unit: i for i, unit in enumerate({unit for grams in theirs for unit in grams})}
    counts = [np.zeros((len(part), len(places) + 1)) for part in (ours, theirs)]
    for table, part in zip(counts, (ours, theirs), strict=True):
        for row, grams in zip(table, part, strict=True):
            for unit, count in grams.items():
                row[places.get(unit, -1)] += count
    mine, known = (table[:, :-1] for table in counts)
    common = np.minimum(mine[:, None], known[None]).sum(axis=2)
    return np.asarray(common / np.maximum(known.sum(axis=1), 1))


def _terms(answer: Text, question: Text, reference: Text) -> dict[str, float]:
    """Numbers, symbols and foreign words: what a paraphrase must keep."""
    asked = set(question.units)
    ours = {unit for unit in answer.units if not IDEOGRAPH.match(unit)}
    theirs = {unit for unit in reference.units if not IDEOGRAPH.match(unit)}
    expected, offered = theirs - asked, ours - asked
    return {
        "term_recall": len(ours & expected) / len(expected) if expected else -1.0,
        "term_precision": len(offered & theirs) / len(offered) if offered else -1.0,
    }


def _stance(answer: Text, reference: Text) -> dict[str, float]:
    def negations(text: Text) -> float:
        return len(NEGATION.findall(text.plain)) / max(len(text.units), 1)

    return {
        "verdict": float(_verdict(answer.plain) * _verdict(reference.plain)),
        "negation_gap": negations(answer) - negations(reference),
    }


def _verdict(plain: str) -> int:
    """1 a text that opens with yes, -1 with no, 0 with neither."""
    return -1 if _NO.search(plain) else int(bool(_YES.search(plain)))


def _size(answer: Text, reference: Text) -> dict[str, float]:
    ours, theirs = float(np.log1p(len(answer.units))), float(np.log1p(len(reference.units)))
    return {
        "log_units": ours,
        "log_reference_units": theirs,
        "log_length_ratio": ours - theirs,
        "clause_ratio": len(answer.clauses) / max(len(reference.clauses), 1),
    }
