"""Recognisers beside each other: errors with an interval over speakers, speed, calibration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import configs
from data import confidence
from data.contract import SAMPLE_RATE, Transcript
from data.corpora import transcribed
from data.listening import Listener, Listening
from data.normalise import Errors, errors, pieces
from data.recognisers import Candidate, recogniser
from data.recording import RecordingConfig, open_recording


@dataclass(frozen=True)
class Clip:
    """A recording of which a person wrote down what is said."""

    path: Path
    speaker: str
    text: str
    language: str


def clips(folder: Path, *, language: str, most: int | None = None) -> list[Clip]:
    """The recordings that `transcribed.read` finds in a folder; of `most`, a part of them.

    A part has a like number of each speaker. Raises FileNotFoundError or BadTable.
    """
    table = transcribed.read(folder)
    columns = (table[name] for name in ("path", "person", "text"))
    found = [
        Clip(Path(path), person, text, language)
        for path, person, text in zip(*columns, strict=True)
    ]
    return _part(found, most) if most else found


def _part(found: list[Clip], most: int) -> list[Clip]:
    """By turns of the speakers, in an order that chance fixes once."""
    order = np.random.default_rng(0).permutation(len(found))
    turns: dict[str, int] = {}
    ranked = []
    for i in order:
        turn = turns[found[i].speaker] = turns.get(found[i].speaker, 0) + 1
        ranked.append((turn, int(i)))
    return [found[i] for _, i in sorted(ranked)[:most]]


@dataclass(frozen=True)
class Heard:
    """What one recogniser wrote. seconds : of each clip, from sound to words."""

    name: str
    clips: Sequence[Clip]
    transcripts: list[Transcript]
    seconds: list[float]
    audio_s: float

    @cached_property
    def errors(self) -> list[Errors]:
        """Of each clip."""
        return [
            errors(clip.text, found.text, clip.language)
            for clip, found in zip(self.clips, self.transcripts, strict=True)
        ]


Progress = Callable[[Sequence[Clip]], Iterable[Clip]]


def hear(
    candidate: Candidate, listener: Listener, chosen: Sequence[Clip], track: Progress
) -> Heard:
    """Every clip through one recogniser, its probabilities as it gives them itself."""
    raw = candidate.config.model_copy(update={"calibrations": {}})
    writes = recogniser(listener, raw)
    transcripts, seconds, audio_s = [], [], 0.0
    recording = configs.load("recording", RecordingConfig, min_duration_s=0.3)
    for clip in track(chosen):
        waveform = open_recording(clip.path, recording).waveform
        assert waveform is not None, f"{clip.path} has no sound"
        begun_s = time.perf_counter()
        listening: Listening = listener.listen(waveform)
        transcripts.append(writes.transcribe(listening, expected=clip.language))
        seconds.append(time.perf_counter() - begun_s)
        audio_s += len(waveform) / SAMPLE_RATE
    return Heard(candidate.name, chosen, transcripts, seconds, audio_s)


@dataclass(frozen=True)
class Row:
    """One recogniser. error_rate : edits over units of what was said, with a 95 % interval

    in_language : the same, of the clips that were taken for the language they are in
    seconds_per_s : of sound, encoder and voice activity included
    """

    name: str
    clips: int
    speakers: int
    units: int
    error_rate: float
    low: float
    high: float
    in_language: float
    other_language: int
    seconds_per_s: float


def row(heard: Heard) -> Row:
    """The numbers of one recogniser; the interval resamples speakers (percentile bootstrap)."""
    found = heard.errors
    table = pd.DataFrame(
        {
            "speaker": [clip.speaker for clip in heard.clips],
            "edits": [one.edits for one in found],
            "units": [one.units for one in found],
            "same": [
                clip.language == one.language
                for clip, one in zip(heard.clips, heard.transcripts, strict=True)
            ],
        }
    )
    people = table.groupby("speaker")[["edits", "units"]].sum()
    low, high = _interval(people["edits"].to_numpy(), people["units"].to_numpy())
    same = table[table["same"]]
    return Row(
        name=heard.name,
        clips=len(table),
        speakers=len(people),
        units=int(table["units"].sum()),
        error_rate=float(table["edits"].sum() / table["units"].sum()),
        low=low,
        high=high,
        in_language=float(same["edits"].sum() / max(1, same["units"].sum())),
        other_language=int((~table["same"]).sum()),
        seconds_per_s=sum(heard.seconds) / heard.audio_s,
    )


def _interval(edits: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """NaN where one speaker leaves nothing to resample."""
    if len(edits) < 2:
        return float("nan"), float("nan")
    found = stats.bootstrap(
        (edits, units),
        lambda e, u, axis: e.sum(axis=axis) / u.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        random_state=0,
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def words(heard: Heard) -> confidence.Words | None:
    """Words of the clips taken for their own language; None where there are hardly any."""
    probability, wrong, units, speaker = [], [], [], []
    missed = 0
    for clip, found, misheard in zip(heard.clips, heard.transcripts, heard.errors, strict=True):
        if found.language != clip.language:
            continue
        missed += misheard.deleted
        for piece in pieces(clip.text, found.words, clip.language):
            probability.append(float(np.mean([word.probability for word in piece.words])))
            wrong.append(min(piece.wrong, piece.units))
            units.append(piece.units)
            speaker.append(clip.speaker)
    if len({*speaker}) < 3 or not sum(wrong) or sum(wrong) == sum(units):
        return None
    return confidence.Words(
        np.array(probability),
        np.array(wrong, dtype=float),
        np.array(units, dtype=float),
        np.array(speaker),
        missed,
    )


def numbers(heard: Heard) -> dict[str, Any]:
    """All of it for one line of JSON."""
    found: dict[str, Any] = asdict(row(heard))
    if (said := words(heard)) is not None and len({*said.probability}) > 1:
        calibrated = confidence.left_out(said)
        bins = {
            "raw": confidence.reliability(said, said.probability),
            "calibrated": confidence.reliability(said, calibrated),
        }
        found["calibration"] = confidence.fit(said).model_dump()
        found["calibration_error"] = {
            name: confidence.calibration_error(parts) for name, parts in bins.items()
        }
        found["reliability"] = {
            name: [asdict(part) for part in parts] for name, parts in bins.items()
        }
    return found
