"""The competency part: what was said, compared with what a strong answer holds."""

from __future__ import annotations

from data import language
from data.contract import LANGUAGE_MEASURES, NotScored, Transcript
from data.jobs import LANGUAGES, Job, Question
from serving.evidence import answer_text, passage_evidence, sentences_of
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
    """The score of the question's competency, or why there is none."""
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
    references = question.comparisons(transcript.language)
    text = question.text[transcript.language]
    answer = answer_text(sentences_of(transcript))
    features = language.extract(answer, text, references)
    measured = measures(
        "competency",
        LANGUAGE_MEASURES,
        language.measures(features),
        version.manifest.references,
    )
    outcome = Outcome(
        scores=(
            interval_score(
                "competency",
                version.manifest.targets[0],
                float(version.points(features[None, :])[0, 0]),
                version,
                provisional_reason(version, transcript.language),
                name=asked,
                evidence=passage_evidence(
                    transcript, text, references, version.points, most=config.max_passages
                ),
            ),
        ),
        measures=measured,
    )
    return _with_others(job, asked, outcome)


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
    if transcript.confidence is not None and transcript.confidence < config.min_confidence:
        return (
            "transcript_uncertain",
            f"The words were recognised with a mean probability of {transcript.confidence:.2f}; "
            f"{config.min_confidence:g} is needed. A person should listen.",
        )
    if code := language.low_effort(transcript.text, question.text[transcript.language]):
        return "low_effort", f"The words are no attempt at an answer ({code})."
    return None


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
    return Outcome(outcome.scores, outcome.not_scored + others, outcome.measures)
