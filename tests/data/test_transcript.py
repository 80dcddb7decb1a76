"""Words of real speakers; nothing from silence; a supplied transcript stays what it is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zhconv

import configs
from data.listening import Listener, Window
from data.normalise import errors
from data.recording import RecordingConfig, open_recording
from data.transcript import (
    Recogniser,
    TranscriptConfig,
    count_units,
    phrases,
    repeats_itself,
    simplified,
    supplied,
)

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "sample.mp4"
SHORT = RecordingConfig(
    min_duration_s=0.5, max_duration_s=900, max_pixels=10**7, frame_side=640, truncated_below=0.9
)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(Listener())


def test_mandarin_is_recognised_in_simplified_characters(recogniser, shared_data):
    folder = shared_data / "mandarin_speech"
    found_errors = []
    with (folder / "transcripts.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            waveform = open_recording(folder / row["file"], SHORT).waveform
            found = recogniser.transcribe(recogniser.listener.listen(waveform), expected="zh")
            assert found.language == "zh"
            assert found.text == zhconv.convert(found.text, "zh-cn")
            assert found.error_rate == pytest.approx(1 - found.confidence)  # none are missed
            found_errors.append(errors(row["transcript"], found.text, "zh"))
    said = sum(one.units for one in found_errors)
    assert sum(one.edits for one in found_errors) / said <= 0.17


def test_an_utterance_too_short_for_its_words_is_not_written_twice(recogniser, shared_data):
    folder = shared_data / "speechocean762"
    table = pd.read_csv(folder / "ratings.csv", dtype=str)
    utterance = table.loc[table["text"].str.lower() == "which was a stupid thing to do", "utt"]
    listened = [
        recogniser.listener.listen(
            open_recording(folder / "audio" / f"{name}.opus", SHORT).waveform
        )
        for name in utterance
    ]
    texts = [recogniser.transcribe(one, expected="en").text.lower() for one in listened]
    assert any("stupid thing" in text for text in texts)
    assert all(text.count("stupid thing") <= 1 for text in texts)


def test_characters_are_simplified_by_their_neighbours():
    assert simplified(["隨", "著", "著名"]) == ["随", "着", "著名"]
    assert simplified(["軟體", "。"]) == [*simplified(["軟體"]), "。"]


def test_units_are_characters_of_chinese_and_words_of_english():
    assert count_units("我用 Python 写 SQL，好！") == 6
    assert count_units("it's") == 2


def test_english_words_have_times_in_order_within_the_recording(recogniser, shared_data):
    recording = open_recording(shared_data / "recordings" / "browser_capture.webm")
    found = recogniser.transcribe(recogniser.listener.listen(recording.waveform), expected="en")
    assert "it was something that never happened" in found.text.lower()
    starts = [word.start_s for word in found.words]
    assert starts == sorted(starts)
    assert all(0 <= w.start_s <= w.end_s <= recording.duration_s for w in found.words)


def test_hotwords_that_are_said_are_heard_where_config_lets_the_decoder_see_them(
    recogniser, shared_data
):
    path = shared_data / "mandarin_speech" / "aishell3_SSB01450004.flac"
    listening = recogniser.listener.listen(open_recording(path).waveform)
    config = configs.load("transcript", TranscriptConfig, hotword_tokens=60)
    shown = Recogniser(recogniser.listener, config)
    terms = ["倡议书", "股东", "电话销售"]
    assert "倡议书" in shown.transcribe(listening, expected="zh", hotwords=terms).text
    assert "倡议书" not in recogniser.transcribe(listening, expected="zh", hotwords=terms).text
    assert shown.identity != recogniser.identity


def test_the_language_spoken_wins_over_the_one_expected(recogniser, shared_data):
    path = shared_data / "mandarin_speech" / "aishell3_SSB00730374.flac"
    listening = recogniser.listener.listen(open_recording(path).waveform)
    assert recogniser.transcribe(listening, expected="en").language == "zh"


def test_a_stretch_in_which_the_recogniser_repeats_itself_is_counted_in_seconds(recogniser):
    voice = open_recording(SAMPLE).waveform
    phrase = voice[int(8.6 * 16_000) : int(9.4 * 16_000)]
    answer = np.concatenate([voice[: int(16.4 * 16_000)], np.zeros(16_000, "f4")])
    listening = recogniser.listener.listen(np.concatenate([answer, np.tile(phrase, 24)]))
    first, second = listening.windows
    found = recogniser.transcribe(listening, expected="en")
    assert "a customer came to our branch" in found.text
    assert found.words[-1].end_s <= first.end_s
    spoken = [(start_s, end_s) for start_s, end_s in listening.segments]
    assert found.speech_s == pytest.approx(sum(end_s - start_s for start_s, end_s in spoken))
    looped = [(start_s, end_s) for start_s, end_s in spoken if start_s >= second.start_s]
    assert found.dropped_s == pytest.approx(sum(end_s - start_s for start_s, end_s in looped))
    assert 15 < found.dropped_s < 20  # 24 times .8 s


def test_an_answer_without_a_loop_has_nothing_dropped(recogniser):
    listening = recogniser.listener.listen(open_recording(SAMPLE).waveform)
    found = recogniser.transcribe(listening, expected="en")
    assert found.dropped_s == found.dropped_share == 0
    assert found.speech_s > 25


def test_silence_has_no_words_and_no_language(recogniser):
    found = recogniser.transcribe(recogniser.listener.listen(np.zeros(48_000, "f4")))
    assert (found.text, found.words, found.language) == ("", (), "und")


def test_a_supplied_transcript_is_marked_and_simplified():
    found = supplied(" 我會聯絡客戶 ", "zh")
    assert (found.text, found.source, found.confidence) == ("我会联络客户", "supplied", None)


ENGLISH = "I called the customer, listened to the complaint and agreed a refund with my manager."
GERMAN = "Ich habe den Kunden angerufen, die Beschwerde angehört und eine Erstattung vereinbart."
CHINESE = "我先给客户打电话，听完投诉，再和经理商量退款。"
TERMS = "我用Python和SQL做data analysis，再用Excel画图，部署在Docker和Kubernetes上。"
RUSSIAN = "Я позвонил клиенту и договорился о возврате денег."


@pytest.mark.parametrize(
    ("text", "expected", "language"),
    [
        (CHINESE, "zh", "zh"),
        (TERMS, "zh", "zh"),
        (ENGLISH, "zh", "en"),
        (GERMAN, "zh", "und"),
        (RUSSIAN, "zh", "und"),
        (ENGLISH, "en", "en"),
        ("Apologise, refund, call back.", "en", "en"),
        ("At 工商银行 I called the customer and we agreed on a refund.", "en", "en"),
        (CHINESE, "en", "zh"),
        (GERMAN, "en", "und"),
        (GERMAN, "de", "de"),
        (CHINESE, "de", "zh"),
        ("SQL", "zh", "zh"),
        ("2^(n-1)", "zh", "zh"),
    ],
)
def test_a_supplied_text_is_in_the_language_it_is_written_in(text, expected, language):
    assert supplied(text, expected).language == language


def test_the_probability_of_a_supplied_language_is_the_share_written_in_it():
    assert supplied(CHINESE, "zh").language_probability == 1
    assert supplied(ENGLISH, "en").language_probability == 1
    assert supplied("我用 SQL 和 Excel 做账", "zh").language_probability == pytest.approx(5 / 7)
    assert supplied("42", "zh").language_probability == 0


def test_english_interviews_are_english_whatever_was_expected(shared_data):
    with (shared_data / "siop2024" / "interview.csv").open(encoding="utf-8") as stream:
        answers = [row["last_answer"] for row in csv.DictReader(stream)]
    found = {supplied(text, job).language for text in answers for job in ("zh", "en")}
    assert len(answers) == 82
    assert found == {"en"}


def test_a_loop_of_the_decoder_is_recognised():
    assert repeats_itself("thank you " * 40, 2.4)
    assert not repeats_itself("I called the customer and apologised for the delay.", 2.4)


def test_phrases_run_from_pause_to_pause_and_short_ones_join_their_neighbour():
    window = Window(1.0, 20.0, None, np.empty((5, 0, 512), "f2"))
    segments = [(0.5, 3.0), (3.4, 3.9), (4.2, 6.0), (8.0, 12.0), (12.5, 12.9), (30.0, 31.0)]
    assert phrases(segments, window, 1.0) == [(1.0, 3.0), (3.4, 6.0), (8.0, 12.9)]
    assert phrases([(2.0, 2.4)], window, 1.0) == [(2.0, 2.4)]
    assert phrases([], window, 1.0) == []


def test_a_phrase_in_the_other_language_is_found_by_its_time(recogniser, shared_data):
    mandarin = open_recording(sorted((shared_data / "mandarin_speech").glob("*.flac"))[0], SHORT)
    english = open_recording(shared_data / "recordings" / "fluent_man.mp4", SHORT).waveform
    assert mandarin.waveform is not None
    assert english is not None
    pause = np.zeros(8000, "f4")
    loud = mandarin.waveform * np.std(english) / np.std(mandarin.waveform)
    mixed = np.concatenate([english[: 12 * 16_000], pause, loud.astype("f4"), pause])
    listening = recogniser.listener.listen(mixed)
    shares = recogniser.language_shares(listening)
    spoken_s = sum(b - a for a, b in listening.segments)
    mandarin_s = sum(b - a for a, b in listening.segments if a > 12)
    assert shares["zh"] == pytest.approx(mandarin_s / spoken_s, abs=0.08)
    assert shares["zh"] + shares["en"] == pytest.approx(1)


def test_mandarin_and_english_with_an_accent_are_told_apart(recogniser, shared_data):
    for clip in sorted((shared_data / "mandarin_speech").glob("*.flac"))[:6]:
        found = recogniser.transcribe(
            recogniser.listener.listen(open_recording(clip, SHORT).waveform), expected="en"
        )
        assert (found.language, found.language_shares["zh"]) == ("zh", 1.0)
    for name in ("fluent_man", "halting_woman"):
        path = shared_data / "recordings" / f"{name}.mp4"
        found = recogniser.transcribe(
            recogniser.listener.listen(open_recording(path, SHORT).waveform), expected="en"
        )
        assert found.language == "en"
        assert found.language_shares["en"] > 0.9
