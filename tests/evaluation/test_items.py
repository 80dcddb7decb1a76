"""Worn, unfair and silent questions are found, and no others, where they are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from data.__main__ import app as data_app
from data.contract import UndefinedMetric
from data.outcomes import BadTable
from data.simulate_items import Interviews, Planted, simulate_interviews
from evaluation.__main__ import app
from evaluation.items import Items, items, items_page

CLEAN = Planted(people=1500, discrimination={}, unfair={}, worn={}, gap=8, seed=2)


@pytest.fixture(scope="module")
def planted() -> Interviews:
    return simulate_interviews(Planted(seed=1))


@pytest.fixture(scope="module")
def found(planted: Interviews) -> Items:
    return items(planted.answers, planted.groups)


@pytest.fixture(scope="module")
def clean() -> Items:
    made = simulate_interviews(CLEAN)
    return items(made.answers, made.groups)


def test_the_planted_questions_are_retired_for_the_planted_reason(found: Items):
    reasons = found.questions.set_index("question")["reasons"]
    assert reasons["q03"] == "flat"
    assert reasons["q07"] == "unfair"
    assert reasons["q11"] == "worn"
    retired = found.questions.loc[found.questions["verdict"] == "retire", "question"]
    assert set(retired) == {"q03", "q07", "q11"}


def test_what_is_found_is_as_large_as_what_was_planted(found: Items):
    questions = found.questions.set_index("question")
    assert (
        questions.loc["q03", "discrimination_low"]
        < 0.1
        < questions.loc["q03", "discrimination_high"]
    )
    assert questions.loc["q11", "drift_low"] < 6 < questions.loc["q11", "drift_high"]
    unfair = found.differences.set_index("question").loc["q07"]
    assert unfair["low"] < -8 < unfair["high"]
    assert (unfair["group"], unfair["reference"]) == ("woman", "man")


def test_a_group_that_is_less_able_is_not_taken_for_treated_unfairly(clean: Items):
    """Eight points of ability lie between the groups; no question is harder for either."""
    assert (clean.differences["size"] == "negligible").all()
    z = clean.differences["difference"] / (
        (clean.differences["high"] - clean.differences["low"]) / (2 * 1.96)
    )
    assert abs(z.mean()) < 0.6
    assert (z.abs() > 1.96).mean() <= 0.15


def test_questions_that_are_alike_are_kept(clean: Items):
    assert set(clean.questions["verdict"]) <= {"keep", "watch"}
    assert clean.questions["discrimination"].mean() == pytest.approx(1, abs=0.05)
    low, high = (clean.questions[f"discrimination_{side}"] for side in ("low", "high"))
    held = (low <= 1) & (high >= 1)
    assert held.mean() >= 0.85


def test_exposure_is_the_share_of_interviews_that_asked(planted: Interviews, found: Items):
    row = found.questions.set_index("question").loc["q05"]
    asked = planted.answers.loc[planted.answers["question"] == "q05", "person"].nunique()
    assert row["exposure"] == pytest.approx(asked / planted.answers["person"].nunique())
    few = simulate_interviews(
        Planted(questions=8, people=600, discrimination={}, unfair={}, worn={})
    )
    assert items(few.answers).questions["reasons"].str.contains("overexposed").all()


def test_a_question_asked_seldom_is_not_judged(planted: Interviews):
    answers = planted.answers
    rare = answers[(answers["question"] != "q07") | (answers["person"] < "p00300")]
    found = items(rare, planted.groups).questions.set_index("question")
    assert found.loc["q07", "verdict"] == "too_few"
    assert "q07" not in set(items(rare, planted.groups).differences["question"])


def test_without_groups_dates_or_raters_the_rest_is_told(planted: Interviews):
    found = items(planted.answers[["person", "question", "score"]])
    assert found.differences.empty
    assert found.questions["drift"].isna().all()
    assert found.facets.raters.empty
    assert found.questions.set_index("question").loc["q03", "reasons"] == "flat"
    assert "未检验" in items_page(found)


def test_wrong_tables_are_refused(planted: Interviews):
    with pytest.raises(BadTable, match="score"):
        items(planted.answers.assign(score=200))
    with pytest.raises(BadTable, match="person"):
        items(planted.answers.drop(columns="person"))
    with pytest.raises(UndefinedMetric, match="more than one score"):
        items(pd.concat([planted.answers, planted.answers.head(1)]))


def test_the_commands_write_a_page_and_tables(tmp_path: Path):
    made = CliRunner().invoke(
        data_app, ["simulate-interviews", "--out", str(tmp_path), "--people", "900"]
    )
    assert made.exit_code == 0, made.output
    out = tmp_path / "out"
    arguments = ["items", str(tmp_path / "answers.csv"), "--out", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--groups", str(tmp_path / "groups.csv")])
    assert done.exit_code == 0, done.output
    people = pd.read_csv(out / "people.csv")
    assert len(people) == 900
    assert people["adjusted"].notna().all()
    questions = pd.read_csv(out / "questions.csv").set_index("question")
    assert questions.loc["q03", "verdict"] == "retire"
    page = (out / "items.html").read_text(encoding="utf-8")
    assert page.count("<circle") == len(questions)
    assert "停用 retire" in page
    assert not np.isnan(pd.read_csv(out / "raters.csv")["severity"]).any()
