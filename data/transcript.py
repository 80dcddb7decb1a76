"""Listening → words with times, language and confidence.

Source of the recogniser: Radford et al. 2022 (Whisper), run by CTranslate2 on the
encoder output that the speech model shares.
"""

from __future__ import annotations

import re
import zlib
from functools import cached_property
from typing import Any

import numpy as np
import tokenizers
import zhconv
from faster_whisper.tokenizer import Tokenizer
from pydantic import Field

import configs
from data.contract import Record, Transcript, Word
from data.listening import ENCODER_RATE, Listener, Listening, Window, identity

MEDIAN_FILTER = 7
"""Encoder outputs the alignment is smoothed over, as Whisper's authors do."""


class TranscriptConfig(Record):
    """configs/transcript.yaml."""

    beam_size: int = Field(ge=1)
    repetition_penalty: float = Field(ge=1)
    no_repeat_ngram_size: int = Field(ge=0)
    expected_language_floor: float = Field(
        ge=0, le=1, description="the expected language is used when it is at least this probable"
    )
    max_compression: float = Field(
        gt=1, description="text that compresses more than this repeats itself: a window is dropped"
    )


class Recogniser:
    """Words of a `Listening`, by the same Whisper that encoded it."""

    def __init__(self, listener: Listener, config: TranscriptConfig | None = None) -> None:
        self.listener = listener
        self.config = config or configs.load("transcript", TranscriptConfig)

    @cached_property
    def _tokens(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_file(str(self.listener.folder / "tokenizer.json"))

    def language(self, listening: Listening) -> dict[str, float]:
        """Probability of each language, weighted by the length of the windows."""
        totals: dict[str, float] = {}
        spoken_s = sum(window.end_s - window.start_s for window in listening.windows)
        for window in listening.windows:
            share = (window.end_s - window.start_s) / spoken_s
            for token, probability in self.listener.whisper.model.detect_language(window.encoding)[
                0
            ]:
                code = token[2:-2]
                totals[code] = totals.get(code, 0.0) + share * probability
        return totals

    def transcribe(self, listening: Listening, *, expected: str | None = None) -> Transcript:
        """Words of the whole recording; no words and language `und` where nobody speaks.

        expected : language the answer should be in; another is used only when this
            one is improbable
        """
        if not listening.windows:
            return Transcript(text="", language="und", language_probability=0, source="recognised")
        heard = self.language(listening)
        language = max(heard, key=heard.__getitem__)
        if expected and heard.get(expected, 0) >= self.config.expected_language_floor:
            language = expected
        found = [(window, self._window_words(window, language)) for window in listening.windows]
        words = [word for _, said in found for word in said or ()]
        dropped = [window for window, said in found if said is None]
        text = "".join(word.text for word in words).strip()
        return Transcript(
            text=text,
            words=tuple(words),
            language=language,
            language_probability=min(1.0, heard.get(language, 0.0)),
            confidence=float(np.mean([word.probability for word in words])) if words else 0.0,
            speech_s=sum(end_s - start_s for start_s, end_s in listening.segments),
            dropped_s=sum(_speech_s(window, listening) for window in dropped),
            source="recognised",
            recogniser=identity(self.listener.config),
        )

    def _window_words(self, window: Window, language: str) -> list[Word] | None:
        """None where the text repeats itself: it is no longer what was said."""
        whisper = self.listener.whisper
        tokenizer = Tokenizer(self._tokens, True, task="transcribe", language=language)
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        result = whisper.model.generate(
            window.encoding,
            [prompt],
            beam_size=self.config.beam_size,
            repetition_penalty=self.config.repetition_penalty,
            no_repeat_ngram_size=self.config.no_repeat_ngram_size,
            max_length=whisper.max_length,
            suppress_blank=True,
        )[0]
        tokens = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
        if not tokens:
            return []
        if repeats_itself(tokenizer.decode(tokens), self.config.max_compression):
            return None
        frames = round((window.end_s - window.start_s) * ENCODER_RATE) * 2
        timings = whisper.find_alignment(
            tokenizer, [tokens], window.encoding, frames, MEDIAN_FILTER
        )[0]
        return _words(timings, window)


def _speech_s(window: Window, listening: Listening) -> float:
    """Seconds of speech in the window."""
    overlaps = (
        min(end_s, window.end_s) - max(start_s, window.start_s)
        for start_s, end_s in listening.segments
    )
    return sum(max(0.0, overlap_s) for overlap_s in overlaps)


def _words(timings: list[dict[str, Any]], window: Window) -> list[Word]:
    """Simplified Chinese words in the recording's time; punctuation joins the word before it."""
    words: list[Word] = []
    for timing in timings:
        text = zhconv.convert(str(timing["word"]), "zh-cn")
        if not text:
            continue
        if words and not re.search(r"\w", text):
            words[-1] = words[-1].model_copy(update={"text": words[-1].text + text})
            continue
        start_s = min(window.start_s + float(timing["start"]), window.end_s)
        end_s = min(max(window.start_s + float(timing["end"]), start_s), window.end_s)
        probability = min(1.0, float(timing["probability"]))
        words.append(Word(text=text, start_s=start_s, end_s=end_s, probability=probability))
    if words and not words[0].text.startswith(" ") and re.match(r"[A-Za-z]", words[0].text):
        words[0] = words[0].model_copy(update={"text": " " + words[0].text})
    return words


def repeats_itself(text: str, max_compression: float) -> bool:
    """Whether zlib shrinks the text more than speech allows (Whisper's own test, 2.4)."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) > max_compression


def supplied(text: str, expected: str, config: TranscriptConfig | None = None) -> Transcript:
    """A transcript that a human wrote; it has no times.

    expected : language the answer should be in. The text is in another one, or in `und`,
        when less of it than `expected_language_floor` is written in this one; fewer than
        TELLING_UNITS characters or words do not tell
    """
    config = config or configs.load("transcript", TranscriptConfig)
    shares, units = written_shares(text)
    if expected not in shares:  # neither Chinese nor English: nothing here tells it from others
        shares[expected] = shares.pop("und")
    tells = units >= TELLING_UNITS and shares[expected] < config.expected_language_floor
    language = max(shares, key=shares.__getitem__) if tells else expected
    return Transcript(
        text=zhconv.convert(text.strip(), "zh-cn"),
        language=language,
        language_probability=shares[language],
        source="supplied",
    )


TELLING_UNITS = 3
TELLING_WORDS = 10
"""From so many words on, an English text is expected to hold some of _ENGLISH."""

_WRITTEN = re.compile("(?P<han>[\u3400-\u9fff])|(?P<latin>[a-zA-Z\u00c0-\u024f]+)|[^\\W\\d_]")

_COMMON = """
the and to of is that it for with you this have are not but they we my by at from were be would
their our had your them if when
"""
_ENGLISH = frozenset(_COMMON.split())
"""Words no English text does without and other languages hardly have."""

ENGLISH_SHARE = 0.2
"""Of the words of an English text that are among _ENGLISH. Of 164 texts of English
interviews the median is .29, the lowest .14; sentences of other European languages had none."""


def written_shares(text: str) -> tuple[dict[str, float], int]:
    """Share of the text in `zh` (Han characters), `en` (Latin words) and `und` (all else).

    With it, the number of characters and words. Latin words are English as far as the
    commonest English words are among them; a few alone are taken for English, but not
    beside Han characters, where they are terms.
    """
    found = list(_WRITTEN.finditer(text))
    words = [match["latin"].lower() for match in found if match["latin"]]
    han = sum(match["han"] is not None for match in found)
    english = 1.0
    if words and (han or len(words) >= TELLING_WORDS):
        common = sum(word in _ENGLISH for word in words) / len(words)
        english = min(1.0, common / ENGLISH_SHARE)
    units = max(1, len(found))
    zh, en = han / units, english * len(words) / units
    und = max(0.0, 1 - zh - en) if found else 0.0
    return {"zh": zh, "en": en, "und": und}, len(found)
