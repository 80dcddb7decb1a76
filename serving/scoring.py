"""When a part abstains and what a total needs: configs/scoring.yaml."""

from __future__ import annotations

from pydantic import Field

from data.contract import Record


class ScoringConfig(Record):
    """The thresholds of a scorecard."""

    max_error_rate: float = Field(
        ge=0, le=1, description="estimated of the recognised words, a unit that was said"
    )
    low_confidence: float = Field(
        ge=0, le=1, description="words less probably right are marked and doubted"
    )
    max_dropped_share: float = Field(
        ge=0, le=1, description="of the speech, where the recogniser only repeated itself"
    )
    max_other_language: float = Field(
        ge=0, le=1, description="share of the speech that may be in a language the version lacks"
    )
    moment_points: float = Field(
        gt=0, description="a stretch this far from the whole answer is a moment of the report"
    )
    min_total_share: float = Field(gt=0, le=1)
    min_level_units: int = Field(
        ge=1, description="judged units (characters, words) below which no level is named"
    )
    max_passages: int = Field(ge=1, description="of one answer that are explained apart")
