"""What every part of a scorecard shares: its outcome, its provisional rule, its measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from data.contract import Column, Curve, Evidence, Measure, Moment, NotScored, Part, Score, Target
from serving.models import LoadedVersion

SETTING = "interview"
"""What every recording that reaches this service is."""


@dataclass(frozen=True)
class Outcome:
    """What one part has to say: scores, or why there are none, and its measures.

    course, moments : the scores over time, for the report
    """

    scores: tuple[Score, ...] = ()
    not_scored: tuple[NotScored, ...] = ()
    measures: tuple[Measure, ...] = ()
    course: tuple[Curve, ...] = ()
    moments: tuple[Moment, ...] = ()


def refused(
    part: Part, names: Iterable[str], code: str, reason: str, measures: tuple[Measure, ...] = ()
) -> Outcome:
    """No score for any of the names, for one reason."""
    return Outcome(
        not_scored=tuple(
            NotScored(part=part, name=name, code=code, reason=reason) for name in names
        ),
        measures=measures,
    )


def interval_score(
    part: Part,
    target: Target,
    points: float,
    version: LoadedVersion,
    provisional: dict[str, str],
    *,
    name: str = "",
    evidence: tuple[Evidence, ...] = (),
    widening: float = 1.0,
) -> Score:
    """The head's points with its conformal interval, both within 0 to 100.

    provisional : why the score is, by language; empty where it is not. name : default the target's
    widening : of the interval, where the signal is poor
    """
    half_width = widening * target.half_width_at(points)
    return Score(
        part=part,
        name=name or target.name,
        score=round(points, 2),
        low=round(max(0.0, points - half_width), 2),
        high=round(min(100.0, points + half_width), 2),
        provisional=bool(provisional),
        provisional_reason=provisional,
        evidence=evidence,
        version=version.version,
    )


def provisional_reason(version: LoadedVersion, language: str) -> dict[str, str]:
    """Why a score of this version is provisional here, by language to read it in.

    Empty where the card validates the use. language : of the answer; empty where
    language does not matter
    """
    manifest = version.manifest
    known_language = not language or language in manifest.validated_languages
    if SETTING in manifest.validated_settings and known_language:
        return {}
    fallback = (
        f"Validated for {', '.join(manifest.validated_settings)} in "
        f"{', '.join(manifest.validated_languages)}, not for an interview in {language}."
    )
    return manifest.provisional_reason or {"en": fallback}


def measures(
    part: Part,
    columns: Iterable[Column],
    values: Mapping[str, float | None],
    references: Mapping[str, tuple[float, float]],
) -> tuple[Measure, ...]:
    """Every column with its value and the reference range of the version's people."""
    return tuple(
        Measure(
            part=part,
            name=column.name,
            value=values.get(column.name),
            unit=column.unit,
            meaning=column.meaning,
            reference_low=references.get(column.name, (None, None))[0],
            reference_high=references.get(column.name, (None, None))[1],
        )
        for column in columns
    )
