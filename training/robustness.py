"""What a speech version says of people it did not learn from when they are recorded worse."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.contract import SAMPLE_RATE, SPEECH_MEASURES, Quality, UndefinedMetric, VoiceLimits
from data.recording import Waveform, audio_quality
from data.speech import unfit_for_speech
from data.voices import no_one_person
from evaluation.robustness import PLAIN
from evaluation.rows import PLACES
from training import fit
from training.conditions import CONDITIONS, Condition, Others, opened

Floats = npt.NDArray[np.float64]
Segments = Sequence[tuple[float, float]]

MEASURED = ("speech_s", "snr_db", "bandwidth_hz", "clipping_ratio")
"""Fields of Quality by which an utterance is refused or its interval widened."""

EVERY = 40
"""Of 2,500 utterances 63 are left: half a minute of each voice."""

VOICED = [column.name for column in SPEECH_MEASURES].index("voiced_ratio")


class Scores(Protocol):
    """What scores the arrays of an utterance."""

    def utterance(self, arrays: dict[str, fit.Matrix]) -> Floats:
        """(targets,) points."""

    def sound(self, arrays: dict[str, fit.Matrix]) -> tuple[float | None, tuple[float, int]]:
        """Its familiarity, and how far apart its voices are in how many stretches."""


TALKERS = 6
"""Voices that babble is made of: of fewer, words are understood."""


@dataclass(frozen=True)
class Scene:
    """An utterance in one condition: what worker processes extract.

    extract : waveform → arrays that the version scores, and the segments of speech
    """

    condition: Condition | None
    others: Others
    extract: Callable[[Waveform], tuple[dict[str, fit.Matrix], Segments]]

    def __call__(self, path: Path) -> dict[str, fit.Matrix]:
        """Arrays of the utterance, with `quality` in the order of MEASURED."""
        waveform = _sound(path)
        if self.condition is not None:
            waveform = self.condition.change(waveform, self.others, sum(path.stem.encode()))
        arrays, segments = self.extract(waveform)
        measured = audio_quality(waveform, list(segments))
        known = [measured.get(name, np.nan) for name in MEASURED]
        return arrays | {"quality": np.array(known, dtype=float)}


@dataclass(frozen=True)
class Worse:
    """An utterance in one condition that is learned from, told by the file's name.

    No rows where the sound is too poor to be scored; where it is too short to be scored it is
    learned from however poor it is.
    """

    others: Others
    extract: Callable[[Waveform], tuple[dict[str, fit.Matrix], Segments]]

    def __call__(self, path: Path) -> dict[str, fit.Matrix]:
        """Arrays of the utterance."""
        seed = zlib.crc32(path.stem.encode())
        conditions = [condition for condition in CONDITIONS if condition.learned]
        waveform = conditions[seed % len(conditions)].change(_sound(path), self.others, seed)
        arrays, segments = self.extract(waveform)
        measured = audio_quality(waveform, list(segments))
        known = {name: measured[name] for name in MEASURED if measured.get(name) is not None}
        refused = unfit_for_speech(Quality(duration_s=0, **known), voiced_ratio=None)
        if refused and refused[0] != "too_little_speech":
            return arrays | {name: arrays[name][:0] for name in ("rows", "durations_s")}
        return arrays


def learned() -> list[str]:
    """Names of the conditions that are learned from, in their order."""
    return [condition.name for condition in CONDITIONS if condition.learned]


def _sound(path: Path) -> Waveform:
    waveform = opened(path)
    assert waveform is not None, f"{path} has no sound"
    return waveform


def others(paths: Sequence[Path], seconds: float = 30) -> Others:
    """TALKERS voices at once, each from utterances of its own, equally loud; and the first.

    Every EVERYth file is used, or more where there are few; one voice may be several people in
    turn. Raises UndefinedMetric with fewer files than voices.
    """
    if len(paths) < TALKERS:
        raise UndefinedMetric(f"Babble needs {TALKERS} utterances, got {len(paths)}.")
    paths = paths[:: max(1, min(EVERY, len(paths) // TALKERS))]
    length = round(seconds * SAMPLE_RATE)
    voices = []
    for first in range(TALKERS):
        voice = np.concatenate([_sound(path) for path in paths[first::TALKERS]])
        loudness = max(float(np.sqrt(np.mean(voice**2))), 1e-6)
        voices.append((0.1 * np.resize(voice, length) / loudness).astype(np.float32))
    return Others(babble=np.mean(voices, axis=0), talker=voices[0])


def recorded_worse(
    paths: Sequence[Path],
    ratings: pd.DataFrame,
    heads: Sequence[Scores],
    extract: Callable[[Waveform], tuple[dict[str, fit.Matrix], Segments]],
    company: Others,
    *,
    limits: VoiceLimits,
    store: Path,
    identity: str,
    workers: int,
) -> pd.DataFrame:
    """The table of `evaluation.robustness` of these utterances in every condition.

    ratings : person, item and a column for each target, one row a path
    heads : of each path; their points are those of the targets, in their order
    """
    targets = [name for name in ratings.columns if name not in ("person", "item")]
    plain: dict[int, Floats] = {}
    rows = []
    for condition in (None, *CONDITIONS):
        name = condition.name if condition else PLAIN
        found = fit.features(
            paths,
            Scene(condition, company, extract),
            store=store,
            identity=f"{identity} {name}",
            label=name,
            workers=workers,
        )
        for i, arrays in enumerate(found):
            quality = dict(zip(MEASURED, arrays["quality"].tolist(), strict=True))
            known = {key: value for key, value in quality.items() if np.isfinite(value)}
            refused = unfit_for_speech(
                Quality(duration_s=0, **known), voiced_ratio=float(arrays["measures"][VOICED])
            )
            familiar, distance = heads[i].sound(arrays)
            refused = refused or no_one_person(familiar, distance, limits)
            points = np.full(len(targets), np.nan) if refused else heads[i].utterance(arrays)
            plain.setdefault(i, points)
            for j, target in enumerate(targets):
                rows.append(
                    {
                        "person": ratings["person"].iloc[i],
                        "item": ratings["item"].iloc[i],
                        "condition": name,
                        "target": target,
                        "rating": ratings[target].iloc[i],
                        "plain": plain[i][j],
                        "score": points[j],
                        "reason": refused[0] if refused else "",
                        "snr_db": quality["snr_db"],
                        "bandwidth_hz": quality["bandwidth_hz"],
                        "familiarity": np.nan if familiar is None else familiar,
                    }
                )
    return pd.DataFrame(rows).round(PLACES)
