"""People, questions and raters, each freed of the others, against what was planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from data.contract import UndefinedMetric
from data.simulate_items import Interviews, Planted, simulate_interviews
from evaluation.facets import facets
from evaluation.reliability import generalisability, rater_severity

CLEAN = Planted(people=1200, discrimination={}, unfair={}, worn={}, gap=0, seed=3)


@pytest.fixture(scope="module")
def clean() -> Interviews:
    return simulate_interviews(CLEAN)


def test_difficulty_and_severity_are_found_and_their_intervals_hold(clean: Interviews):
    found = facets(clean.answers)
    held = []
    for table, name, truth in (
        (found.questions, "difficulty", clean.difficulty),
        (found.raters, "severity", clean.severity),
    ):
        planted = truth[table.index]
        assert np.corrcoef(table[name], planted)[0, 1] > 0.98
        held += list((table["low"] <= planted) & (planted <= table["high"]))
        assert abs(table[name].sum()) < 1e-6
    assert np.mean(held) >= 0.85
    assert found.person == pytest.approx(144, rel=0.12)
    assert found.residual == pytest.approx(100, rel=0.1)
    assert found.answer == 0


def test_a_persons_score_is_freed_of_luck_with_questions_and_raters(clean: Interviews):
    people = facets(clean.answers).people
    truth = clean.ability[people.index]
    raw, adjusted = (np.corrcoef(people[name], truth)[0, 1] for name in ("raw", "adjusted"))
    assert adjusted > raw + 0.03
    error = people["adjusted"] - truth - (people["adjusted"] - truth).mean()
    assert error.std() == pytest.approx(people["standard_error"].mean(), rel=0.1)
    slope = np.polyfit(people["estimate"], truth, 1)[0]
    assert slope == pytest.approx(1, abs=0.06), "the estimate is drawn to the mean as it should be"


def test_several_ratings_of_an_answer_are_not_several_answers():
    planted = Planted(
        people=400, raters_an_answer=2, asked=3, discrimination={}, unfair={}, worn={}, seed=4
    )
    made = simulate_interviews(planted)
    luck = pd.Series(
        np.random.default_rng(5).normal(0, 8, 400 * 3),
        index=pd.MultiIndex.from_frame(made.answers[["person", "question"]].drop_duplicates()),
    )
    keys = pd.MultiIndex.from_frame(made.answers[["person", "question"]])
    said = made.answers.assign(score=made.answers["score"] + luck.reindex(keys).to_numpy())
    found = facets(said)
    assert found.answer == pytest.approx(64, rel=0.3)
    assert found.residual == pytest.approx(100, rel=0.15)
    one, two = found.reliability(3, 1), found.reliability(3, 2)
    assert one < two < found.reliability(6, 2)
    assert found.people["standard_error"].mean() == pytest.approx(
        np.sqrt((found.answer + found.residual / 2) / 3), rel=0.01
    )


def test_the_same_numbers_as_the_mixed_model_written_as_a_formula(clean: Interviews):
    some = clean.answers[clean.answers["person"] < "p00200"]
    found = facets(some)
    peer = smf.mixedlm("score ~ C(question, Sum) + C(rater, Sum)", some, groups="person").fit()
    assert found.mean == pytest.approx(peer.fe_params["Intercept"], abs=1e-3)
    assert found.questions.loc["q00", "difficulty"] == pytest.approx(
        -peer.fe_params["C(question, Sum)[S.q00]"], abs=1e-3
    )
    assert found.person == pytest.approx(float(peer.cov_re.iloc[0, 0]), rel=1e-3)


def test_where_everyone_answered_everything_it_agrees_with_the_analysis_of_variance():
    random = np.random.default_rng(0)
    table = random.normal(0, 10, (150, 1)) + random.normal(60, 8, (150, 5)) - np.arange(5) * 3
    long = pd.DataFrame(
        [(f"p{i}", f"q{j}", table[i, j]) for i in range(150) for j in range(5)],
        columns=["person", "question", "score"],
    )
    found, known = facets(long), generalisability(table)
    assert found.person == pytest.approx(known.person, rel=1e-3)
    assert found.residual == pytest.approx(known.residual, rel=1e-3)
    assert found.reliability(5) == pytest.approx(known.relative, abs=1e-4)
    assert found.raters.empty
    np.testing.assert_allclose(found.questions["difficulty"], rater_severity(table), atol=1e-6)


@pytest.mark.parametrize("ability_sd", [0, 0.5])
def test_people_who_do_not_differ_have_no_reliability(ability_sd: float):
    made = simulate_interviews(
        Planted(people=300, ability_sd=ability_sd, discrimination={}, unfair={}, worn={}, gap=0)
    )
    found = facets(made.answers)
    assert found.person < 8
    assert found.reliability(4) < 0.25
    assert found.people["estimate"].std() < found.people["adjusted"].std() / 3


def test_parts_that_nobody_joins_are_refused():
    rows = [(f"p{i}", q, 50.0 + i) for i in range(9) for q in ("a", "b")]
    rows += [(f"s{i}", q, 60.0 - i) for i in range(9) for q in ("c", "d")]
    with pytest.raises(UndefinedMetric, match="2 parts"):
        facets(pd.DataFrame(rows, columns=["person", "question", "score"]))


def test_one_answer_each_tells_nothing_of_ability():
    table = pd.DataFrame({"person": ["a", "b"], "question": ["q", "q"], "score": [1.0, 2.0]})
    with pytest.raises(UndefinedMetric, match="two questions"):
        facets(table)
