"""Listening → SPEECH features and the named measures of delivery.

A response is scored in stretches of a few seconds, the length of the utterances that
experts rated; the response's score is their mean weighted by duration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.signal import find_peaks
from swift_f0 import SwiftF0

import configs
from data.contract import (
    AMONG_OTHERS,
    SAMPLE_RATE,
    SPEECH,
    SPEECH_MEASURES,
    TOKEN_MEASURES,
    TOKEN_STATISTICS,
    WORD_MEASURES,
    Quality,
    Record,
    Word,
)
from data.listening import ENCODER_RATE, Item, Listening, Segment, Window, cut_at_pauses
from data.recording import Waveform
from data.transcript import Decoded, Token

LEVEL_RATE = 100
"""Level values a second."""

WORD_TIME_S = 0.6
"""How far the aligned end of a word may lie from the silence that follows it."""

FILLED_PAUSE = re.compile(r"^(u+m+|u+h+|e+r+|e+rm|h+m+|m+h+m*|嗯+|呃+|额+|唔+)$", re.IGNORECASE)


class SpeechConfig(Record):
    """configs/speech_measures.yaml."""

    sentence_pause_s: float = Field(
        gt=0, description="a silence this long ends a piece where the words end a sentence"
    )
    longest_stretch_s: float = Field(gt=0, description="a piece is at most this long")
    shortest_stretch_s: float = Field(gt=0, description="pieces with less speech are left out")
    f0_low_hz: float = Field(gt=0)
    f0_high_hz: float = Field(gt=0)
    nucleus_dip_db: float = Field(gt=0, description="dip that separates two syllable nuclei")
    nucleus_floor_db: float = Field(gt=0, description="nuclei lie this near the loudest, dB")


class SpeechLimits(Record):
    """configs/speech_limits.yaml: beyond them delivery is not judged."""

    min_speech_s: float = Field(ge=0)
    min_snr_db: float
    min_bandwidth_hz: float = Field(ge=0)
    max_clipping_ratio: float = Field(ge=0, le=1)
    min_voiced_ratio: float = Field(ge=0, le=1)


def unfit_for_speech(
    quality: Quality, *, voiced_ratio: float | None, limits: SpeechLimits | None = None
) -> tuple[str, str] | None:
    """(code, sentence) when the sound is too poor to judge delivery; None when it serves.

    voiced_ratio : the measure of that name
    """
    limits = limits or configs.load("speech_limits", SpeechLimits)
    speech_s = quality.speech_s or 0.0
    if speech_s == 0:
        return "silence", "Nobody speaks in the recording."
    if speech_s < limits.min_speech_s:
        return (
            "too_little_speech",
            f"{speech_s:.1f} s of speech; {limits.min_speech_s:g} s are needed.",
        )
    if quality.snr_db is not None and quality.snr_db < limits.min_snr_db:
        return (
            "too_noisy",
            f"Speech is {quality.snr_db:.0f} dB above the background; "
            f"{limits.min_snr_db:g} dB are needed.",
        )
    if quality.bandwidth_hz is not None and quality.bandwidth_hz < limits.min_bandwidth_hz:
        return (
            "too_narrow",
            f"The sound reaches {quality.bandwidth_hz:.0f} Hz; "
            f"{limits.min_bandwidth_hz:g} Hz are needed.",
        )
    if quality.clipping_ratio is not None and quality.clipping_ratio > limits.max_clipping_ratio:
        return (
            "clipped",
            f"{100 * quality.clipping_ratio:.1f} % of the samples are clipped; at most "
            f"{100 * limits.max_clipping_ratio:g} % may be.",
        )
    if voiced_ratio is not None and voiced_ratio < limits.min_voiced_ratio:
        return (
            "whispered",
            f"{100 * voiced_ratio:.0f} % of the speech is voiced; "
            f"{100 * limits.min_voiced_ratio:g} % are needed.",
        )
    return None


@dataclass(frozen=True)
class SpeechFeatures:
    """What a response sounds like.

    rows : (stretches, SPEECH width) float32, one row for each of `stretches`
    waveforms : of each stretch, level-normalised
    stretch_measures : SPEECH_MEASURES of each stretch but filled pauses
    measures : SPEECH_MEASURES name -> value in its unit, None where it has none
    """

    rows: npt.NDArray[np.float32]
    waveforms: tuple[Waveform, ...]
    stretches: tuple[Segment, ...]
    measures: dict[str, float | None]
    stretch_measures: tuple[dict[str, float | None], ...] = ()

    @property
    def durations_s(self) -> npt.NDArray[np.float64]:
        """(stretches,) seconds."""
        return np.array([end_s - start_s for start_s, end_s in self.stretches])


@dataclass(frozen=True)
class Pitch:
    """F0 in time. hz : (frames,) NaN where unvoiced."""

    times_s: npt.NDArray[np.float64]
    hz: npt.NDArray[np.float64]


def speech_features(
    listening: Listening,
    decoded: Decoded,
    sound: Sound | None = None,
    *,
    ends_s: Sequence[float] | None = None,
) -> SpeechFeatures:
    """Rows for the head and measures for people; no rows where nobody speaks.

    decoded : by the Whisper that listens. Filled pauses are counted in its words, and are
        None without any
    sound : of this listening, where it was computed beside the words
    ends_s : where sentences end, which are stretches of their own; None: where the words end
        them. A rated utterance is one, however it is read
    """
    config = configs.load("speech_measures", SpeechConfig)
    ends_s = sentence_ends(decoded.words) if ends_s is None else ends_s
    if not listening.segments:
        nothing = np.empty((0, len(SPEECH.columns)), np.float32)
        return SpeechFeatures(nothing, (), (), dict.fromkeys(_NAMES))
    sound = sound or sound_of(listening)
    placed = [
        (stretch, window)
        for window in listening.windows
        for stretch in _stretches(window, listening.segments, ends_s, config)
    ]
    stretches = tuple(stretch for stretch, _ in placed)
    rows, apart = [], []
    for (stretch, window), words, tokens in zip(
        placed,
        by_stretch(decoded.words, stretches, lambda word: (word.start_s + word.end_s) / 2),
        by_stretch(decoded.tokens, stretches, lambda token: token.time_s),
        strict=True,
    ):
        inside = _clipped(listening.segments, stretch)
        delivered = measures(inside, sound, config)
        heard = word_measures(words, inside, decoded.language_probability) | token_measures(tokens)
        apart.append(delivered)
        heard[AMONG_OTHERS.name] = float(len(stretches) > 1)
        rows.append(_row(_layers(window, stretch), {**delivered, **heard}))
    response_s = listening.segments[-1][1] - listening.segments[0][0]
    measured = {
        **measures(listening.segments, sound, config),
        "filled_pauses": filled_pauses_per_minute(decoded.words, response_s),
    }
    waveforms = tuple(
        listening.waveform[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)]
        for start_s, end_s in stretches
    )
    return SpeechFeatures(np.stack(rows), waveforms, stretches, measured, tuple(apart))


_NAMES = tuple(column.name for column in SPEECH_MEASURES)
_MEASURED = {
    column.name for column in (*SPEECH_MEASURES, *WORD_MEASURES, *TOKEN_MEASURES, AMONG_OTHERS)
}
_ROW_MEASURES = tuple(name for name in SPEECH.names if name in _MEASURED)


@dataclass(frozen=True)
class Sound:
    """Level and F0 of a whole recording, computed once for all its stretches."""

    times_s: npt.NDArray[np.float64]
    level_db: npt.NDArray[np.float64]
    pitch: Pitch


def sound_of(listening: Listening) -> Sound:
    """Level and F0 of the normalised waveform."""
    config = configs.load("speech_measures", SpeechConfig)
    pitch = fundamental_frequency(listening.waveform, config)
    return Sound(*level(listening.waveform), pitch)


def measures(
    segments: Sequence[Segment], sound: Sound, config: SpeechConfig
) -> dict[str, float | None]:
    """SPEECH_MEASURES but filled pauses, from the first of the segments to the last."""
    spoken_s = sum(end_s - start_s for start_s, end_s in segments)
    response_s = segments[-1][1] - segments[0][0]
    speaking = _within(sound.times_s, segments)
    frames = _within(sound.pitch.times_s, segments)
    hz = sound.pitch.hz[frames & np.isfinite(sound.pitch.hz)]
    nuclei = syllable_nuclei(sound, segments, config)
    low_db, high_db = (
        np.percentile(sound.level_db[speaking], [10, 90]) if speaking.any() else (0, 0)
    )
    return {
        "speech_rate": len(nuclei) / response_s,
        "articulation_rate": len(nuclei) / spoken_s,
        "pause_ratio": 1 - spoken_s / response_s,
        "longest_pause": longest_pause(segments),
        "f0_level": float(np.median(hz)) if len(hz) else None,
        "f0_range": _range_semitones(hz) if len(hz) else None,
        "level_range": float(high_db - low_db),
        "voiced_ratio": len(hz) / max(1, int(frames.sum())),
    }


def longest_pause(segments: Sequence[Segment]) -> float:
    """Seconds of the longest silence between two segments; 0 when there is none."""
    gaps = [after[0] - before[1] for before, after in pairwise(segments)]
    return max(gaps, default=0.0)


def filled_pauses_per_minute(words: Sequence[Word], response_s: float) -> float | None:
    """Recognised um, uh, 嗯, 呃 a minute; None without words."""
    if not words:
        return None
    fillers = [word for word in words if FILLED_PAUSE.match(word.text.strip(" ,.，。…?!"))]
    return 60 * len(fillers) / response_s


LEAST_PROBABLE = 0.001
"""Of a word or a language: below it a logarithm tells nothing more."""

NO_WORDS = 0.01
"""Probability of the words of a stretch in which none was heard."""


def by_stretch(
    items: Sequence[Item], stretches: Sequence[Segment], middle_s: Callable[[Item], float]
) -> list[list[Item]]:
    """What belongs to each stretch: to the one that its middle is nearest to."""
    found: list[list[Item]] = [[] for _ in stretches]
    for item in items:
        at_s = middle_s(item)
        away_s = [max(first_s - at_s, at_s - last_s, 0) for first_s, last_s in stretches]
        found[int(np.argmin(away_s))].append(item)
    return found


def word_measures(
    words: Sequence[Word], segments: Sequence[Segment], language_probability: float
) -> dict[str, float]:
    """WORD_MEASURES of a stretch from the first segment to the last."""
    first_s, last_s = segments[0][0], segments[-1][1]
    right = np.array([word.probability for word in words] or [NO_WORDS])
    logs = np.log(np.maximum(right, LEAST_PROBABLE))
    spoken_s = sum(end_s - start_s for start_s, end_s in segments)
    characters = sum(len(word.text.strip()) for word in words)
    return {
        "word_confidence": float(logs.mean()),
        "word_confidence_low": float(logs.min()),
        "word_confidence_spread": float(logs.std()),
        "unsure_words": float((right < 0.5).mean()),
        "sure_words": float((right > 0.9).mean()),
        "word_rate": len(words) / max(last_s - first_s, 0.3),
        "word_length": characters / max(spoken_s, 0.3),
        "log_words": float(np.log1p(len(words))),
        "log_duration": float(np.log(last_s - first_s)),
        "log_language": float(np.log(max(language_probability, LEAST_PROBABLE))),
    }


UNDECIDED = 6.0
"""Entropy of a stretch in which no token was heard, nats."""


def token_measures(tokens: Sequence[Token]) -> dict[str, float]:
    """TOKEN_MEASURES of a stretch."""
    pairs = [(token.log_probability, token.entropy) for token in tokens]
    values = np.array(pairs or [(np.log(NO_WORDS), UNDECIDED)]).clip(min=np.log(LEAST_PROBABLE))
    shares = np.percentile(
        values, [int(name[1:]) for name in TOKEN_STATISTICS if name[0] == "p"], axis=0
    )
    found = np.concatenate([values.mean(axis=0)[None], values.std(axis=0)[None], shares])
    names = [column.name for column in TOKEN_MEASURES]
    return dict(zip(names, found.T.ravel().tolist(), strict=True))


def level(waveform: Waveform) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(times in s, level in dBFS) of 40 ms frames every 10 ms; at least -100 dBFS."""
    size, hop = SAMPLE_RATE // 25, SAMPLE_RATE // LEVEL_RATE
    if len(waveform) < size:
        return np.empty(0), np.empty(0)
    power = np.concatenate([[0.0], np.cumsum(waveform.astype(np.float64) ** 2)])
    starts = np.arange(0, len(waveform) - size + 1, hop)
    mean = (power[starts + size] - power[starts]) / size
    return (starts + size / 2) / SAMPLE_RATE, 10 * np.log10(np.maximum(mean, 1e-10))


@lru_cache(maxsize=1)
def _pitch_detector() -> SwiftF0:
    return SwiftF0(threads=1, spin=False)


def fundamental_frequency(waveform: Waveform, config: SpeechConfig) -> Pitch:
    """F0 of voiced frames. Source: SwiftF0 (Nieradzik 2025), voiced at confidence ≥ .5."""
    found = _pitch_detector().detect(waveform, SAMPLE_RATE, config.f0_low_hz, config.f0_high_hz)
    return Pitch(found.timestamps, np.where(found.confidence >= 0.5, found.pitch_hz, np.nan))


def syllable_nuclei(
    sound: Sound, segments: Sequence[Segment], config: SpeechConfig
) -> npt.NDArray[np.float64]:
    """Times (s) of voiced level peaks in speech, separated by a dip.

    Source: de Jong & Wempe 2009, Behavior Research Methods 41(2).
    """
    times_s, level_db, pitch = sound.times_s, sound.level_db, sound.pitch
    inside = _within(times_s, segments)
    if not inside.any():
        return np.empty(0)
    floor_db = float(np.percentile(level_db[inside], 99)) - config.nucleus_floor_db
    peaks, _ = find_peaks(level_db, height=floor_db, prominence=config.nucleus_dip_db)
    peaks = peaks[inside[peaks]]
    if not len(peaks) or not len(pitch.times_s):
        return np.empty(0)
    nearest = np.clip(np.searchsorted(pitch.times_s, times_s[peaks]), 0, len(pitch.hz) - 1)
    nuclei: npt.NDArray[np.float64] = times_s[peaks[np.isfinite(pitch.hz[nearest])]]
    return nuclei


def _within(times_s: npt.NDArray[np.float64], segments: Sequence[Segment]) -> npt.NDArray[np.bool_]:
    inside = np.zeros(len(times_s), dtype=bool)
    for start_s, end_s in segments:
        inside |= (times_s >= start_s) & (times_s < end_s)
    return inside


def _range_semitones(hz: npt.NDArray[np.float64]) -> float:
    low, high = np.percentile(hz, [10, 90])
    return float(12 * np.log2(high / low))


def _clipped(segments: Sequence[Segment], within: Segment) -> list[Segment]:
    """The parts of the segments that lie inside."""
    first_s, last_s = within
    return [
        (max(start_s, first_s), min(end_s, last_s))
        for start_s, end_s in segments
        if start_s < last_s and end_s > first_s
    ]


def sentence_ends(words: Sequence[Word]) -> list[float]:
    """Times (s) of the words that end a sentence."""
    return [word.end_s for word in words if word.text.rstrip().endswith(tuple(".?!。？！"))]


def _stretches(
    window: Window, segments: Sequence[Segment], ends_s: Sequence[float], config: SpeechConfig
) -> list[Segment]:
    inside = _clipped(segments, (window.start_s, window.end_s))
    sentences: list[list[Segment]] = []
    for segment in inside:
        if sentences and not _ends_between(sentences[-1][-1], segment, ends_s, config):
            sentences[-1].append(segment)
        else:
            sentences.append([segment])
    stretches = [
        stretch
        for sentence in sentences
        for stretch in cut_at_pauses(sentence, longest_s=config.longest_stretch_s)
    ]
    long_enough = [s for s in stretches if s[1] - s[0] >= config.shortest_stretch_s]
    return long_enough or stretches


def _ends_between(
    before: Segment, after: Segment, ends_s: Sequence[float], config: SpeechConfig
) -> bool:
    """Whether a sentence ends in the pause; aligned ends come up to half a second early."""
    if after[0] - before[1] < config.sentence_pause_s:
        return False
    return any(before[1] - WORD_TIME_S <= end_s <= after[0] + WORD_TIME_S for end_s in ends_s)


def _layers(window: Window, stretch: Segment) -> npt.NDArray[np.float16]:
    """(SPEECH_LAYERS, outputs, width) of one stretch."""
    first = int((stretch[0] - window.start_s) * ENCODER_RATE)
    last = round((stretch[1] - window.start_s) * ENCODER_RATE)
    return window.states[:, first : max(last, first + 2)]


def _row(
    layers: npt.NDArray[np.float16], measured: Mapping[str, float | None]
) -> npt.NDArray[np.float32]:
    """SPEECH columns of one stretch."""
    states = layers.astype(np.float32)
    several = states.shape[1] > 1
    change = np.abs(np.diff(states, axis=1)).mean(axis=1) if several else 0 * states[:, 0]
    statistics = np.stack([states.mean(axis=1), states.std(axis=1), change], axis=1)
    values = [measured[name] or 0.0 for name in _ROW_MEASURES]
    return np.concatenate([statistics.ravel(), values]).astype(np.float32)
