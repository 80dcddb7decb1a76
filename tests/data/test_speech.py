"""Known answers of the measures of delivery, and what must not move them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import configs
from data.contract import (
    SPEECH,
    TOKEN_MEASURES,
    WORD_MEASURES,
    Word,
)
from data.listening import Listener, Listening, cut_at_pauses, loud_level_db
from data.recording import open_recording
from data.speech import (
    SpeechConfig,
    SpeechFeatures,
    by_stretch,
    filled_pauses_per_minute,
    fundamental_frequency,
    longest_pause,
    measures,
    sound_of,
    speech_features,
    syllable_nuclei,
    token_measures,
    word_measures,
)
from data.transcript import NOTHING, Recogniser, Token

RATE = 16_000
CONFIG = configs.load("speech_measures", SpeechConfig)


def voice(seconds: float, hz: float = 220, level: float = 0.2) -> np.ndarray:
    """A buzz of nine harmonics: voiced to any pitch detector."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (level * sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 10))).astype("f4")


def measured(waveform: np.ndarray, *segments: tuple[float, float]) -> dict[str, float | None]:
    return measures(segments, sound_of(Listening(waveform, segments, ())), CONFIG)


@pytest.mark.parametrize("hz", [80, 110, 220, 400])
def test_a_voice_of_known_pitch_has_that_f0(hz):
    found = measured(voice(3, hz), (0, 3))
    assert found["f0_level"] == pytest.approx(hz, rel=0.01)
    assert found["f0_range"] == pytest.approx(0, abs=0.3)
    assert found["voiced_ratio"] > 0.9


def test_a_tone_of_220_hz_has_f0_220():
    tone = (0.3 * np.sin(2 * np.pi * 220 * np.arange(3 * RATE) / RATE)).astype("f4")
    pitch = fundamental_frequency(tone, CONFIG)
    assert np.nanmedian(pitch.hz) == pytest.approx(220, rel=0.01)


def test_an_octave_slid_over_has_a_range_of_four_fifths_of_it():
    t = np.arange(4 * RATE) / RATE
    hz = 110 * 2 ** (t / 4)
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    slide = (0.2 * sum(np.sin(k * phase) / k for k in range(1, 10))).astype("f4")
    assert measured(slide, (0, 4))["f0_range"] == pytest.approx(9.6, abs=0.4)


def test_white_noise_is_unvoiced():
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype("f4")
    found = measured(noise, (0, 3))
    assert found["voiced_ratio"] < 0.1


def test_half_a_second_of_silence_after_half_a_second_of_tone_is_half_pause():
    segments = [(float(i), i + 0.5) for i in range(5)]
    waveform = np.concatenate([np.concatenate([voice(0.5), np.zeros(RATE // 2, "f4")])] * 5)
    found = measured(waveform[: int(4.5 * RATE)], *segments)
    assert found["pause_ratio"] == pytest.approx(2.0 / 4.5)
    assert found["longest_pause"] == pytest.approx(0.5)


def test_five_bursts_in_two_seconds_are_five_nuclei_and_two_and_a_half_a_second():
    envelope = np.zeros(2 * RATE)
    for i in range(5):
        start = int((0.1 + 0.4 * i) * RATE)
        envelope[start : start + RATE // 5] = np.hanning(RATE // 5)
    waveform = (voice(2) * envelope).astype("f4")
    sound = sound_of(Listening(waveform, ((0, 2),), ()))
    assert len(syllable_nuclei(sound, [(0, 2)], CONFIG)) == 5
    assert measures([(0, 2)], sound, CONFIG)["speech_rate"] == pytest.approx(2.5)


def test_a_level_that_falls_by_20_db_has_that_range():
    loud, soft = voice(2, level=0.3), voice(2, level=0.03)
    found = measured(np.concatenate([loud, soft]), (0, 4))
    assert found["level_range"] == pytest.approx(20, abs=0.5)


def test_three_ums_in_a_minute_are_three_a_minute():
    words = [Word(text=f" {w}", start_s=i, end_s=i + 1, probability=1) for i, w in enumerate(
        ["um,", "I", "uh", "called", "嗯", "umbrella"])]  # fmt: skip
    assert filled_pauses_per_minute(words, 60) == pytest.approx(3)
    assert filled_pauses_per_minute((), 60) is None


def test_silence_has_no_measure_at_all():
    silence = Listening(np.zeros(3 * RATE, "f4"), (), ())
    found = speech_features(silence, NOTHING)
    assert set(found.measures.values()) == {None}
    assert found.rows.shape == (0, len(SPEECH.columns))


def test_there_is_no_pause_in_one_segment():
    assert longest_pause([(0.0, 3.0)]) == 0


def test_speech_is_cut_at_its_longest_pause():
    assert cut_at_pauses([(0, 4), (4.3, 8), (9, 14)], longest_s=10) == [(0, 8), (9, 14)]
    assert cut_at_pauses([(0, 20)], longest_s=10) == [(0, 10), (10, 20)]
    assert cut_at_pauses([], longest_s=10) == []


def test_full_scale_is_0_dbfs_and_silence_is_minus_infinity():
    assert loud_level_db(np.ones(RATE, "f4"), 40) == pytest.approx(0)
    assert loud_level_db(np.zeros(RATE, "f4"), 40) == float("-inf")


def test_a_short_answer_in_minutes_of_silence_keeps_its_level():
    answer = (0.1 * np.random.default_rng(0).normal(size=8 * RATE)).astype("f4")
    around = np.zeros(160 * RATE, "f4")
    around[RATE] = 1.0  # a click
    level_db = loud_level_db(np.concatenate([around, answer]), 40)
    assert level_db == pytest.approx(loud_level_db(answer, 40), abs=0.1)


@pytest.fixture(scope="module")
def whisper() -> Recogniser:
    return Recogniser(Listener())


@pytest.fixture(scope="module")
def listener(whisper) -> Listener:
    return whisper.listener


@pytest.fixture(scope="module")
def spoken(shared_data) -> np.ndarray:
    path = shared_data / "recordings" / "fluent_man.mp4"
    waveform = open_recording(path).waveform
    assert waveform is not None
    return waveform[: 12 * RATE]


def features(whisper: Recogniser, waveform: np.ndarray) -> SpeechFeatures:
    listening = whisper.listener.listen(waveform)
    return speech_features(listening, whisper.decode(listening, known="en"))


def test_gain_changes_neither_rows_nor_measures(whisper, spoken):
    plain = features(whisper, spoken)
    quiet = features(whisper, (spoken * 0.05).astype("f4"))
    assert plain.rows.shape[1] == len(SPEECH.columns)
    # int8 rounds differently at another level; outputs themselves spread by about 1
    difference = np.abs(quiet.rows - plain.rows)
    assert difference.mean() < 0.01
    assert difference.max() < 0.2
    for name, value in plain.measures.items():
        if value is not None:
            assert quiet.measures[name] == pytest.approx(value, rel=0.02, abs=0.02)


def test_three_seconds_of_silence_at_the_start_move_only_the_times(whisper, spoken):
    plain = features(whisper, spoken)
    later = features(whisper, np.concatenate([np.zeros(3 * RATE, "f4"), spoken]))
    assert len(later.stretches) == len(plain.stretches)
    np.testing.assert_allclose(np.array(later.stretches) - 3, np.array(plain.stretches), atol=0.15)
    assert later.measures["pause_ratio"] == pytest.approx(plain.measures["pause_ratio"], abs=0.03)
    assert later.measures["speech_rate"] == pytest.approx(plain.measures["speech_rate"], rel=0.1)


def test_silence_and_noise_are_not_speech(listener):
    assert listener.listen(np.zeros(5 * RATE, "f4")).segments == ()
    hiss = np.random.default_rng(0).normal(0, 0.001, 5 * RATE).astype("f4")
    assert speech_features(listener.listen(hiss), NOTHING).rows.shape == (
        0,
        len(SPEECH.columns),
    )


def said(*placed: tuple[float, float, float]) -> list[Word]:
    """Words of four letters: start, end, probability."""
    return [Word(text=" four", start_s=a, end_s=b, probability=p) for a, b, p in placed]


def test_a_word_belongs_to_the_stretch_its_middle_is_nearest_to():
    words = said((0, 1, 1), (1.8, 2.4, 1), (2.6, 3.4, 1), (9, 9.5, 1))

    def middle_s(word: Word) -> float:
        return (word.start_s + word.end_s) / 2

    assert by_stretch(words, [(0.0, 2.0), (3.0, 5.0)], middle_s) == [words[:2], words[2:]]
    assert by_stretch([], [(0.0, 2.0)], middle_s) == [[]]


def test_word_measures_of_known_words():
    found = word_measures(said((0, 1, 1.0), (1, 2, 0.4), (3, 4, 0.8)), [(0, 2), (3, 4)], 0.5)
    logs = np.log([1, 0.4, 0.8])
    assert found == {
        "word_confidence": pytest.approx(logs.mean()),
        "word_confidence_low": pytest.approx(np.log(0.4)),
        "word_confidence_spread": pytest.approx(logs.std()),
        "unsure_words": pytest.approx(1 / 3),
        "sure_words": pytest.approx(1 / 3),
        "word_rate": pytest.approx(3 / 4),
        "word_length": pytest.approx(12 / 3),
        "log_words": pytest.approx(np.log(4)),
        "log_duration": pytest.approx(np.log(4)),
        "log_language": pytest.approx(np.log(0.5)),
    }
    assert set(found) == {column.name for column in WORD_MEASURES}


def test_a_stretch_without_words_is_one_in_which_none_was_clear():
    found = word_measures([], [(0, 2)], 0.0)
    assert found["word_confidence"] == pytest.approx(np.log(0.01))
    assert (found["word_rate"], found["log_words"], found["unsure_words"]) == (0, 0, 1)
    assert found["log_language"] == pytest.approx(np.log(0.001))


def test_token_measures_of_known_tokens():
    pairs = [(-0.5, 2.0), (-1.5, 1.0), (-99.0, 3.0)]
    found = token_measures([Token(1.0, *pair) for pair in pairs])
    assert list(found) == [column.name for column in TOKEN_MEASURES]
    sure = np.array([-0.5, -1.5, np.log(0.001)])  # less probable tells nothing more
    assert found["token_log_probability_mean"] == pytest.approx(sure.mean())
    assert found["token_log_probability_std"] == pytest.approx(sure.std())
    assert found["token_log_probability_p50"] == pytest.approx(-1.5)
    assert found["token_entropy_mean"] == pytest.approx(2)
    assert found["token_entropy_p90"] == pytest.approx(2.8)


def test_a_stretch_without_tokens_is_as_undecided_as_can_be_told():
    found = token_measures([])
    assert found["token_log_probability_mean"] == pytest.approx(np.log(0.01))
    assert (found["token_entropy_p10"], found["token_entropy_std"]) == (6, 0)


def test_rows_hold_the_words_of_their_own_stretch(whisper, spoken):
    found = features(whisper, spoken)
    place = SPEECH.names.index("word_rate")
    assert len(found.rows) == len(found.waveforms) == len(found.stretches) > 1
    assert (found.rows[:, place] > 0.5).all()
    for part, seconds in zip(found.waveforms, found.durations_s, strict=True):
        assert len(part) == pytest.approx(RATE * seconds, abs=2)


def test_sentences_end_where_they_are_said_to_end(whisper, spoken):
    listening = whisper.listener.listen(spoken)
    decoded = whisper.decode(listening, known="en")
    words_end = speech_features(listening, decoded).stretches
    never = speech_features(listening, decoded, ends_s=[]).stretches
    assert len(never) < len(words_end)
    pauses = [(a[1] + b[0]) / 2 for a, b in pairwise(words_end)]
    assert speech_features(listening, decoded, ends_s=pauses).stretches == words_end
