"""What every part of a scorecard shares: its outcome, its provisional rule, its measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from data.contract import Column, Measure, NotScored, Part, Score
from serving.models import LoadedVersion

SETTING = "interview"
"""What every recording that reaches this service is."""


@dataclass(frozen=True)
class Outcome:
    """What one part has to say: scores, or why there are none, and its measures."""

    scores: tuple[Score, ...] = ()
    not_scored: tuple[NotScored, ...] = ()
    measures: tuple[Measure, ...] = ()


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


def provisional_reason(version: LoadedVersion, language: str, *, read_in: str) -> str:
    """Why a score of this version is provisional here; empty where the card validates it.

    language : of the answer. read_in : language the reason is written in
    """
    manifest = version.manifest
    if SETTING in manifest.validated_settings and language in manifest.validated_languages:
        return ""
    reasons = manifest.provisional_reason
    fallback = (
        f"Validated for {', '.join(manifest.validated_settings)} in "
        f"{', '.join(manifest.validated_languages)}, not for an interview in {language}."
    )
    return reasons.get(read_in) or reasons.get("en") or fallback


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
