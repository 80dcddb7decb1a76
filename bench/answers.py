"""Milliseconds to score 300 characters with their evidence, beside one plain cosine.

The cosine, with the reference and by the same encoder, is what the usual stack would do.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import configs
from bench.measure import console, spread, starter_state, timed
from data.contract import Transcript
from data.embedding import embed
from data.jobs import bank
from data.question_bank import load
from data.text import joined
from serving.scoring import ScoringConfig

CHARACTERS = 300
GOAL_MS = 400.0


def answers(repeats: int) -> dict[str, Any]:
    """Print and return the spread over answers that were never scored before."""
    from serving.competency import score_competency
    from serving.scorer import Scorer

    config = configs.load("scoring", ScoringConfig)
    asked = {
        key: (job, job.questions[key]) for job in bank().jobs.values() for key in job.questions
    }
    found: dict[str, Any] = {"goal_ms": GOAL_MS}
    with starter_state(), Scorer.load() as scorer:
        for language in ("zh", "en"):
            load(language)
            whole, plain = [], []
            for name, text in _answers(language):
                job, question = asked[name]
                transcript = Transcript(
                    text=text, language=language, language_probability=1, source="supplied"
                )
                for _ in range(repeats):
                    outcome, seconds = timed(
                        partial(
                            score_competency,
                            scorer.versions["competency"],
                            job,
                            question,
                            transcript,
                            language,
                            config,
                        )
                    )
                    assert any(item.kind == "span" for item in outcome.scores[0].evidence)
                    whole.append(1000 * seconds)
                    plain.append(1000 * _plain(text, question.references[language][0]))
            ours, theirs = spread(whole), spread(plain)
            found[language] = {
                "characters": CHARACTERS,
                "with_evidence_ms": asdict(ours),
                "one_cosine_ms": asdict(theirs),
                "times": ours.median / theirs.median,
            }
            console.print(f"{language}: {ours} ms with evidence, {theirs} ms for one cosine")
    return found


def _answers(language: str) -> list[tuple[str, str]]:
    """Question and the first 300 characters of what its competency's two best examples say."""
    found = []
    for competency in bank().competencies.values():
        best, second = (competency.levels[i].examples[0] for i in (-1, -2))
        said = joined([best[language], second[language]])
        if len(said) >= CHARACTERS and best.question not in competency.questions:
            found.append((best.question, said[:CHARACTERS]))
    return found


def _plain(text: str, reference: str) -> float:
    """Seconds of one cosine of two texts."""
    _, seconds = timed(lambda: embed([text + " ", reference + " "]))
    return seconds
