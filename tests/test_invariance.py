"""Gain, codec, container, leading silence and a mirrored picture do not move a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.contract import Scored, ScoreRequest
from data.recording import open_recording

ENGLISH = ScoreRequest(job="relationship_manager", language="en")
RATE = 16_000

BOUND = 3.0
"""Points of 100 a speech score may move without a change of what was said or how."""


@pytest.fixture(scope="module")
def waveform(shared_data) -> np.ndarray:
    found = open_recording(shared_data / "recordings" / "browser_capture.webm").waveform
    assert found is not None
    return found


def speech(scored: Scored) -> dict[str, float]:
    return {s.name: s.score for s in scored.scorecard.scores if s.part == "speech"}


@pytest.fixture(scope="module")
def plain(scorer, waveform, tmp_path_factory, write_media) -> dict[str, float]:
    path = write_media(tmp_path_factory.mktemp("plain") / "plain.wav", waveform)
    return speech(scorer.score(path, ENGLISH))


def moved(scorer, path: Path, plain: dict[str, float]) -> float:
    found = speech(scorer.score(path, ENGLISH))
    assert set(found) == set(plain)
    return max(abs(found[name] - plain[name]) for name in plain)


@pytest.mark.parametrize("gain_db", [-12, 6])
def test_gain_does_not_move_a_score(gain_db, scorer, waveform, plain, tmp_path, write_media):
    louder = np.clip(waveform * 10 ** (gain_db / 20), -1, 1).astype("f4")
    assert moved(scorer, write_media(tmp_path / "gain.wav", louder), plain) < BOUND


@pytest.mark.parametrize(
    ("suffix", "bit_rate"), [(".flac", None), (".m4a", 64_000), (".mp3", 64_000)]
)
def test_a_codec_does_not_move_a_score(
    suffix, bit_rate, scorer, waveform, plain, tmp_path, write_media
):
    path = write_media(tmp_path / f"coded{suffix}", waveform, bit_rate=bit_rate)
    assert moved(scorer, path, plain) < BOUND


def test_three_seconds_of_silence_at_both_ends_do_not_move_a_score(
    scorer, waveform, plain, tmp_path, write_media
):
    silence = np.zeros(3 * RATE, "f4")
    longer = np.concatenate([silence, waveform, silence])
    assert moved(scorer, write_media(tmp_path / "longer.wav", longer), plain) < BOUND


def test_a_mirrored_picture_moves_no_measure_of_the_face(
    scorer, shared_data, tmp_path, write_media
):
    source = open_recording(shared_data / "recordings" / "fluent_man.mp4")
    frames = [frame.image for frame in source.frames(10)][:120]

    def measures(name: str, pictures: list[np.ndarray]) -> dict[str, float | None]:
        path = write_media(tmp_path / name, None, frames=pictures, fps=10)
        card = scorer.score(path, ENGLISH).scorecard
        return {m.name: m.value for m in card.measures if m.part == "expression"}

    straight = measures("straight.mp4", frames)
    mirrored = measures("mirrored.mp4", [image[:, ::-1] for image in frames])
    assert straight["smile_intensity"] is not None
    for name, bound in (
        ("smile_intensity", 0.05),
        ("gaze_to_camera_share", 0.1),
        ("head_turn", 2.0),
        ("head_raise", 2.0),
        ("face_height", 0.02),
    ):
        assert mirrored[name] == pytest.approx(straight[name], abs=bound), name
