import math

import pytest

from data.contract import Score
from data.jobs import Bilingual, BilingualList, Job, Question
from serving.total import asked_weights, total

ASKED = {"customer_focus": 0.5, "fluency": 0.3, "prosody": 0.2}


def score(name: str, points: float, half_width: float = 0, *, provisional: bool = False) -> Score:
    return Score(
        part="competency" if name == "customer_focus" else "speech",
        name=name,
        score=points,
        low=max(0, points - half_width),
        high=min(100, points + half_width),
        provisional=provisional,
        version="1",
    )


def job(*, accept_provisional: bool = False) -> Job:
    both = Bilingual(zh="问", en="ask")
    texts = BilingualList(zh=("答",), en=("answer",))
    question = Question(
        competency="customer_focus",
        difficulty=2,
        time_limit_s=60,
        text=both,
        key_points=texts,
        references=texts,
    )
    return Job(
        key="teller",
        name=both,
        language="zh",
        accept_provisional=accept_provisional,
        weights=ASKED,
        questions={"q": question},
    )


def test_a_total_is_the_weighted_mean_and_its_interval_joins_the_errors_of_two_parts() -> None:
    scores = (score("customer_focus", 60, 10), score("fluency", 80, 20), score("prosody", 50, 5))
    found = total(scores, ASKED, job(), min_share=0.5)
    half_width = math.hypot(5, 6 + 1)  # one head makes fluency and prosody
    assert found.value == 0.5 * 60 + 0.3 * 80 + 0.2 * 50
    assert found.low == pytest.approx(64 - half_width, abs=0.01)
    assert found.high == pytest.approx(64 + half_width, abs=0.01)
    assert (found.weights, found.reason) == (ASKED, "")


@pytest.mark.parametrize(("points", "low"), [(95, 75), (5, 0)])
def test_a_score_at_the_end_of_the_scale_is_as_uncertain_as_in_the_middle(
    points: float, low: float
) -> None:
    found = total((score("fluency", points, 20),), {"fluency": 1.0}, job(), min_share=0.5)
    assert (found.low, found.high) == (low, min(100, points + 20))


def test_the_interval_of_a_total_stays_on_the_scale() -> None:
    found = total((score("fluency", 99, 20),), {"fluency": 1.0}, job(), min_share=0.5)
    assert (found.low, found.high) == (79, 100)


def test_weights_of_what_was_not_scored_are_shared_out_over_what_was() -> None:
    found = total((score("customer_focus", 60), score("fluency", 80)), ASKED, job(), min_share=0.8)
    assert found.weights == pytest.approx({"customer_focus": 0.625, "fluency": 0.375})
    assert found.value == 67.5


def test_a_provisional_score_counts_only_where_the_job_accepts_it() -> None:
    scores = (score("customer_focus", 60), score("fluency", 80, provisional=True))
    refused = total(scores, ASKED, job(), min_share=0.5)
    assert (refused.value, set(refused.weights)) == (60, {"customer_focus"})
    accepted = total(scores, ASKED, job(accept_provisional=True), min_share=0.5)
    assert accepted.value == 67.5


def test_below_the_least_share_there_is_no_total_and_the_share_and_the_parts_are_named() -> None:
    scores = (score("fluency", 80), score("customer_focus", 60, provisional=True))
    found = total(scores, ASKED, job(), min_share=0.31)
    assert (found.value, found.low, found.high, found.weights) == (None, None, None, ASKED)
    assert found.reason == (
        "30 % of the weight the question asks for is scored; provisional and not accepted by "
        "the job's configuration: customer_focus; not scored: prosody"
    )
    assert total(scores, ASKED, job(), min_share=0.3).value == 80


def test_what_the_question_does_not_ask_takes_no_part() -> None:
    weights = {**ASKED, "teamwork": 0.4, "expression": 0.0}
    question = job().question("q")
    assert asked_weights(weights, question) == ASKED
    assert asked_weights(weights, None) == {"fluency": 0.3, "prosody": 0.2}


def test_a_job_that_weighs_nothing_shown_here_has_no_total() -> None:
    found = total((score("fluency", 80),), {}, job(), min_share=0.5)
    assert found.value is None
    assert "teller gives no weight" in found.reason
