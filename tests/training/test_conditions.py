"""Worse recordings of a known signal: each is worse by what its name says."""

from __future__ import annotations

import numpy as np
import pytest

from data.recording import audio_quality
from training import robustness
from training.conditions import CONDITIONS, Others

RATE = 16_000
BY_NAME = {condition.name: condition for condition in CONDITIONS}


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    """Two seconds of harmonics of 200 Hz up to 7.8 kHz, half a second of silence around."""
    times = np.arange(2 * RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * 200 * k * times) / k for k in range(1, 40))
    return np.pad(0.1 * buzz, RATE // 2).astype("f4")


@pytest.fixture(scope="module")
def others() -> Others:
    random = np.random.default_rng(5)
    return Others(*(random.normal(0, 0.05, 4 * RATE).astype("f4") for _ in range(2)))


def changed(name: str, waveform: np.ndarray, others: Others) -> np.ndarray:
    found = BY_NAME[name].change(waveform, others, 0)
    assert found.dtype == np.float32
    assert np.abs(found).max() <= 1
    return found


def test_there_are_the_conditions_that_the_card_promises():
    assert len(BY_NAME) == len(CONDITIONS) == 18
    assert sum(condition.codec for condition in CONDITIONS) == 3


@pytest.mark.parametrize(
    ("kind", "snr_db"),
    [
        *((kind, snr_db) for kind in ("white noise", "babble") for snr_db in (20, 10, 5)),
        *(("another voice", snr_db) for snr_db in (20, 10, 0)),
    ],
)
def test_noise_lies_so_far_below_the_voice(tone, others, kind, snr_db):
    found = changed(f"{kind} {snr_db} dB", tone, others)
    scale = np.dot(found, tone) / np.dot(tone, tone)
    noise = found - scale * tone
    assert 10 * np.log10(np.sum((scale * tone) ** 2) / np.sum(noise**2)) == pytest.approx(
        snr_db, abs=0.3
    )


@pytest.mark.parametrize(("gain_db", "factor"), [(12, 10**0.6), (-12, 10**-0.6)])
def test_gain_multiplies_and_clips(tone, others, gain_db, factor):
    found = changed(f"gain {gain_db:+d} dB", tone, others)
    np.testing.assert_allclose(found, np.clip(tone * factor, -1, 1), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "low_hz", "high_hz"),
    [("AMR 12.2 kbit/s", 3000, 4500), ("AAC 8 kHz stereo", 3000, 4500),
     ("Opus 16 kbit/s", 4000, 8000)],
)  # fmt: skip
def test_a_codec_keeps_the_length_and_loses_the_band(tone, others, name, low_hz, high_hz):
    found = changed(name, tone, others)
    assert len(found) == pytest.approx(len(tone), abs=0.1 * RATE)
    assert low_hz <= audio_quality(found, [(0.5, 2.5)])["bandwidth_hz"] <= high_hz


def test_silence_and_speed_change_the_length(tone, others):
    silent = changed("3 s of silence at both ends", tone, others)
    np.testing.assert_array_equal(silent[3 * RATE : -3 * RATE], tone)
    assert not silent[: 3 * RATE].any()
    for factor in (0.95, 1.05):
        found = changed(f"speed {factor:.2f}", tone, others)
        assert len(found) == pytest.approx(len(tone) / factor, rel=0.001)


def test_a_room_rings_on_after_the_voice_and_keeps_it(tone, others):
    found = changed("room, 0.4 s", tone, others)
    assert np.corrcoef(found, tone)[0, 1] > 0.5
    tail = slice(int(2.5 * RATE), int(2.9 * RATE))
    half = int(2.7 * RATE)
    assert np.abs(tone[tail]).max() == 0
    first, last = found[tail.start : half], found[half : tail.stop]
    assert 10 * np.log10((first**2).mean() / (last**2).mean()) > 20


def test_the_same_answer_is_worse_in_the_same_way_again(tone, others):
    for condition in CONDITIONS:
        one, two = (condition.change(tone, others, 3) for _ in range(2))
        np.testing.assert_array_equal(one, two, err_msg=condition.name)


def test_babble_is_of_several_people_equally_loud_and_a_talker_is_one_of_them(shared_data):
    audio = sorted((shared_data / "speechocean762" / "audio").rglob("*.*"))[:600:50]
    company = robustness.others(audio, seconds=4)
    found = company.babble
    assert len(found) == 4 * RATE
    assert 0.01 < np.sqrt(np.mean(found**2)) < 0.1
    assert len(company.talker) == 4 * RATE
    assert np.sqrt(np.mean(company.talker**2)) == pytest.approx(0.1, rel=0.5)
    assert 0.2 < np.corrcoef(found, company.talker)[0, 1] < 0.9
