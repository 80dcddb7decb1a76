"""Words of real speakers; nothing from silence; a supplied transcript stays what it is."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest

from data.listening import Listener
from data.recording import RecordingConfig, open_recording
from data.transcript import Recogniser, repeats_itself, supplied

SHORT = RecordingConfig(
    min_duration_s=0.5, max_duration_s=900, max_pixels=10**7, frame_side=640, truncated_below=0.9
)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(Listener())


def edits(reference: str | list[str], found: str | list[str]) -> int:
    row = list(range(len(found) + 1))
    for i, wanted in enumerate(reference, 1):
        previous, row = row, [i]
        for j, got in enumerate(found, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (wanted != got)))
    return row[-1]


def test_mandarin_is_recognised_in_simplified_characters(recogniser, shared_data):
    folder = shared_data / "mandarin_speech"
    wrong = total = 0
    with (folder / "transcripts.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            waveform = open_recording(folder / row["file"], SHORT).waveform
            found = recogniser.transcribe(recogniser.listener.listen(waveform), expected="zh")
            assert found.language == "zh"
            wrong += edits(row["transcript"], re.sub(r"\W", "", found.text))
            total += len(row["transcript"])
    assert wrong / total < 0.33


def test_english_words_have_times_in_order_within_the_recording(recogniser, shared_data):
    recording = open_recording(shared_data / "recordings" / "browser_capture.webm")
    found = recogniser.transcribe(recogniser.listener.listen(recording.waveform), expected="en")
    assert "it was something that never happened" in found.text.lower()
    starts = [word.start_s for word in found.words]
    assert starts == sorted(starts)
    assert all(0 <= w.start_s <= w.end_s <= recording.duration_s for w in found.words)


def test_the_language_spoken_wins_over_the_one_expected(recogniser, shared_data):
    path = shared_data / "mandarin_speech" / "aishell3_SSB00730374.flac"
    listening = recogniser.listener.listen(open_recording(path).waveform)
    assert recogniser.transcribe(listening, expected="en").language == "zh"


def test_silence_has_no_words_and_no_language(recogniser):
    found = recogniser.transcribe(recogniser.listener.listen(np.zeros(48_000, "f4")))
    assert (found.text, found.words, found.language) == ("", (), "und")


def test_a_supplied_transcript_is_marked_and_simplified():
    found = supplied(" 我會聯絡客戶 ", "zh")
    assert (found.text, found.source, found.confidence) == ("我会联络客户", "supplied", None)


def test_a_loop_of_the_decoder_is_recognised():
    assert repeats_itself("thank you " * 40, 2.4)
    assert not repeats_itself("I called the customer and apologised for the delay.", 2.4)
