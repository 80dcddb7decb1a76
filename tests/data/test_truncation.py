"""Files that end before their own structure does; guessed lengths are told from stated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.contract import UnusableRecording
from data.recording import open_recording
from data.truncation import ends_early, states_length

NOISE = np.random.default_rng(0).normal(0, 0.1, 10 * 48_000).astype("f4")
STILLS = [np.full((64, 64, 3), 20 * i, np.uint8) for i in range(10)]


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("suffix", [".wav", ".mp4", ".mp3", ".flac", ".ogg", ".opus", ".webm"])
def test_a_file_cut_off_on_the_way_is_refused(suffix, share, tmp_path, write_media):
    frames = STILLS if suffix in {".mp4", ".webm"} else None
    path = write_media(tmp_path / f"a{suffix}", NOISE, rate=48_000, frames=frames, fps=1)
    assert open_recording(path).duration_s == pytest.approx(10, abs=0.1)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share * 0.95)])
    with pytest.raises(UnusableRecording) as caught:
        open_recording(path)
    assert caught.value.code in {"truncated", "not_media"}


def test_a_webm_whose_sound_stops_before_its_picture_is_whole(tmp_path, write_media):
    sound = NOISE[: 4 * 48_000]
    path = write_media(tmp_path / "a.webm", sound, rate=48_000, frames=STILLS, fps=1)
    assert open_recording(path).duration_s == pytest.approx(4, abs=0.1)


def test_every_cut_of_an_ogg_inside_a_page_ends_early_and_between_pages_none(tmp_path, write_media):
    whole = write_media(tmp_path / "a.ogg", NOISE, rate=48_000).read_bytes()
    pages = {i for i in range(len(whole)) if whole.startswith(b"OggS\x00", i)} | {len(whole)}
    path = tmp_path / "cut.ogg"
    inside = {page + 5 for page in pages if page < len(whole)} | {*range(5000, len(whole), 997)}
    for end in pages | inside - {0}:
        path.write_bytes(whole[:end])
        assert ends_early(path) == (end not in pages)


def test_a_wave_of_unknown_length_does_not_end_early(tmp_path):
    path = Path(tmp_path / "live.wav")
    for meant, early in ((0, False), (0xFFFFFFFF, False), (900, False), (2000, True)):
        path.write_bytes(b"RIFF" + meant.to_bytes(4, "little") + b"WAVE" + bytes(900))
        assert ends_early(path) == early


def test_an_mp3_states_its_length_only_in_an_index_after_any_tag(tmp_path, write_media):
    path = write_media(tmp_path / "a.mp3", NOISE, rate=48_000)
    indexed = path.read_bytes()
    assert states_length(path, "mp3")
    start = indexed.index(b"\xff\xfb")
    path.write_bytes(b"ID3\x04\x00\x00\x00\x00\x20\x00" + bytes(4096) + indexed[start:])
    assert states_length(path, "mp3")
    path.write_bytes(indexed.replace(b"Xing", bytes(4)).replace(b"Info", bytes(4)))
    assert not states_length(path, "mp3")
