"""The course of the speech scores over an answer, and the moments that stand out of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest

import configs
from data.contract import SPEECH, Manifest, Quality, Target, VoiceLimits, Widening
from data.speech import SpeechFeatures
from data.transcript import NOTHING, Decoded
from serving.models import LoadedVersion
from serving.parts import Outcome
from serving.scoring import ScoringConfig
from serving.speech import score_speech

CONFIG = configs.load("scoring", ScoringConfig)
ENGLISH = replace(NOTHING, language="en", language_shares={"zh": 0.1, "en": 0.9})
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

    def points(self, rows: Any, *, waveforms: Any) -> Any:
        return rows[:, :2].astype(float)

    def sounds(self, rows: Any) -> Any:
        """Familiarity and two axes of voice from the next three columns."""
        return rows[:, 2].astype(float), rows[:, 3:5].astype(float)


def features(points: list[tuple[float, float]], rates: list[float] | None = None) -> SpeechFeatures:
    """Stretches of 4 s, one a second apart, with these points and rates."""
    rows = np.zeros((len(points), len(SPEECH.columns)), np.float32)
    rows[:, :2] = points
    return SpeechFeatures(
        rows=rows,
        waveforms=(),
        stretches=tuple((5.0 * i, 5.0 * i + 4) for i in range(len(points))),
        measures={"articulation_rate": 3.0},
        stretch_measures=tuple({"articulation_rate": rate} for rate in rates or [3] * len(points)),
    )


def outcome(
    points: list[tuple[float, float]],
    rates: list[float] | None = None,
    *,
    spoken: Decoded = ENGLISH,
    quality: Quality = GOOD,
    manifest: Manifest = MANIFEST,
) -> Outcome:
    version = cast(LoadedVersion, Planted(manifest))
    return score_speech(version, features(points, rates), spoken, quality, CONFIG)


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


BOUND = MANIFEST.model_copy(update={"language_bound": True})


def test_an_answer_that_changes_language_has_measures_and_no_score() -> None:
    mixed = replace(ENGLISH, language_shares={"zh": 0.4, "en": 0.6})
    found = outcome([(60, 60)], spoken=mixed, manifest=BOUND)
    assert found.scores == ()
    assert {entry.code for entry in found.not_scored} == {"code_switched"}
    assert "40% of the speech is in another language than en" in found.not_scored[0].reason
    assert found.measures[1].value == 3
    few = replace(ENGLISH, language_shares={"zh": 0.15, "en": 0.85})
    assert len(outcome([(60, 60)], spoken=few, manifest=BOUND).scores) == 2


def test_an_answer_in_a_language_that_was_not_learned_has_no_score() -> None:
    found = outcome([(60, 60)], spoken=replace(ENGLISH, language="zh"), manifest=BOUND)
    assert {entry.code for entry in found.not_scored} == {"language_not_validated"}
    unbound = replace(ENGLISH, language="zh", language_shares={"zh": 1.0, "en": 0.0})
    assert len(outcome([(60, 60)], spoken=unbound).scores) == 2


def sounding(familiar: float, voices: list[float]) -> Outcome:
    limits = VoiceLimits(min_familiarity=0.6, max_apart=(2.0, 2.5))
    narrower = Widening(measure="familiarity", below=0.8, factor=1.5)
    manifest = MANIFEST.model_copy(update={"voice_limits": limits, "widenings": (narrower,)})
    heard = features([(50, 50)] * len(voices))
    heard.rows[:, 2], heard.rows[:, 3] = familiar, voices
    return score_speech(cast(LoadedVersion, Planted(manifest)), heard, ENGLISH, GOOD, CONFIG)


def test_sound_unlike_the_speech_it_learned_from_has_measures_and_no_score() -> None:
    found = sounding(0.5, [0, 0])
    assert found.scores == ()
    assert {entry.code for entry in found.not_scored} == {"unfamiliar_sound"}
    assert found.measures[1].value == 3


def test_two_voices_in_turn_have_measures_and_no_score() -> None:
    assert {entry.code for entry in sounding(1, [0, 4]).not_scored} == {"several_voices"}
    assert len(sounding(1, [0, 2]).scores) == 2


def test_less_familiar_sound_widens_the_interval() -> None:
    usual, strange = (sounding(familiar, [0, 0]).scores[0] for familiar in (1, 0.7))
    assert (usual.high - 50, strange.high - 50) == (10, 15)


def test_a_poor_signal_widens_the_interval_by_the_largest_factor_that_applies() -> None:
    widenings = (
        Widening(measure="snr_db", below=20, factor=1.2),
        Widening(measure="snr_db", below=10, factor=1.5),
        Widening(measure="bandwidth_hz", below=4500, factor=1.3),
    )
    manifest = MANIFEST.model_copy(update={"widenings": widenings})

    def half_width(**signal: float | None) -> float:
        quality = GOOD.model_copy(update=signal)
        score = outcome([(50, 50)], quality=quality, manifest=manifest).scores[0]
        assert score.high - 50 == 50 - score.low
        return score.high - 50

    assert half_width() == 10
    assert half_width(snr_db=20) == 10
    assert half_width(snr_db=15) == 12
    assert half_width(snr_db=9, bandwidth_hz=4000) == 15
    assert half_width(bandwidth_hz=4000) == 13
    assert half_width(snr_db=None) == 10
