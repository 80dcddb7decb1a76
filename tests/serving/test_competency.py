"""The competency's score: its level, why, and when there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import configs
from data.content import judged
from data.contract import Score, Transcript
from data.jobs import LANGUAGES, bank, job, level_of
from data.text import sentences, units
from serving.competency import score_competency
from serving.parts import Outcome
from serving.scoring import ScoringConfig

CONFIG = configs.load("scoring", ScoringConfig)


def answered(scorer: Any, key: str, text: str, language: str = "zh") -> Outcome:
    asking = next(one for one in bank().jobs.values() if key in one.questions)
    transcript = Transcript(text=text, language=language, language_probability=1, source="supplied")
    version = scorer.versions["competency"]
    return score_competency(version, asking, asking.questions[key], transcript, language, CONFIG)


def example(name: str, level: int, language: str) -> tuple[str, str]:
    shown = bank().competencies[name].levels[level - 1].examples[0]
    return shown.question, shown[language]


def asked_by_a_job(name: str) -> bool:
    key = bank().competencies[name].levels[0].examples[0].question
    return any(key in one.questions for one in bank().jobs.values())


ASKED = [name for name in bank().competencies if asked_by_a_job(name)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_strong_example_scores_above_a_weak_one_of_every_competency(scorer, language):
    gaps = []
    for name in ASKED:
        weak, strong = (
            answered(scorer, *example(name, level, language), language).scores for level in (1, 4)
        )
        if weak:
            gaps.append(strong[0].score - weak[0].score)
    assert len(gaps) >= 8
    assert min(gaps) > 0
    assert np.median(gaps) > 30


def test_a_score_has_its_level_the_levels_it_may_be_and_the_anchor_of_it(scorer):
    key, text = example("customer_focus", 4, "zh")
    (score,) = answered(scorer, key, text).scores
    assert score.level == level_of(score.score)
    assert score.level_low == level_of(score.low)
    assert score.level_high == level_of(score.high)
    anchor = next(item for item in score.evidence if item.kind == "anchor")
    assert anchor.text == bank().competencies["customer_focus"].anchors("zh")[score.level - 1]
    assert anchor.value == score.level


def test_a_short_answer_is_scored_but_has_no_level(scorer):
    text = "我会先向客户道歉，再弄清原因，然后解决。"
    assert len(units(judged(text))) < CONFIG.min_level_units
    (score,) = answered(scorer, "unhappy_customer", text).scores
    assert (score.level, score.level_low, score.level_high) == (None, None, None)
    assert "anchor" not in {item.kind for item in score.evidence}


def test_every_key_point_of_the_question_is_named_once(scorer):
    key, text = example("customer_focus", 5, "en")
    (score,) = answered(scorer, key, text, "en").scores
    points = [item.text for item in score.evidence if item.kind == "key_point"]
    asking = next(one for one in bank().jobs.values() if key in one.questions)
    assert tuple(points) == asking.questions[key].key_points["en"]


def test_how_it_agrees_with_the_references_is_shown_as_a_measure(scorer):
    key, text = example("customer_focus", 4, "zh")
    measured = {m.name: m.value for m in answered(scorer, key, text).measures}
    assert 0 <= measured["answer_quality"] <= 100
    assert measured["units"] > 50


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["customer_focus", "teamwork", "learning"])
def test_deleting_the_evidence_moves_the_score_more_than_deleting_other_sentences(
    name: str, language: str, scorer
):
    key, text = example(name, 5, language)
    (score,) = answered(scorer, key, text, language).scores
    spans = [item for item in score.evidence if item.kind == "span" and not item.name]
    said = sentences(text)
    assert len(spans) == len(said) >= 4

    def without(span: str) -> float:
        between = " " if language == "en" else ""
        rest = between.join(one for one in said if one.strip() != span.strip())
        return answered(scorer, key, rest, language).scores[0].score

    first, *others = (abs(without(span.text) - score.score) for span in spans)
    assert first == pytest.approx(abs(spans[0].effect or 0), abs=0.1)
    assert first > np.mean(others)
    assert first >= max(others) - 0.1


def test_nobody_speaks_in_another_language_than_asked(scorer):
    key, text = example("customer_focus", 4, "zh")
    asking = job("relationship_manager")
    transcript = Transcript(text=text, language="zh", language_probability=1, source="supplied")
    found = score_competency(
        scorer.versions["competency"], asking, asking.questions[key], transcript, "en", CONFIG
    )
    assert not found.scores
    assert "other_language" in {entry.code for entry in found.not_scored}


def test_the_answer_to_another_question_is_named_with_the_question(scorer):
    answer = bank().jobs["teller"].questions["cash_difference"].references["zh"][0]
    found = answered(scorer, "explain_risk", answer)
    assert not found.scores
    entry = next(entry for entry in found.not_scored if entry.code == "another_question")
    assert "cash_difference" in entry.reason


def test_group_words_do_not_move_a_score(scorer):
    """Name, gender and school are words like others: swapping them changes next to nothing."""
    key, text = example("customer_focus", 4, "zh")

    def said(who: str) -> Score:
        return answered(scorer, key, f"我是{who}。{text}").scores[0]

    people = ["清华大学的男生王伟", "师范学院的女生李娜", "职业学院的女生买买提"]
    scores = [said(who).score for who in people]
    assert max(scores) - min(scores) < 3
