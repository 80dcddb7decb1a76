"""Which passages earned a score: the head asked again without each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from data import language
from data.contract import Evidence, Transcript, Word

Points = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]]
"""A version's head: features (n, width) → points of 100 (n, targets)."""

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
        return tuple(Sentence(text) for text in language.sentences(transcript.text))
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


def answer_text(sentences: Sequence[Sentence]) -> str:
    """The sentences as one text in which each ends as a sentence, so that it can be cut again."""
    texts = [sentence.text for sentence in sentences]
    stop = "。" if _is_chinese(texts) else "."
    return " ".join(text if text.endswith((*_END, ".")) else f"{text}{stop}" for text in texts)


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


def passage_evidence(
    transcript: Transcript,
    question: str,
    references: Sequence[str],
    points: Points,
    *,
    most: int,
) -> tuple[Evidence, ...]:
    """Each passage with the change of the score, in points, when it is left out.

    A passage is a sentence; the passage that matters most comes first, and a negative change
    means that it raised the score. Empty without words.

    most : passages; where there are more sentences, neighbours are joined, since each
        passage costs one more reading of the whole answer
    """
    parts = passages(sentences_of(transcript), most)
    if not parts:
        return ()
    texts = [_text(parts), *(_text([*parts[:i], *parts[i + 1 :]]) for i in range(len(parts)))]
    scores = points(language.extract_all(texts, question, references))[:, 0]
    changes = scores[1:] - scores[0]
    return tuple(
        Evidence(
            kind="span",
            text=_joined(parts[i]),
            start_s=parts[i][0].start_s,
            end_s=parts[i][-1].end_s,
            effect=round(float(changes[i]), 2),
        )
        for i in np.argsort(-np.abs(changes), kind="stable")
    )


def _text(parts: Sequence[Sequence[Sentence]]) -> str:
    return answer_text([sentence for part in parts for sentence in part])


def _joined(sentences: Sequence[Sentence]) -> str:
    """The sentences as they stand in the transcript."""
    texts = [sentence.text for sentence in sentences]
    return ("" if _is_chinese(texts) else " ").join(texts)


def _is_chinese(texts: Sequence[str]) -> bool:
    return bool(re.search("[\u4e00-\u9fff]", "".join(texts)))


def _ends_sentence(word: Word) -> bool:
    text = word.text.strip()
    return text.endswith(tuple(_END)) or bool(re.search(r"[^\W\d]\.$", text))
