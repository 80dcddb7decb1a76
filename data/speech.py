"""Listening → SPEECH features and the named measures of delivery.

A response is scored in stretches of a few seconds, the length of the utterances that
experts rated; the response's score is their mean weighted by duration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.signal import find_peaks
from swift_f0 import SwiftF0

import configs
from data.contract import SAMPLE_RATE, SPEECH, Record, Transcript
from data.listening import ENCODER_RATE, Listening, Segment, Window, cut_at_pauses
from data.recording import Waveform

LEVEL_RATE = 100
"""Level values a second."""

FILLED_PAUSE = re.compile(r"^(u+m+|u+h+|e+r+|e+rm|h+m+|m+h+m*|嗯+|呃+|额+|唔+)$", re.IGNORECASE)


class SpeechConfig(Record):
    """configs/speech_measures.yaml."""

    longest_stretch_s: float = Field(gt=0, description="a response is scored in pieces this long")
    shortest_stretch_s: float = Field(gt=0, description="pieces with less speech are left out")
    f0_low_hz: float = Field(gt=0)
    f0_high_hz: float = Field(gt=0)
    nucleus_dip_db: float = Field(gt=0, description="dip that separates two syllable nuclei")
    nucleus_floor_db: float = Field(gt=0, description="nuclei lie this near the loudest, dB")


@dataclass(frozen=True)
class SpeechFeatures:
    """What a response sounds like.

    rows : (stretches, SPEECH width) float32, one row for each of `stretches`
    measures : SPEECH_MEASURES name -> value in its unit, None where it has none
    """

    rows: npt.NDArray[np.float32]
    stretches: tuple[Segment, ...]
    measures: dict[str, float | None]

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
    listening: Listening, transcript: Transcript | None = None, config: SpeechConfig | None = None
) -> SpeechFeatures:
    """Rows for the head and measures for people; no rows where nobody speaks.

    transcript : only filled pauses are counted in it; without one they are None
    """
    config = config or configs.load("speech_measures", SpeechConfig)
    stretches, rows = [], []
    for window in listening.windows:
        for stretch in _stretches(window, listening.segments, config):
            stretches.append(stretch)
            rows.append(_encoder_statistics(window, stretch))
    matrix = np.stack(rows) if rows else np.empty((0, len(SPEECH.columns)), np.float32)
    return SpeechFeatures(matrix, tuple(stretches), measures(listening, transcript, config))


def measures(
    listening: Listening, transcript: Transcript | None, config: SpeechConfig
) -> dict[str, float | None]:
    """SPEECH_MEASURES of the response; all None where nobody speaks."""
    spoken_s = sum(end_s - start_s for start_s, end_s in listening.segments)
    if not listening.segments or spoken_s <= 0:
        return {name: None for name in _MEASURE_NAMES}
    response_s = listening.segments[-1][1] - listening.segments[0][0]
    pitch = fundamental_frequency(listening.waveform, config)
    times_s, level_db = level(listening.waveform)
    speaking = _within(times_s, listening.segments)
    nuclei = syllable_nuclei(times_s, level_db, pitch, listening.segments, config)
    voiced = _within(pitch.times_s, listening.segments) & np.isfinite(pitch.hz)
    low_db, high_db = np.percentile(level_db[speaking], [10, 90])
    return {
        "speech_rate": len(nuclei) / response_s,
        "articulation_rate": len(nuclei) / spoken_s,
        "pause_ratio": 1 - spoken_s / response_s,
        "longest_pause": longest_pause(listening.segments),
        "f0_level": float(np.median(pitch.hz[voiced])) if voiced.any() else None,
        "f0_range": _range_semitones(pitch.hz[voiced]) if voiced.any() else None,
        "level_range": float(high_db - low_db),
        "voiced_ratio": float(
            voiced.sum() / max(1, _within(pitch.times_s, listening.segments).sum())
        ),
        "filled_pauses": filled_pauses_per_minute(transcript, response_s),
    }


_MEASURE_NAMES = (
    "speech_rate",
    "articulation_rate",
    "pause_ratio",
    "longest_pause",
    "f0_level",
    "f0_range",
    "level_range",
    "voiced_ratio",
    "filled_pauses",
)


def longest_pause(segments: Sequence[Segment]) -> float:
    """Seconds of the longest silence between two segments; 0 when there is none."""
    gaps = [after[0] - before[1] for before, after in zip(segments, segments[1:], strict=False)]
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
    times_s: npt.NDArray[np.float64],
    level_db: npt.NDArray[np.float64],
    pitch: Pitch,
    segments: Sequence[Segment],
    config: SpeechConfig,
) -> npt.NDArray[np.float64]:
    """Times (s) of voiced level peaks in speech, separated by a dip.

    Source: de Jong & Wempe 2009, Behavior Research Methods 41(2).
    """
    inside = _within(times_s, segments)
    if not inside.any():
        return np.empty(0)
    floor_db = float(np.percentile(level_db[inside], 99)) - config.nucleus_floor_db
    peaks, _ = find_peaks(level_db, height=floor_db, prominence=config.nucleus_dip_db)
    peaks = peaks[inside[peaks]]
    if not len(peaks) or not len(pitch.times_s):
        return np.empty(0)
    nearest = np.clip(np.searchsorted(pitch.times_s, times_s[peaks]), 0, len(pitch.hz) - 1)
    return times_s[peaks[np.isfinite(pitch.hz[nearest])]]


def _within(times_s: npt.NDArray[np.float64], segments: Sequence[Segment]) -> npt.NDArray[np.bool_]:
    inside = np.zeros(len(times_s), dtype=bool)
    for start_s, end_s in segments:
        inside |= (times_s >= start_s) & (times_s < end_s)
    return inside


def _range_semitones(hz: npt.NDArray[np.float64]) -> float:
    low, high = np.percentile(hz, [10, 90])
    return float(12 * np.log2(high / low))


def _stretches(window: Window, segments: Sequence[Segment], config: SpeechConfig) -> list[Segment]:
    inside = [
        (max(start_s, window.start_s), min(end_s, window.end_s))
        for start_s, end_s in segments
        if start_s < window.end_s and end_s > window.start_s
    ]
    stretches = cut_at_pauses(inside, longest_s=config.longest_stretch_s)
    long_enough = [s for s in stretches if s[1] - s[0] >= config.shortest_stretch_s]
    return long_enough or stretches


def _encoder_statistics(window: Window, stretch: Segment) -> npt.NDArray[np.float32]:
    first = int((stretch[0] - window.start_s) * ENCODER_RATE)
    last = max(first + 1, round((stretch[1] - window.start_s) * ENCODER_RATE))
    states = window.states[first:last]
    return np.concatenate([states.mean(axis=0), states.std(axis=0)]).astype(np.float32)
