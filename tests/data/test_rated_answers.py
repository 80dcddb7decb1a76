"""Interview answers that people rated: read, checked, severity taken out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from data.corpora import rated_answers
from data.outcomes import BadTable
from training.competency import interview_answers

SAID = "我先请客户坐下，听他说完，然后核对流水，第二天回访。"


def table(**changed: object) -> pd.DataFrame:
    """Two raters, the second half a level stricter, on three people."""
    rows = [
        {
            "person": person,
            "question": "unhappy_customer",
            "language": "zh",
            "answer": f"{SAID}（{person}）",
            "rater": rater,
            "level": level + shift,
        }
        for person, level in (("a", 2.0), ("b", 3.0), ("c", 4.0))
        for rater, shift in (("r1", 0.0), ("r2", -0.5))
    ]
    return pd.DataFrame(rows).assign(**changed)


def written(folder: Path, rows: pd.DataFrame) -> Path:
    rows.to_csv(folder / rated_answers.FILE, index=False)
    return folder


def test_an_answer_comes_with_what_it_is_compared_with(tmp_path: Path):
    rows = rated_answers.read(written(tmp_path, table()))
    first = rows.iloc[0]
    assert (first["question_id"], first["competency"]) == ("unhappy_customer", "customer_focus")
    assert len(first["anchors"]) == 5
    assert len(first["references"]) >= 2
    assert rows["item"].nunique() == 3
    assert rows["rating"].iloc[0] == 25


def test_a_strict_rater_does_not_lower_what_only_they_rated(tmp_path: Path):
    rows = table()
    only_strict = rows[~((rows["person"] == "b") & (rows["rater"] == "r1"))]
    found = interview_answers(written(tmp_path, only_strict)).set_index("person")["level"]
    assert found["b"] - (found["a"] + found["c"]) / 2 == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"question": "weather"}, "weather"),
        ({"language": "fr"}, "fr"),
        ({"level": 6.0}, "6"),
        ({"answer": None}, "line 2"),
        ({"rater": "r1"}, "uniqueness"),
    ],
)
def test_a_wrong_table_is_refused_by_what_is_wrong(
    changed: dict[str, object], told: str, tmp_path: Path
):
    with pytest.raises(BadTable, match=told):
        rated_answers.read(written(tmp_path, table(**changed)))


def test_two_texts_of_one_answer_are_refused(tmp_path: Path):
    rows = table()
    rows.loc[1, "answer"] = "另一段话，另一段话。"
    with pytest.raises(BadTable, match="two different answers"):
        rated_answers.read(written(tmp_path, rows))


def test_a_missing_column_and_a_missing_file_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="person, question, language"):
        rated_answers.read(tmp_path)
    with pytest.raises(BadTable, match="rater"):
        rated_answers.read(written(tmp_path, table().drop(columns="rater")))
