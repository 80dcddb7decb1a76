"""The expression part: observable behaviour, measured and shown; scored only with a head."""

from __future__ import annotations

from dataclasses import dataclass

from data.contract import EXPRESSION_MEASURES, Curve, KeyFrame, Measure, Quality
from data.expression import (
    ExpressionSeries,
    curves,
    expression_measures,
    expression_problem,
    head_input,
    with_face_quality,
)
from data.face import ExpressionConfig, FaceTracker
from data.key_frames import kept_frames, key_frames
from data.recording import Recording
from data.watching import expression_series
from serving.models import LoadedVersion
from serving.parts import Outcome, interval_score, measures, provisional_reason, refused

NAME = "expression"
"""What an absent expression score is called on a scorecard."""


@dataclass(frozen=True)
class Seen:
    """The outcome with what the report draws and the quality record with the picture's part."""

    outcome: Outcome
    quality: Quality
    curves: tuple[Curve, ...] = ()
    key_frames: tuple[KeyFrame, ...] = ()


def score_expression(
    version: LoadedVersion,
    recording: Recording,
    quality: Quality,
    tracker: FaceTracker,
    *,
    stills: bool,
) -> Seen:
    """Measures of the face and, where the version has a head, scores.

    stills : whether pictures of the measured moments are kept; only with consent for the face
    """
    config = tracker.config
    if recording.video_problem is not None:
        return Seen(refused("expression", _names(version), *recording.video_problem), quality)
    kept = kept_frames(config) if stills else None
    frames, duration_s = recording.frames(config.quick_rate_hz), recording.duration_s
    series = expression_series(frames, tracker, duration_s=duration_s, kept=kept)
    quality = with_face_quality(quality, series, config)
    if problem := expression_problem(series, config):
        return Seen(refused("expression", _names(version), *problem), quality)
    measured = measures(
        "expression",
        EXPRESSION_MEASURES,
        expression_measures(series, config),
        version.manifest.references,
    )
    drawn = curves(series, config)
    shown = key_frames(series, kept, config) if kept else ()
    if not version.manifest.artifact:
        outcome = refused(
            "expression",
            [NAME],
            "no_head",
            "Behaviour is measured and shown, not scored: no human ratings of behaviour exist "
            "to learn from. See the card.",
            measures=measured,
        )
        return Seen(outcome, quality, drawn, shown)
    return Seen(_scored(version, series, config, measured), quality, drawn, shown)


def _names(version: LoadedVersion) -> list[str]:
    return [target.name for target in version.manifest.targets] or [NAME]


def _scored(
    version: LoadedVersion,
    series: ExpressionSeries,
    config: ExpressionConfig,
    measured: tuple[Measure, ...],
) -> Outcome:
    features, mask = head_input(series, config)
    points = version.points(features[None], mask=mask[None])[0]
    # A face speaks no language; the setting decides.
    reason = provisional_reason(version, "")
    return Outcome(
        scores=tuple(
            interval_score("expression", target, float(score), version, reason)
            for target, score in zip(version.manifest.targets, points, strict=True)
        ),
        measures=measured,
    )
