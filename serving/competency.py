"""The competency part: what was said, on the competency's levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from data import language
from data.content import judged, low_effort
from data.contract import (
    LANGUAGE_MEASURES,
    Column,
    Evidence,
    NotScored,
    Score,
    Target,
    Transcript,
)
from data.jobs import LANGUAGES, LEVELS, Job, Question, bank, level_of
from data.question_bank import other_question
from data.text import units
from serving.evidence import (
    Rubric,
    answer_text,
    key_point_evidence,
    passage_evidence,
    sentences_of,
)
from serving.models import LoadedVersion
from serving.parts import Outcome, interval_score, measures, provisional_reason, refused
from serving.scoring import ScoringConfig


def score_competency(
    version: LoadedVersion,
    job: Job,
    question: Question | None,
    transcript: Transcript,
    expected_language: str,
    config: ScoringConfig,
) -> Outcome:
    """The score of the question's competency, or why there is none.

    Words that were heard with low confidence are doubted: the interval reaches as far as
    the score moves without them.
    """
    if question is None:
        return refused(
            "competency",
            job.competencies,
            "no_question",
            "The request names no question, so there is nothing to compare the answer with.",
        )
    asked = question.competency
    if problem := _unfit(question, transcript, expected_language, config):
        return _with_others(job, asked, refused("competency", [asked], *problem))
    rubric = Rubric.of(question, bank().competencies[asked], transcript.language)
    answer = answer_text(sentences_of(transcript))
    texts = [answer] if (sure := _surely_heard(transcript, config)) is None else [answer, sure]
    read = rubric.features(texts)
    points = _named(version, version.points(read))
    level = points[LEVEL]
    score = interval_score(
        "competency",
        _target(version, LEVEL),
        float(level[0]),
        version,
        provisional_reason(version, transcript.language),
        name=asked,
        evidence=(
            *passage_evidence(
                transcript,
                rubric,
                lambda features: _named(version, version.points(features))[LEVEL],
                most=config.max_passages,
            ),
            *key_point_evidence(transcript, rubric),
        ),
    )
    if len(units(judged(answer))) >= config.min_level_units:
        score = _levelled(score, rubric)
    measured = measures(
        "competency",
        (*LANGUAGE_MEASURES, QUALITY),
        {**language.measures(read[0]), QUALITY.name: float(points[QUALITY.name][0])},
        version.manifest.references,
    )
    score = _doubted(score, float(level[-1] - level[0]))
    return _with_others(job, asked, Outcome(scores=(score,), measures=measured))


LEVEL = "level"
"""The target that is the competency's score: the expected level in points of 100."""

QUALITY = Column(
    "answer_quality",
    "points",
    "agreement with the reference answers, as a human marking an exam would score it",
)
"""The other target; shown beside the score."""


def _named(
    version: LoadedVersion, points: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Target -> (answers,) points."""
    names = [target.name for target in version.manifest.targets]
    return dict(zip(names, points.T, strict=True))


def _target(version: LoadedVersion, name: str) -> Target:
    return next(target for target in version.manifest.targets if target.name == name)


def _levelled(score: Score, rubric: Rubric) -> Score:
    """The score with the level it shows and its anchor; as it is where the words do not tell.

    They do not tell where the interval holds every level.
    """
    low, level, high = (level_of(points) for points in (score.low, score.score, score.high))
    if high - low >= LEVELS - 1:
        return score
    anchor = Evidence(kind="anchor", text=rubric.anchors[level - 1], value=float(level))
    return score.model_copy(
        update={
            "level": level,
            "level_low": low,
            "level_high": high,
            "evidence": (anchor, *score.evidence),
        }
    )


def _doubted(score: Score, moved: float) -> Score:
    """The score with an interval that reaches further by what it moves without doubtful words."""
    return score.model_copy(
        update={
            "low": round(max(0.0, score.low + min(0.0, moved)), 2),
            "high": round(min(100.0, score.high + max(0.0, moved)), 2),
        }
    )


def _unfit(
    question: Question, transcript: Transcript, expected_language: str, config: ScoringConfig
) -> tuple[str, str] | None:
    """(code, sentence) when these words cannot be judged; None when they can."""
    if transcript.dropped_share > config.max_dropped_share:
        return (
            "transcript_uncertain",
            f"The words of {transcript.dropped_share:.0%} of the speech could not be recognised; "
            f"at most {config.max_dropped_share:.0%} may be missing. A person should listen.",
        )
    if not transcript.text:
        return "no_words", "No words were recognised in the answer."
    if transcript.language != expected_language:
        return (
            "other_language",
            f"The answer is in {transcript.language!r}, asked for in {expected_language!r}.",
        )
    if transcript.language not in LANGUAGES:
        return (
            "language_unknown",
            f"The question bank has no text in {transcript.language!r}.",
        )
    if (expected := _expected_errors(transcript)) > config.max_error_rate:
        return (
            "transcript_uncertain",
            f"About {expected:.0%} of the words are expected to be misheard; at most "
            f"{config.max_error_rate:.0%} may be. A person should listen.",
        )
    answer = answer_text(sentences_of(transcript))
    if code := low_effort(answer, question.text[transcript.language]):
        return "low_effort", f"The words are no attempt at an answer ({code})."
    if other := other_question(answer, question.key, transcript.language):
        return (
            "another_question",
            f"The words answer another question of the bank ({other}) and not this one.",
        )
    return None


def _expected_errors(transcript: Transcript) -> float:
    """A unit that was said; 0 when a person wrote the words down."""
    if transcript.error_rate is not None:
        return transcript.error_rate
    return 0.0 if transcript.confidence is None else 1 - transcript.confidence


def _surely_heard(transcript: Transcript, config: ScoringConfig) -> str | None:
    """The answer without its doubtful words; None where there are none, or nothing but them."""
    sure = [word for word in transcript.words if word.probability >= config.low_confidence]
    if not sure or len(sure) == len(transcript.words):
        return None
    kept = transcript.model_copy(update={"words": tuple(sure)})
    return answer_text(sentences_of(kept))


def _with_others(job: Job, asked: str, outcome: Outcome) -> Outcome:
    """The outcome with the job's other competencies named as not asked here."""
    others = tuple(
        NotScored(
            part="competency",
            name=name,
            code="not_asked",
            reason="Another question of the job asks for it.",
        )
        for name in job.competencies
        if name != asked
    )
    return replace(outcome, not_scored=outcome.not_scored + others)
