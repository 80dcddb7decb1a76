"""The course of the speech scores over an answer, and the moments that stand out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

import configs
from data.contract import SPEECH, Manifest, Quality, Target
from data.speech import SpeechFeatures
from serving.models import LoadedVersion
from serving.parts import Outcome
from serving.scoring import ScoringConfig
from serving.speech import score_speech

CONFIG = configs.load("scoring", ScoringConfig)
GOOD = Quality(duration_s=60, speech_s=50, snr_db=30, bandwidth_hz=8000, clipping_ratio=0)
MANIFEST = Manifest(
    name="speech",
    feature_set=SPEECH.id,
    targets=(Target(name="fluency", half_width=10), Target(name="prosody", half_width=10)),
    validated_languages=("en",),
    validated_settings=("interview",),
    references={"articulation_rate": (2.0, 4.0)},
    learned_from="a test",
    created_at="2026-11-23T00:00:00+00:00",
)


@dataclass(frozen=True)
class Planted:
    """A version whose points are the first two columns of the rows."""

    manifest: Manifest = MANIFEST
    version: str = "1"

    def points(self, rows: Any) -> Any:
        return rows[:, :2].astype(float)


def outcome(points: list[tuple[float, float]], rates: list[float] | None = None) -> Outcome:
    """Of stretches of 4 s, one a second apart, with these points and rates."""
    rows = np.zeros((len(points), len(SPEECH.columns)), np.float32)
    rows[:, :2] = points
    heard = SpeechFeatures(
        rows=rows,
        stretches=tuple((5.0 * i, 5.0 * i + 4) for i in range(len(points))),
        measures={"articulation_rate": 3.0},
        stretch_measures=tuple({"articulation_rate": rate} for rate in rates or [3] * len(points)),
    )
    return score_speech(cast(LoadedVersion, Planted()), heard, "en", GOOD, CONFIG)


def test_the_course_gives_each_stretch_its_score_from_its_start_to_its_end() -> None:
    fluency, prosody = outcome([(60, 50), (80, 70)]).course
    assert (fluency.name, prosody.name) == ("fluency", "prosody")
    assert fluency.times_s == (0, 4, 5, 9)
    assert fluency.values == (6, 6, 8, 8)


def test_the_stretches_farthest_from_the_answer_are_its_moments_with_what_was_unusual() -> None:
    points = [(60, 60), (30, 40), (61, 59), (60, 60), (90, 84)]
    found = outcome(points, rates=[3, 1.5, 3, 3, 4.5]).moments
    assert [(moment.start_s, moment.difference > 0) for moment in found] == [(5, False), (20, True)]
    slow = found[0]
    assert slow.scores == {"fluency": 30, "prosody": 40}
    mean = (60.2 + 60.6) / 2
    assert slow.difference == pytest.approx(35 - mean)
    [rate] = slow.measures
    assert (rate.name, rate.value, rate.reference_low) == ("articulation_rate", 1.5, 2.0)


def test_an_even_answer_has_no_moments_and_one_stretch_no_course() -> None:
    assert outcome([(60, 60), (64, 62), (58, 59)]).moments == ()
    alone = outcome([(60, 60)])
    assert (alone.course, alone.moments) == ((), ())


def test_at_most_two_moments_lie_on_each_side() -> None:
    points = [(20, 20), (25, 25), (30, 30), (60, 60), (90, 90), (95, 95), (99, 99)]
    found = outcome([(low, high) for low, high in points]).moments
    assert [moment.start_s for moment in found] == [0, 5, 25, 30]
