"""Any container to waveform and frames; what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from data.contract import UnusableRecording
from data.recording import Recording, audio_quality, open_recording

RATE = 16_000


def tone(seconds: float, hz: float = 220, level: float = 0.3, rate: int = RATE) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype("f4")


def dominant_hz(waveform: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(waveform))
    return float(np.argmax(spectrum) * RATE / len(waveform))


@pytest.mark.parametrize(
    "suffix", [".mp4", ".mov", ".m4a", ".mp3", ".wav", ".flac", ".ogg", ".opus", ".webm"]
)
def test_a_tone_of_220_hz_comes_back_at_220_hz_from_every_container(suffix, tmp_path, write_media):
    rate = 48_000 if suffix in {".ogg", ".opus", ".webm"} else RATE
    path = write_media(tmp_path / f"tone{suffix}", tone(3, rate=rate), rate=rate)
    recording = open_recording(path)
    assert recording.waveform is not None
    assert recording.duration_s == pytest.approx(3, abs=0.15)
    assert dominant_hz(recording.waveform) == pytest.approx(220, abs=1)


def test_stereo_at_44100_hz_becomes_mono_at_16000_hz(tmp_path, write_media):
    path = write_media(tmp_path / "a.wav", tone(3, rate=44_100), rate=44_100, layout="stereo")
    recording = open_recording(path)
    assert recording.waveform is not None
    assert len(recording.waveform) == pytest.approx(3 * RATE, abs=200)
    assert np.abs(recording.waveform).max() == pytest.approx(0.3, abs=0.02)


def test_silk_from_a_phone_is_decoded_by_its_own_library(tmp_path):
    import io

    import pysilk

    pcm = (tone(3) * 32767).astype("<i2").tobytes()
    coded = io.BytesIO()
    pysilk.encode(io.BytesIO(pcm), coded, RATE, 24_000)
    path = tmp_path / "voice.silk"
    path.write_bytes(coded.getvalue())
    recording = open_recording(path)
    assert recording.waveform is not None
    assert dominant_hz(recording.waveform) == pytest.approx(220, abs=1)


def test_silk_garbage_is_refused(tmp_path):
    path = tmp_path / "voice.silk"
    path.write_bytes(b"\x02#!SILK_V3" + b"\x00\x01" * 50)
    with pytest.raises(UnusableRecording):
        open_recording(path)


def code_of(path: Path) -> str:
    with pytest.raises(UnusableRecording) as caught:
        open_recording(path)
    return caught.value.code


def test_zero_bytes_text_and_one_second_each_have_their_own_reason(tmp_path, write_media):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    text = tmp_path / "text.mp4"
    text.write_text("this is not a recording\n" * 100)
    short = write_media(tmp_path / "short.wav", tone(1))
    assert code_of(empty) == "empty_file"
    assert code_of(text) == "not_media"
    assert code_of(short) == "too_short"


def test_an_hour_is_refused_before_it_is_decoded(tmp_path, write_media):
    path = write_media(tmp_path / "hour.mp3", np.zeros(3600 * RATE, "f4"), bit_rate=32_000)
    assert code_of(path) == "too_long"


def test_a_file_cut_off_in_the_middle_is_refused(tmp_path, write_media):
    noise = np.random.default_rng(0).normal(0, 0.1, 20 * RATE).astype("f4")
    whole = write_media(tmp_path / "whole.wav", noise)
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert code_of(cut) in {"truncated", "not_media"}
    movie = write_media(tmp_path / "whole.mp4", noise)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(movie.read_bytes()[: movie.stat().st_size // 2])
    assert code_of(cut) in {"truncated", "not_media"}


def test_a_picture_without_sound_says_so_and_still_gives_frames(tmp_path, write_media):
    frames = [np.full((64, 64, 3), 40 * i, np.uint8) for i in range(5)]
    path = write_media(tmp_path / "mute.mp4", None, frames=frames, fps=1)
    recording = open_recording(path)
    assert recording.waveform is None
    assert recording.audio_problem is not None
    assert recording.audio_problem[0] == "no_audio_track"
    assert [round(f.image.mean() / 40) for f in recording.frames(1)] == [0, 1, 2, 3, 4]


def test_sound_without_a_picture_has_no_frames_and_says_so(tmp_path, write_media):
    recording = open_recording(write_media(tmp_path / "a.wav", tone(3)))
    assert recording.video_problem is not None
    assert recording.video_problem[0] == "no_video"
    assert list(recording.frames(5)) == []


def test_a_variable_frame_rate_gives_frames_at_their_true_times(tmp_path, write_media):
    times = [0.0, 0.1, 0.2, 1.5, 1.6, 3.0]
    frames = [np.full((64, 64, 3), 40 * i, np.uint8) for i in range(len(times))]
    path = write_media(tmp_path / "v.mp4", tone(3.2), frames=frames, times=times)
    found = [frame.time_s for frame in open_recording(path).frames(5)]
    assert found == pytest.approx([0.0, 0.2, 1.5, 1.6, 3.0], abs=0.02)


def test_a_picture_of_8k_is_not_read_but_its_sound_is(tmp_path, write_media):
    frames = [np.zeros((4320, 7680, 3), np.uint8)]
    path = write_media(tmp_path / "8k.mp4", tone(3), frames=frames, fps=1)
    recording = open_recording(path)
    assert recording.waveform is not None
    assert recording.video_problem is not None
    assert recording.video_problem[0] == "video_too_large"


def test_large_frames_are_scaled_to_640_pixels(tmp_path, write_media):
    frames = [np.zeros((1080, 1920, 3), np.uint8)] * 3
    path = write_media(tmp_path / "hd.mp4", tone(3), frames=frames, fps=1)
    assert next(open_recording(path).frames(1)).image.shape == (360, 640, 3)


def test_a_rotated_phone_video_comes_upright(tmp_path, write_media):
    image = np.zeros((120, 160, 3), np.uint8)
    image[:60] = 255
    flat = write_media(tmp_path / "flat.mp4", tone(3), frames=[image] * 5, fps=2)
    turned = tmp_path / "turned.mp4"
    with av.open(str(flat)) as source, av.open(str(turned), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90) if hasattr(stream, "set_display_rotation") else None
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    frame = next(open_recording(turned).frames(1))
    with av.open(str(turned)) as container:
        rotation = next(container.decode(video=0)).rotation
    if rotation == 0:
        pytest.skip("this PyAV cannot write a display matrix")
    assert frame.image.shape[:2] == (160, 120)


def quality(waveform: np.ndarray, start_s: float, end_s: float) -> dict[str, float]:
    return audio_quality(waveform, [(start_s, end_s)])


def test_a_tone_20_db_above_noise_has_a_signal_to_noise_ratio_of_20_db():
    random = np.random.default_rng(0)
    waveform = random.normal(0, 0.02, 10 * RATE).astype("f4")
    waveform[2 * RATE : 8 * RATE] += tone(6, level=0.2 * np.sqrt(2))
    assert quality(waveform, 2, 8)["snr_db"] == pytest.approx(20, abs=0.3)


def test_clipping_is_the_share_of_samples_at_full_scale():
    waveform = np.zeros(1000, "f4")
    waveform[:50] = 1.0
    waveform[50:100] = -1.0
    assert quality(waveform, 0, 0.05)["clipping_ratio"] == pytest.approx(0.1)


def test_noise_below_4_khz_has_a_bandwidth_of_4_khz():
    from scipy.signal import firwin, lfilter

    white = np.random.default_rng(0).normal(0, 0.1, 5 * RATE)
    low = lfilter(firwin(801, 4000, fs=RATE, window=("kaiser", 12)), 1, white).astype("f4")
    assert quality(low, 0.1, 5)["bandwidth_hz"] == pytest.approx(4000, abs=150)


def test_the_real_recordings_open_with_sound_and_picture(shared_data):
    for name in ("fluent_man.mp4", "halting_woman.mp4", "browser_capture.webm"):
        recording: Recording = open_recording(shared_data / "recordings" / name)
        assert recording.waveform is not None
        assert recording.video_problem is None
        frames = list(recording.frames(1))
        assert len(frames) == pytest.approx(recording.duration_s, abs=1)
