"""Recognisers are compared on clips with a transcript; the counts are those of the clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from data.__main__ import app
from data.contract import Transcript, Word
from data.recognition import Clip, Heard, clips, numbers, row, words

SAID = {"a": ("我先听客户说完", 0.9), "b": ("再核对三笔流水", 0.6), "c": ("最后给出方案", 0.8)}


def transcript(text: str, probability: float, language: str = "zh") -> Transcript:
    found = tuple(
        Word(text=character, start_s=i, end_s=i + 1, probability=probability)
        for i, character in enumerate(text)
    )
    return Transcript(
        text=text, words=found, language=language, language_probability=1, source="recognised"
    )


def heard(*texts: str, language: str = "zh") -> Heard:
    chosen = [Clip(Path(name), name, text, "zh") for name, (text, _) in SAID.items()]
    sure = [probability for _, probability in SAID.values()]
    found = [transcript(text, p, language) for text, p in zip(texts, sure, strict=True)]
    return Heard("planted", chosen, found, [0.5, 0.5, 1.0], audio_s=10)


def test_errors_are_those_of_all_clips_together_with_an_interval_over_speakers():
    found = row(heard("我先停客户说完", "再核对3笔刘水", "最后给出方案"))
    assert (found.clips, found.speakers, found.units) == (3, 3, 20)
    assert found.error_rate == pytest.approx(2 / 20)
    assert found.low == 0  # speaker c, drawn three times
    assert found.high == pytest.approx(1 / 7)
    assert found.seconds_per_s == pytest.approx(0.2)


def test_clips_taken_for_another_language_are_counted_apart():
    found = row(heard("我先听客户说完", "再核对三笔流水", "最后给出方案", language="ja"))
    assert found.other_language == 3
    assert found.error_rate == 0
    assert words(heard(*(text for text, _ in SAID.values()), language="ja")) is None


def test_words_know_their_speaker_and_what_of_them_was_wrong():
    found = words(heard("我先停客户说完", "再核对三笔", "最后给出方案"))
    assert found is not None
    assert found.wrong.sum() == 1
    assert found.missed == 2
    assert list(found.speaker[[0, -1]]) == ["a", "c"]
    assert found.probability[0] == pytest.approx(0.9)


def test_the_numbers_are_one_line_of_json_and_hold_the_calibration():
    found = numbers(heard("我先停客户说完", "再核队四笔流水", "最后给出方案"))
    assert json.loads(json.dumps(found))["calibration"]["missed"] == 0
    bins = found["reliability"]["raw"]
    assert sum(part["units"] for part in bins) == 20


def test_a_part_of_a_corpus_takes_speakers_by_turns(tmp_path):
    lines = [f"{speaker}{i}.flac,{speaker},你好" for speaker in "xyz" for i in range(5)]
    (tmp_path / "transcripts.csv").write_text(
        "\n".join(["file,speaker,transcript", *lines]), encoding="utf-8"
    )
    found = clips(tmp_path, language="zh", most=6)
    assert sorted(clip.speaker for clip in found) == ["x", "x", "y", "y", "z", "z"]
    assert found == clips(tmp_path, language="zh", most=6)
    assert len(clips(tmp_path, language="zh")) == 15


def test_a_folder_without_transcripts_says_what_it_needs(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"transcripts\.csv"):
        clips(tmp_path, language="zh")


def test_the_command_prints_a_line_for_each_recogniser_present(
    shared_data, tmp_path, monkeypatch, write_media
):
    source = shared_data / "mandarin_speech"
    rows = (source / "transcripts.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "transcripts.csv").write_text("\n".join(rows[:4]), encoding="utf-8")
    for line in rows[1:4]:
        name = line.split(",")[0]
        (tmp_path / name).write_bytes((source / name).read_bytes())
    result = CliRunner().invoke(app, ["recognise", "--compare", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (line,) = [text for text in result.stdout.splitlines() if text.startswith("{")]
    found = json.loads(line)
    assert (found["name"], found["clips"], found["language"]) == ("whisper-base", 3, "zh")
    assert 0 <= found["low"] <= found["error_rate"] <= found["high"] < 0.4
    silent = write_media(tmp_path / "silent.wav", np.zeros(48_000, "f4"))
    result = CliRunner().invoke(app, ["recognise", str(silent)])
    assert json.loads(result.stdout)["text"] == ""
