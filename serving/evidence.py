"""Why an answer got its score.

Which passages earned it: the head asked again without each of them. Which key points of the
question it makes, and in which words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from data import content, language
from data.contract import Evidence, Transcript, Word
from data.jobs import Asked, Competency
from data.key_points import key_points_made
from data.text import is_chinese, normalised, sentences

Points = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]]
"""What a version scores: features (n, width) → points of 100 (n,)."""

PAUSE_S = 0.6
"""Silence that ends a sentence in a transcript without punctuation, in seconds."""

_END = "。！？!?；;"


@dataclass(frozen=True)
class Sentence:
    """One sentence of a transcript; times are None where a human wrote it down."""

    text: str
    start_s: float | None = None
    end_s: float | None = None


def sentences_of(transcript: Transcript) -> tuple[Sentence, ...]:
    """Sentences in order, cut at punctuation, or at pauses where there is none."""
    if not transcript.words:
        return tuple(Sentence(text) for text in sentences(transcript.text))
    words = transcript.words
    punctuated = any(_ends_sentence(word) for word in words[:-1])
    cuts = [
        i + 1
        for i, word in enumerate(words[:-1])
        if (_ends_sentence(word) if punctuated else words[i + 1].start_s - word.end_s >= PAUSE_S)
    ]
    parts = (words[a:b] for a, b in zip([0, *cuts], [*cuts, len(words)], strict=True))
    return tuple(
        Sentence("".join(w.text for w in part).strip(), part[0].start_s, part[-1].end_s)
        for part in parts
    )


def answer_text(said: Sequence[Sentence]) -> str:
    """The sentences as one text in which each ends as a sentence, so that it can be cut again."""
    texts = [sentence.text.strip() for sentence in said]
    chinese = is_chinese("".join(texts))
    stop, between = ("。", "") if chinese else (".", " ")
    ended = (text if text.endswith((*_END, ".")) else f"{text}{stop}" for text in texts)
    return between.join(ended)


def passages(sentences: Sequence[Sentence], most: int) -> list[tuple[Sentence, ...]]:
    """The sentences, neighbours joined where there are more than `most`; none is left out.

    Passages are of like length: a sentence belongs to the stretch its middle lies in.
    """
    if len(sentences) <= most:
        return [(sentence,) for sentence in sentences]
    ends = np.cumsum([len(sentence.text) for sentence in sentences])
    middles = ends - np.diff(ends, prepend=0) / 2
    stretches = most * middles // ends[-1]
    found = groupby(zip(stretches, sentences, strict=True), key=lambda pair: pair[0])
    return [tuple(sentence for _, sentence in pairs) for _, pairs in found]


@dataclass(frozen=True)
class Rubric:
    """What an answer in one language is compared with; see `language.extract_all`."""

    question: str
    references: tuple[str, ...]
    anchors: tuple[str, ...]
    key_points: tuple[str, ...]

    @classmethod
    def of(cls, asked: Asked, competency: Competency, code: str) -> Rubric:
        """Of a question and its competency, in the language `code`."""
        return cls(
            question=asked.text[code],
            references=asked.comparisons(code),
            anchors=competency.anchors(code),
            key_points=asked.key_points[code],
        )

    def features(self, answers: Sequence[str]) -> npt.NDArray[np.float32]:
        """LANGUAGE features (answers, columns)."""
        return language.extract_all(answers, self.question, self.references, self.anchors)


def passage_evidence(
    transcript: Transcript, rubric: Rubric, points: Points, *, most: int
) -> tuple[Evidence, ...]:
    """Each passage with the change of the score, in points, when it is left out.

    A passage is a sentence; the passage that matters most comes first, and a negative change
    means that it raised the score. What is not judged comes last, named so. Empty without
    words.

    most : passages; where there are more sentences, neighbours are joined, since each
        passage costs one more reading of the whole answer
    """
    parts = passages(sentences_of(transcript), most)
    if not parts:
        return ()
    texts = [_text(parts), *(_text([*parts[:i], *parts[i + 1 :]]) for i in range(len(parts)))]
    scores = points(rubric.features(texts))
    changes = scores[1:] - scores[0]
    unjudged = _unjudged(parts)
    order = np.lexsort((-np.abs(changes), unjudged))
    return tuple(
        Evidence(
            kind="span",
            text=_joined(parts[i]),
            start_s=parts[i][0].start_s,
            end_s=parts[i][-1].end_s,
            effect=round(float(changes[i]), 2),
            name="not_judged" if unjudged[i] else "",
        )
        for i in order
    )


def key_point_evidence(transcript: Transcript, rubric: Rubric) -> tuple[Evidence, ...]:
    """Each key point of the question: whether it was found, and in which words."""
    said = sentences_of(transcript)
    made = key_points_made(answer_text(said), rubric.key_points)
    shown = {normalised(sentence.text).rstrip("".join(_END) + "."): sentence for sentence in said}
    found = []
    for one in made:
        words = one.quote.rstrip("".join(_END) + ".")
        spoken = next((s for text, s in shown.items() if words and words in text), None)
        told = one.status != "not_found" and spoken is not None
        found.append(
            Evidence(
                kind="key_point",
                name=one.status,
                text=one.point,
                quote=spoken.text if told and spoken else "",
                start_s=spoken.start_s if told and spoken else None,
                end_s=spoken.end_s if told and spoken else None,
            )
        )
    return tuple(found)


def _unjudged(parts: Sequence[Sequence[Sentence]]) -> npt.NDArray[np.bool_]:
    """(parts,) whether nothing of a passage is judged."""
    flags: list[bool] = []
    read = content.parts(_text(parts))
    at = 0
    for part in parts:
        n = len(content.parts(_text([part])))
        flags.append(n > 0 and not any(kept for _, kept in read[at : at + n]))
        at += n
    return np.array(flags)


def _text(parts: Sequence[Sequence[Sentence]]) -> str:
    return answer_text([sentence for part in parts for sentence in part])


def _joined(sentences: Sequence[Sentence]) -> str:
    """The sentences as they stand in the transcript."""
    texts = [sentence.text for sentence in sentences]
    return ("" if is_chinese("".join(texts)) else " ").join(texts)


def _ends_sentence(word: Word) -> bool:
    text = word.text.strip()
    return text.endswith(tuple(_END)) or bool(re.search(r"[^\W\d]\.$", text))
