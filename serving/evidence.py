"""Which sentences earned a score: the head asked again without each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    stop = "。" if re.search("[\u4e00-\u9fff]", "".join(texts)) else "."
    return " ".join(text if text.endswith((*_END, ".")) else f"{text}{stop}" for text in texts)


def sentence_evidence(
    transcript: Transcript,
    question: str,
    references: Sequence[str],
    points: Points,
    *,
    target: int = 0,
) -> tuple[Evidence, ...]:
    """Each sentence with the change of the score, in points, when it is left out.

    The sentence that matters most comes first; a negative change means that it raised
    the score. Empty without words.

    target : the head's output that is explained
    """
    sentences = sentences_of(transcript)
    if not sentences:
        return ()
    without = [answer_text([*sentences[:i], *sentences[i + 1 :]]) for i in range(len(sentences))]
    texts = [answer_text(sentences), *without]
    scores = points(language.extract_all(texts, question, references))[:, target]
    changes = scores[1:] - scores[0]
    return tuple(
        Evidence(
            kind="span",
            text=sentences[i].text,
            start_s=sentences[i].start_s,
            end_s=sentences[i].end_s,
            effect=round(float(changes[i]), 2),
        )
        for i in np.argsort(-np.abs(changes), kind="stable")
    )


def _ends_sentence(word: Word) -> bool:
    text = word.text.strip()
    return text.endswith(tuple(_END)) or bool(re.search(r"[^\W\d]\.$", text))
