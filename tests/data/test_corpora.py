"""The readers of the public corpora refuse what is not of their form, by file, column and row."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from data.corpora import speechocean762, zh_short_answer
from data.outcomes import BadTable

ANSWER = {"q_id": 7, "question": "什么是栈？", "reference": "后进先出", "answer": "NA", "score": 1}
UTTERANCE = {"utt": "007", "speaker": "01", "age": 20, "gender": "f", "text": "None of it"} | {
    f"{aspect}_e{expert}": 8.0
    for aspect in speechocean762.ASPECTS
    for expert in speechocean762.EXPERTS
}


def answers(folder: Path, **changed: object) -> Path:
    for name in zh_short_answer.SCALES:
        pd.DataFrame([ANSWER | changed]).to_csv(folder / f"{name}.csv", index=False, encoding="gbk")
    return folder


def test_chinese_answers_saved_by_excel_are_read_and_an_answer_na_is_words(tmp_path):
    found = zh_short_answer.read(answers(tmp_path))
    assert found["answer"].to_list() == ["NA", "NA"]
    assert found["question_id"].to_list() == ["ads-7", "le-7"]
    assert found["rating"].to_list() == [10, 100]
    assert found["references"].to_list() == [("后进先出",), ("后进先出",)]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"score": 11}, r"ads\.csv: score: .*11.* in row 2"),
        ({"score": "good"}, r"ads\.csv: score: .*'good' in row 2"),
        ({"question": None}, r"ads\.csv: question: .*row 2"),
    ],
)
def test_a_wrong_cell_of_an_answer_is_refused(wrong, says, tmp_path):
    with pytest.raises(BadTable, match=says):
        zh_short_answer.read(answers(tmp_path, **wrong))


def test_a_rating_that_an_expert_did_not_give_is_missing(tmp_path):
    pd.DataFrame([UTTERANCE | {"fluency_e5": None}]).to_csv(tmp_path / "ratings.csv", index=False)
    found = speechocean762.read(tmp_path)
    assert found["person"].to_list() == ["01"]
    assert found["words"].to_list() == [3]
    assert pd.isna(speechocean762.ratings(found, "fluency")).tolist() == [[False] * 4 + [True]]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"age": "adult"}, "age: .*'adult' in row 2"), ({"total_e1": 11}, "total_e1: .*11.*row 2")],
)
def test_a_wrong_cell_of_an_utterance_is_refused(wrong, says, tmp_path):
    pd.DataFrame([UTTERANCE | wrong]).to_csv(tmp_path / "ratings.csv", index=False)
    with pytest.raises(BadTable, match=r"ratings\.csv: " + says):
        speechocean762.read(tmp_path)
