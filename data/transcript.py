"""Listening → words with times, language and confidence.

Source of the recogniser: Radford et al. 2022 (Whisper), run by CTranslate2 on the
encoder output that the speech model shares.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate
from typing import Any, Literal

import ctranslate2
import numpy as np
import numpy.typing as npt
import tokenizers
import zhconv
from faster_whisper.tokenizer import Tokenizer
from pydantic import Field

import configs
from data.confidence import Calibration
from data.contract import Record, Transcript, Word
from data.listening import ENCODER_RATE, Listener, Listening, Segment, Window, identity

MEDIAN_FILTER = 7
"""Encoder outputs the alignment is smoothed over, as Whisper's authors do."""


class TranscriptConfig(Record):
    """configs/transcript.yaml."""

    recogniser: Literal["whisper", "sense_voice", "paraformer"]
    folder: str = Field(
        description="of its weights; empty: the Whisper whose encoder listens, at no further cost"
    )
    measured_error_rate: float | None = Field(
        ge=0, le=1, description="of a recogniser that gives no confidence, on speech like yours"
    )
    beam_size: int = Field(ge=1)
    hotword_tokens: int = Field(
        ge=0, le=200, description="of the job's terms that the decoder is shown first; 0: none"
    )
    expected_language_floor: float = Field(
        ge=0, le=1, description="the expected language is used when it is at least this probable"
    )
    mandarin_share: float = Field(
        ge=0, le=1, description="of P(zh) + P(en), from which on a phrase is Mandarin"
    )
    phrase_s: float = Field(gt=0, description="a phrase whose language is told is at least this")
    max_compression: float = Field(
        gt=1, description="text that compresses more than this repeats itself: a window is dropped"
    )
    max_units_per_s: dict[str, float] = Field(
        description="by language: faster than people speak, a sentence is written twice"
    )
    calibrations: dict[str, Calibration] = Field(
        description="by language; elsewhere the recogniser's probability is taken as it is"
    )


@dataclass(frozen=True)
class Token:
    """A piece of a word, or a sign between words.

    time_s : middle of its word or sign
    log_probability : that the recogniser gave it, nats
    entropy : of what might have come in its place, nats
    """

    time_s: float
    log_probability: float
    entropy: float


@dataclass(frozen=True)
class Decoded:
    """What a recogniser heard, each word as probable as it says.

    tokens : of the words; none from a recogniser that does not say how sure it is
    language : `und` where nobody speaks
    language_shares, speech_s, dropped_s : as in a Transcript
    """

    words: tuple[Word, ...]
    language: str
    language_probability: float
    speech_s: float
    dropped_s: float
    language_shares: dict[str, float] = field(default_factory=dict)
    tokens: tuple[Token, ...] = ()


NOTHING = Decoded((), "und", 0.0, 0.0, 0.0)


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
        found = self.listener.each(lambda w: self._probabilities(w.encoding), listening.windows)
        for window, heard in zip(listening.windows, found, strict=True):
            share = (window.end_s - window.start_s) / spoken_s
            for code, probability in heard.items():
                totals[code] = totals.get(code, 0.0) + share * probability
        return totals

    def language_shares(self, listening: Listening) -> dict[str, float]:
        """Of the time that is spoken, the shares in `zh` and in `en`.

        Each phrase is told apart by itself, so that a sentence in the other language is found
        in an answer; what is neither counts as what it is more like.
        """
        spoken_s = {"zh": 0.0, "en": 0.0}
        for window in self.listener.each(partial(self._phrases, listening), listening.windows):
            for language, seconds in window:
                spoken_s[language] += seconds
        total_s = sum(spoken_s.values())
        return {code: part_s / total_s for code, part_s in spoken_s.items()} if total_s else {}

    def _phrases(self, listening: Listening, window: Window) -> list[tuple[str, float]]:
        """Language and seconds of each phrase of a window."""
        outputs, found = np.array(window.encoding)[0], []
        for phrase in phrases(listening.segments, window, self.config.phrase_s):
            heard = self._probabilities(phrase_encoding(outputs, window, phrase))
            zh, en = heard.get("zh", 0.0), heard.get("en", 0.0)
            mandarin = zh >= self.config.mandarin_share * (zh + en)
            found.append(("zh" if mandarin else "en", phrase[1] - phrase[0]))
        return found

    def _told_apart(self, listening: Listening, language: str) -> dict[str, float]:
        """A third language is not told from these two by what they are like."""
        return self.language_shares(listening) if language in ("zh", "en") else {}

    def _probabilities(self, encoding: ctranslate2.StorageView) -> dict[str, float]:
        found = self.listener.whisper.model.detect_language(encoding)[0]
        return {token[2:-2]: probability for token, probability in found}

    @property
    def identity(self) -> str:
        """Weights and settings in one word."""
        settings = self.config.model_dump_json().encode()
        return f"{identity(self.listener.config)}-{hashlib.sha256(settings).hexdigest()[:8]}"

    def transcribe(
        self,
        listening: Listening,
        *,
        expected: str | None = None,
        hotwords: Sequence[str] = (),
    ) -> Transcript:
        """Words of the whole recording; no words and language `und` where nobody speaks.

        expected : language the answer should be in; another is used only when this
            one is improbable
        hotwords : terms of the job in that language, for as many as `hotword_tokens` allows
        """
        return self.transcript(self.decode(listening, expected=expected, hotwords=hotwords))

    def decode(
        self,
        listening: Listening,
        *,
        expected: str | None = None,
        known: str | None = None,
        hotwords: Sequence[str] = (),
    ) -> Decoded:
        """As `transcribe`, before confidence is calibrated.

        known : the language it certainly is in, where that need not be told
        """
        listening = self._heard(listening)
        if not listening.windows:
            return NOTHING
        heard = self.language(listening)
        language = known or max(heard, key=heard.__getitem__)
        if expected and heard.get(expected, 0) >= self.config.expected_language_floor:
            language = expected
        hints = hotwords if language == expected else ()
        found = self.listener.each(
            lambda window: self._said(window, listening, language, hints), listening.windows
        )
        dropped = [w for w, said in zip(listening.windows, found, strict=True) if said is None]
        return Decoded(
            words=tuple(word for said in found if said for word in said.words),
            tokens=tuple(token for said in found if said for token in said.tokens),
            language=language,
            language_probability=min(1.0, heard.get(language, 0.0)),
            speech_s=sum(end_s - start_s for start_s, end_s in listening.segments),
            dropped_s=sum(_speech_s(window, listening) for window in dropped),
            language_shares={} if known else self._told_apart(listening, language),
        )

    def transcript(self, decoded: Decoded) -> Transcript:
        """With calibrated probabilities and the error rate to expect of the text."""
        return recognised(decoded, self.config, recogniser=self.identity)

    def _heard(self, listening: Listening) -> Listening:
        """With the encoding that this recogniser reads."""
        return listening

    def _said(
        self, window: Window, listening: Listening, language: str, hotwords: Sequence[str]
    ) -> Said | None:
        """None where the text repeats itself: it is no longer what was said.

        A text too fast to have been said holds its sentence twice: it is decoded once more
        without repeating three tokens, which people do and so is not the rule.
        """
        tokenizer = Tokenizer(self._tokens, True, task="transcribe", language=language)
        prompt = self._prompt(tokenizer, hotwords)
        speech_s = _speech_s(window, listening)
        tokens = self._decode(window, tokenizer, prompt)
        if repeats_itself(tokenizer.decode(tokens), self.config.max_compression):
            return None
        most = self.config.max_units_per_s.get(language, float("inf"))
        if count_units(tokenizer.decode(tokens)) > SHORT_TEXT + most * speech_s:
            tokens = self._decode(window, tokenizer, prompt, ngram=3)
        if not tokens:
            return Said()
        frames = round((window.end_s - window.start_s) * ENCODER_RATE) * 2
        timings = self.listener.whisper.find_alignment(
            tokenizer, [tokens], window.encoding, frames, MEDIAN_FILTER
        )[0]
        return Said(_words(timings, window), self._tokens_of(window, tokenizer, tokens, timings))

    def _tokens_of(
        self,
        window: Window,
        tokenizer: Tokenizer,
        tokens: list[int],
        timings: list[dict[str, Any]],
    ) -> list[Token]:
        """How sure each was, with no hotwords before it: speech is learned without."""
        prompt = self._prompt(tokenizer, ())
        likely, undecided = self.listener.decoder(np.array(window.encoding), prompt, tokens)
        times_s = [
            min(window.start_s + (float(timing["start"]) + float(timing["end"])) / 2, window.end_s)
            for timing in timings
            for _ in timing["tokens"]
        ]
        # Bytes at the end that make no whole character have no time.
        found = zip(times_s, likely.tolist(), undecided.tolist(), strict=False)
        return [Token(*token) for token in found]

    def _prompt(self, tokenizer: Tokenizer, hotwords: Sequence[str]) -> list[int]:
        start = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        if not (hotwords and self.config.hotword_tokens):
            return start
        listed = ("、" if tokenizer.language_code == "zh" else ", ").join(hotwords)
        shown = tokenizer.encode(f" {listed}")[: self.config.hotword_tokens]
        return [tokenizer.sot_prev, *shown, *start]

    def _decode(
        self, window: Window, tokenizer: Tokenizer, prompt: list[int], ngram: int = 0
    ) -> list[int]:
        whisper = self.listener.whisper
        longest = TOKENS_BESIDE + TOKENS_PER_S * (window.end_s - window.start_s)
        result = whisper.model.generate(
            window.encoding,
            [prompt],
            beam_size=self.config.beam_size,
            no_repeat_ngram_size=ngram,
            max_length=min(whisper.max_length, len(prompt) + round(longest)),
            suppress_blank=True,
        )[0]
        return [token for token in result.sequences_ids[0] if token < tokenizer.eot]


def phrases(segments: Sequence[Segment], window: Window, least_s: float) -> list[Segment]:
    """Speech of a window from pause to pause, in pieces of at least so many seconds."""
    found: list[Segment] = []
    for start_s, end_s in segments:
        start_s, end_s = max(start_s, window.start_s), min(end_s, window.end_s)
        if start_s >= end_s:
            continue
        if found and found[-1][1] - found[-1][0] < least_s:
            found[-1] = (found[-1][0], end_s)
        else:
            found.append((start_s, end_s))
    if len(found) > 1 and found[-1][1] - found[-1][0] < least_s:
        last = found.pop()
        found[-1] = (found[-1][0], last[1])
    return found


def phrase_encoding(
    outputs: npt.NDArray[np.float32], window: Window, phrase: Segment
) -> ctranslate2.StorageView:
    """Of the window's outputs those of the phrase, with those of the silence behind the window."""
    first, last = (round((at - window.start_s) * ENCODER_RATE) for at in phrase)
    silence = outputs[round((window.end_s - window.start_s) * ENCODER_RATE) :]
    joined = np.concatenate([outputs[first : max(last, first + 1)], silence])
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(joined[None]))


@dataclass(frozen=True)
class Said:
    """Of a window."""

    words: Sequence[Word] = ()
    tokens: Sequence[Token] = ()


TOKENS_PER_S = 15
TOKENS_BESIDE = 16
"""A character takes up to three tokens, and nobody says ten in a second: what is longer
is a loop, and need not be decoded to its end."""

SHORT_TEXT = 3
"""Units by which a text of a second may be too long: voice activity ends early."""


def count_units(text: str) -> int:
    """Characters of Chinese and Japanese, words of other languages."""
    return len(_UNITS.findall(text))


_UNITS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|\d")


def recognised(decoded: Decoded, config: TranscriptConfig, *, recogniser: str) -> Transcript:
    """The words with calibrated probabilities and the error rate to expect of the text."""
    if decoded.language == NOTHING.language:
        return Transcript(text="", language="und", language_probability=0, source="recognised")
    words = decoded.words
    whisper = config.recogniser == "whisper"
    known = config.calibrations.get(decoded.language) if whisper else None
    if known:
        words = tuple(_calibrated(word, known) for word in words)
    weights = [max(1, count_units(word.text)) for word in words]
    right = [word.probability for word in words]
    error_rate = None if whisper else config.measured_error_rate
    if known:
        error_rate = known.error_rate(right, weights)
    return Transcript(
        text="".join(word.text for word in words).strip(),
        words=words,
        language=decoded.language,
        language_probability=decoded.language_probability,
        language_shares={code: round(s, 4) for code, s in decoded.language_shares.items()},
        confidence=float(np.average(right, weights=weights)) if words else 0.0,
        error_rate=error_rate if words else None,
        speech_s=decoded.speech_s,
        dropped_s=decoded.dropped_s,
        source="recognised",
        recogniser=recogniser,
    )


def _calibrated(word: Word, calibration: Calibration) -> Word:
    return word.model_copy(update={"probability": calibration.right(word.probability)})


def _speech_s(window: Window, listening: Listening) -> float:
    """Seconds of speech in the window."""
    overlaps = (
        min(end_s, window.end_s) - max(start_s, window.start_s)
        for start_s, end_s in listening.segments
    )
    return sum(max(0.0, overlap_s) for overlap_s in overlaps)


def _words(timings: list[dict[str, Any]], window: Window) -> list[Word]:
    """Words in the recording's time; punctuation joins the word before it."""
    words: list[Word] = []
    texts = simplified([str(timing["word"]) for timing in timings])
    for text, timing in zip(texts, timings, strict=True):
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


def simplified(texts: Sequence[str]) -> list[str]:
    """The texts in simplified characters, converted as one: 著 is 着 in 随著, not in 著名."""
    joined = "".join(texts)
    whole = zhconv.convert(joined, "zh-cn")
    if len(whole) != len(joined):
        return [zhconv.convert(text, "zh-cn") for text in texts]
    ends = list(accumulate(len(text) for text in texts))
    return [whole[end - len(text) : end] for text, end in zip(texts, ends, strict=True)]


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
