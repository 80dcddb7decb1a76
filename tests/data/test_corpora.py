"""The readers of the public corpora refuse what is not of their form, by file, column and row."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from data.corpora import speechocean762, transcribed, zh_short_answer
from data.outcomes import BadTable

ANSWER = {"q_id": 7, "question": "什么是栈？", "reference": "后进先出", "answer": "NA", "score": 1}
UTTERANCE = {"utt": "007", "speaker": "01", "age": 20, "gender": "f", "text": "None of it"} | {
    f"{aspect}_e{expert}": 8.0 for aspect in speechocean762.ASPECTS for expert in range(1, 6)
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


def test_a_table_of_ones_own_may_rate_what_it_likes_and_leave_out_what_is_not_known(tmp_path):
    own = {"utt": "a", "speaker": "李", "age_group": "adult", "path": "wav/a.wav", "text": "您好"}
    rows = [own | {"fluency_e1": 7, "fluency_e2": 8, "fluency_e10": 9}]
    pd.DataFrame(rows).to_csv(tmp_path / "ratings.csv", index=False)
    found = speechocean762.read(tmp_path)
    assert speechocean762.aspects(found) == ("fluency",)
    assert speechocean762.ratings(found, "fluency").tolist() == [[70, 80, 90]]
    assert speechocean762.paths(found) == [tmp_path / "wav" / "a.wav"]
    assert found["gender"].to_list() == [""]


@pytest.mark.parametrize(
    ("row", "lacks"),
    [
        ({"utt": "a", "speaker": "b", "fluency_e1": 5}, r"age \(or age_group"),
        ({"utt": "a", "speaker": "b", "age": 30}, r"fluency_e1 \(or"),
        ({"age": 30, "fluency_e1": 5}, "speaker, utt"),
    ],
)
def test_a_table_of_ones_own_that_lacks_a_column_is_told_which(row, lacks, tmp_path):
    pd.DataFrame([row]).to_csv(tmp_path / "ratings.csv", index=False)
    with pytest.raises(BadTable, match=lacks):
        speechocean762.read(tmp_path)


def published(root: Path, scores: dict[str, object], name: str = "scores-detail.json") -> Path:
    """Two utterances of one adult and one child, as the corpus is published."""
    part = root / "train"
    part.mkdir()
    (root / "resource").mkdir()
    tables = {
        "wav.scp": "1\tWAVE/SPEAKER0001/1.WAV\n2\tWAVE/SPEAKER0002/2.WAV\n",
        "text": "1\tWE CALL IT BEAR\n2\tGOOD\n",
        "utt2spk": "1\t0001\n2\t0002\n",
        "spk2age": "0001\t6\n0002\t30\n",
        "spk2gender": "0001\tm\n0002\tf\n",
    }
    for table, text in tables.items():
        (part / table).write_text(text)
    (root / "resource" / name).write_text(json.dumps(scores))
    return part


def test_the_published_corpus_is_read_with_each_experts_ratings(tmp_path):
    one = {"accuracy": [8, 9], "prosodic": [7, 6], "fluency": [9, 8], "total": [8, 8], "words": []}
    found = speechocean762.read(published(tmp_path, {"1": one, "2": one}))
    assert found["age_group"].to_list() == ["child", "adult"]
    assert found["text"].to_list() == ["we call it bear", "good"]
    assert speechocean762.aspects(found) == speechocean762.ASPECTS
    assert speechocean762.ratings(found, "prosody").tolist() == [[70, 60]] * 2
    assert speechocean762.paths(found)[1] == tmp_path / "WAVE/SPEAKER0002/2.WAV"


def test_of_the_published_corpus_the_median_alone_will_do(tmp_path):
    one = {"accuracy": 8, "prosodic": 7, "fluency": 9, "total": 8}
    found = speechocean762.read(published(tmp_path, {"1": one, "2": one}, "scores.json"))
    assert speechocean762.ratings(found, "fluency").tolist() == [[90], [90]]


def test_the_whole_published_corpus_is_not_read_as_one_part(tmp_path):
    part = published(tmp_path, {})
    with pytest.raises(BadTable, match=f"name one of them: {part}"):
        speechocean762.read(tmp_path)
    with pytest.raises(BadTable, match=r"scores-detail\.json do not tell of 1"):
        speechocean762.read(part)


def common_voice(folder: Path, name: str, *sentences: str) -> None:
    lines = [f"c{i}\tclip_{i}.mp3\t{text}\ttwenties" for i, text in enumerate(sentences)]
    (folder / name).write_text("\n".join(["client_id\tpath\tsentence\tage", *lines]))


def test_a_common_voice_manifest_is_read_from_its_test_part(tmp_path):
    common_voice(tmp_path, "validated.tsv", "别的")
    common_voice(tmp_path, "test.tsv", '他说："好', "NA", "")
    found = transcribed.read(tmp_path)
    assert found["text"].to_list() == ['他说："好', "NA"]
    assert found["person"].to_list() == ["c0", "c1"]
    assert found["path"].to_list()[1] == str(tmp_path / "clips" / "clip_1.mp3")


def test_of_several_manifests_none_is_guessed(tmp_path):
    common_voice(tmp_path, "mine.tsv", "a")
    assert len(transcribed.read(tmp_path)) == 1
    common_voice(tmp_path, "yours.tsv", "b")
    with pytest.raises(BadTable, match=r"mine\.tsv, yours\.tsv; none is test\.tsv"):
        transcribed.read(tmp_path)


def test_a_table_of_transcripts_lacks_no_column_and_no_speaker(tmp_path):
    (tmp_path / "transcripts.csv").write_text("file,speaker,transcript\na.wav,,您好\n")
    with pytest.raises(BadTable, match=r"transcripts\.csv: person: .*row 2"):
        transcribed.read(tmp_path)
    (tmp_path / "transcripts.csv").write_text("file,transcript\na.wav,您好\n")
    with pytest.raises(BadTable, match="no column speaker"):
        transcribed.read(tmp_path)


def test_rated_speech_with_its_text_is_transcribed_speech(tmp_path):
    rows = [UTTERANCE, UTTERANCE | {"utt": "008", "text": None}]
    pd.DataFrame(rows).to_csv(tmp_path / "ratings.csv", index=False)
    found = transcribed.read(tmp_path)
    assert found["text"].to_list() == ["None of it"]
    assert found["path"].to_list() == [str(tmp_path / "audio" / "007.opus")]


def test_a_folder_without_transcripts_says_what_it_needs(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"transcripts\.csv .*Common Voice"):
        transcribed.read(tmp_path)
