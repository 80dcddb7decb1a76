"""The speech part: how the answer was delivered, in a language the champion knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from data.contract import SPEECH_MEASURES, Curve, Evidence, Measure, Moment, Quality
from data.speech import SpeechFeatures, unfit_for_speech
from data.transcript import Decoded
from data.voices import apart, familiarity, no_one_person
from serving.models import LoadedVersion
from serving.parts import Outcome, interval_score, measures, provisional_reason, refused
from serving.scoring import ScoringConfig
from serving.terms import OF_TEN

SHOWN = ("articulation_rate", "pause_ratio", "longest_pause", "f0_range")
"""Measures shown beside every speech score; the rest are in the scorecard's list."""


def score_speech(
    version: LoadedVersion,
    heard: SpeechFeatures,
    spoken: Decoded,
    quality: Quality,
    config: ScoringConfig,
) -> Outcome:
    """Scores of the version's targets, or the reason there are none; measures in any language."""
    measured = measures("speech", SPEECH_MEASURES, heard.measures, version.manifest.references)
    names = [target.name for target in version.manifest.targets]
    if problem := unfit_for_speech(
        quality, voiced_ratio=heard.measures.get("voiced_ratio")
    ) or _language_gate(version, spoken, config):
        return refused("speech", names, *problem, measures=measured)
    familiar, problem = _one_person(version, heard)
    if problem:
        return refused("speech", names, *problem, measures=measured)
    points = version.points(heard.rows, waveforms=heard.waveforms)
    scores = np.average(points, axis=0, weights=heard.durations_s)
    reason = provisional_reason(version, spoken.language)
    widening = _widening(version, {**quality.model_dump(), "familiarity": familiar})
    return Outcome(
        scores=tuple(
            interval_score(
                "speech",
                target,
                float(score),
                version,
                reason,
                evidence=_evidence(measured),
                widening=widening,
            )
            for target, score in zip(version.manifest.targets, scores, strict=True)
        ),
        measures=measured,
        course=tuple(_course(heard, names, points)),
        moments=_moments(heard, points, scores, version, config),
    )


DRAWN = 2
"""Targets whose course over time is drawn: the others follow them closely."""

MOMENTS = 2
"""Shown of those above the answer, and of those below."""


def _course(
    heard: SpeechFeatures, names: list[str], points: npt.NDArray[np.float64]
) -> Iterator[Curve]:
    """The score of each stretch from its start to its end, out of ten."""
    if len(heard.stretches) < 2:
        return
    times_s = tuple(round(edge, 2) for stretch in heard.stretches for edge in stretch)
    for j, name in enumerate(names[:DRAWN]):
        values = tuple(round(float(p) / 10, 2) for p in points[:, j] for _ in range(2))
        meaning = "score of each stretch of speech by itself"
        yield Curve(name=name, unit=OF_TEN, meaning=meaning, times_s=times_s, values=values)


def _moments(
    heard: SpeechFeatures,
    points: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64],
    version: LoadedVersion,
    config: ScoringConfig,
) -> tuple[Moment, ...]:
    """The stretches that pulled the scores down or up the most, in order of time."""
    names = [target.name for target in version.manifest.targets]
    mean = (points - scores).mean(axis=1)
    order = np.argsort(mean)
    chosen = {*order[:MOMENTS].tolist(), *order[-MOMENTS:].tolist()}
    return tuple(
        Moment(
            start_s=round(heard.stretches[i][0], 2),
            end_s=round(heard.stretches[i][1], 2),
            scores={name: round(float(p), 2) for name, p in zip(names, points[i], strict=True)},
            difference=round(float(mean[i]), 2),
            measures=_outside(heard.stretch_measures[i], version),
        )
        for i in sorted(chosen)
        if abs(mean[i]) >= config.moment_points
    )


def _one_person(
    version: LoadedVersion, heard: SpeechFeatures
) -> tuple[float | None, tuple[str, str] | None]:
    """Familiarity of the answer, and (code, sentence) where it is not one person speaking."""
    limits = version.manifest.voice_limits
    if limits is None:
        return None, None
    stretches, voices = version.sounds(heard.rows)
    familiar = familiarity(stretches, heard.durations_s)
    return familiar, no_one_person(familiar, apart(voices, heard.durations_s), limits)


def _widening(version: LoadedVersion, quality: Mapping[str, float | None]) -> float:
    """By how much intervals grow for this signal: the largest that applies."""
    factors = [
        widening.factor
        for widening in version.manifest.widenings
        if (value := quality[widening.measure]) is not None and value < widening.below
    ]
    return max(factors, default=1.0)


def _outside(values: dict[str, float | None], version: LoadedVersion) -> tuple[Measure, ...]:
    """The measures beyond the reference range of the version's people."""
    named = measures("speech", SPEECH_MEASURES, values, version.manifest.references)
    return tuple(
        measure
        for measure in named
        if measure.value is not None
        and measure.reference_low is not None
        and measure.reference_high is not None
        and not measure.reference_low <= measure.value <= measure.reference_high
    )


def _language_gate(
    version: LoadedVersion, spoken: Decoded, config: ScoringConfig
) -> tuple[str, str] | None:
    known = version.manifest.validated_languages
    if not version.manifest.language_bound:
        return None
    if spoken.language not in known:
        return (
            "language_not_validated",
            f"The answer is in {spoken.language!r}; this version learned from {', '.join(known)} "
            "only. Its measures hold in any language and are given.",
        )
    strange = sum(share for code, share in spoken.language_shares.items() if code not in known)
    if strange > config.max_other_language:
        return (
            "code_switched",
            f"{strange:.0%} of the speech is in another language than {', '.join(known)}; at most "
            f"{config.max_other_language:.0%} may be.",
        )
    return None


def _evidence(measured: tuple[Measure, ...]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            kind="measure",
            name=measure.name,
            value=measure.value,
            unit=measure.unit,
            reference_low=measure.reference_low,
            reference_high=measure.reference_high,
            text=measure.meaning,
        )
        for measure in measured
        if measure.name in SHOWN and measure.value is not None
    )
