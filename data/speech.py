"""Listening → SPEECH features and the named measures of delivery.

A response is scored in stretches of a few seconds, the length of the utterances that
experts rated; the response's score is their mean weighted by duration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.signal import find_peaks
from swift_f0 import SwiftF0

import configs
from data.contract import SAMPLE_RATE, SPEECH, SPEECH_MEASURES, Record, Transcript
from data.listening import ENCODER_RATE, Listening, Segment, Window, cut_at_pauses
from data.recording import Waveform

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


@dataclass(frozen=True)
class SpeechFeatures:
    """What a response sounds like.

    rows : (stretches, SPEECH width) float32, one row for each of `stretches`
    stretch_measures : SPEECH_MEASURES of each stretch but filled pauses
    measures : SPEECH_MEASURES name -> value in its unit, None where it has none
    """

    rows: npt.NDArray[np.float32]
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
    listening: Listening, transcript: Transcript | None = None, sound: Sound | None = None
) -> SpeechFeatures:
    """Rows for the head and measures for people; no rows where nobody speaks.

    transcript : recognised words with times. Sentences that they end are stretches of
        their own, and filled pauses are counted in them; without words an answer is taken
        for one sentence, as the rated utterances are, and filled pauses are None
    sound : of this listening, where it was computed beside the words
    """
    config = configs.load("speech_measures", SpeechConfig)
    ends_s = sentence_ends(transcript)
    if not listening.segments:
        nothing = np.empty((0, len(SPEECH.columns)), np.float32)
        return SpeechFeatures(nothing, (), dict.fromkeys(_NAMES))
    sound = sound or sound_of(listening)
    stretches, rows, apart = [], [], []
    for window in listening.windows:
        for stretch in _stretches(window, listening.segments, ends_s, config):
            inside = _clipped(listening.segments, stretch)
            stretches.append(stretch)
            delivered = measures(inside, sound, config)
            apart.append(delivered)
            rows.append(_row(window, stretch, delivered))
    response_s = listening.segments[-1][1] - listening.segments[0][0]
    measured = {
        **measures(listening.segments, sound, config),
        "filled_pauses": filled_pauses_per_minute(transcript, response_s),
    }
    return SpeechFeatures(np.stack(rows), tuple(stretches), measured, tuple(apart))


_NAMES = tuple(column.name for column in SPEECH_MEASURES)
_ROW_MEASURES = tuple(name for name in SPEECH.names if name in _NAMES)


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


def filled_pauses_per_minute(transcript: Transcript | None, response_s: float) -> float | None:
    """Recognised um, uh, 嗯, 呃 a minute; None without timed words."""
    if transcript is None or not transcript.words:
        return None
    fillers = [
        word for word in transcript.words if FILLED_PAUSE.match(word.text.strip(" ,.，。…?!"))
    ]
    return 60 * len(fillers) / response_s


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


def sentence_ends(transcript: Transcript | None) -> list[float]:
    """Times (s) of the words that end a sentence; none without timed words."""
    words = transcript.words if transcript else ()
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


def _row(
    window: Window, stretch: Segment, measured: dict[str, float | None]
) -> npt.NDArray[np.float32]:
    """SPEECH columns of one stretch."""
    first = int((stretch[0] - window.start_s) * ENCODER_RATE)
    last = round((stretch[1] - window.start_s) * ENCODER_RATE)
    states = window.states[first : max(last, first + 2)]
    low, high = np.percentile(states, [10, 90], axis=0)
    change = np.abs(np.diff(states, axis=0)).mean(axis=0) if len(states) > 1 else 0 * low
    values = [measured[name] or 0.0 for name in _ROW_MEASURES]
    columns = [states.mean(axis=0), states.std(axis=0), change, low, high, np.array(values)]
    return np.concatenate(columns).astype(np.float32)
