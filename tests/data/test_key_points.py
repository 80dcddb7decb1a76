"""Whether an answer makes a key point: over the whole bank, and where it is denied."""

from __future__ import annotations

import random

import pytest

from data.jobs import LANGUAGES, bank
from data.key_points import KeyPointConfig, Status, key_points_made


def shares(pairs: list[tuple[str, tuple[str, ...]]]) -> dict[Status, float]:
    made = [one.status for answer, points in pairs for one in key_points_made(answer, points)]
    return {status: made.count(status) / len(made) for status in ("found", "unclear", "not_found")}


@pytest.mark.parametrize("language", LANGUAGES)
def test_references_make_their_own_points_and_not_those_of_other_questions(language: str):
    asked = [question for job in bank().jobs.values() for question in job.questions.values()]
    points = [question.key_points[language] for question in asked]
    answers = [question.references[language][0] for question in asked]
    own = shares(list(zip(answers, points, strict=True)))
    rng = random.Random(0)
    others = [rng.choice([i for i in range(len(asked)) if i != j]) for j in range(len(asked))]
    foreign = shares([(answers[i], points[j]) for j, i in enumerate(others)])
    assert own["found"] > 0.33
    assert own["not_found"] < 0.13
    assert foreign["found"] < 0.05
    assert foreign["not_found"] > 0.35


def test_a_point_said_in_other_words_is_found_with_the_sentence_that_says_it():
    answer = "那天下雨。我会先核对他的身份证，看和本人是不是一致。然后办理。"
    (made,) = key_points_made(answer, ["核对身份证和本人"])
    assert made.status == "found"
    assert made.quote == "我会先核对他的身份证,看和本人是不是一致。"


def test_a_point_that_is_denied_is_not_found():
    (made,) = key_points_made("我不会核对身份证和本人。", ["核对身份证和本人"])
    assert made.status == "unclear"


def test_a_point_that_denies_is_found_where_the_answer_denies_it():
    (made,) = key_points_made("我不会自己拿钱补上差额。", ["不自己拿钱补上差额"])
    assert made.status == "found"


def test_nothing_said_makes_no_point():
    (made,) = key_points_made("各位老师好。", ["核对身份证"])
    assert (made.status, made.quote) == ("not_found", "")


def test_thresholds_out_of_order_are_refused():
    with pytest.raises(ValueError, match="below found"):
        KeyPointConfig(wording_weight=0.5, found=0.3, not_found=0.4)
