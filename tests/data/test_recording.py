"""Any container to waveform and frames; what cannot be read is named."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pysilk
import pytest

import configs
from data.contract import UnusableRecording
from data.recording import Recording, RecordingConfig, audio_quality, open_recording

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


def silk(waveform: np.ndarray) -> bytes:
    coded = io.BytesIO()
    pcm = (waveform * 32767).astype("<i2").tobytes()
    pysilk.encode(io.BytesIO(pcm), coded, RATE, 24_000)
    return coded.getvalue()


def test_silk_from_a_phone_is_decoded_by_its_own_library(tmp_path):
    path = tmp_path / "voice.silk"
    path.write_bytes(silk(tone(3)))
    recording = open_recording(path)
    assert recording.waveform is not None
    assert dominant_hz(recording.waveform) == pytest.approx(220, abs=1)


def test_silk_garbage_is_refused(tmp_path):
    path = tmp_path / "voice.silk"
    path.write_bytes(b"\x02#!SILK_V3" + b"\x00\x01" * 50)
    with pytest.raises(UnusableRecording):
        open_recording(path)


def code_of(path: Path, config: RecordingConfig | None = None) -> str:
    with pytest.raises(UnusableRecording) as caught:
        open_recording(path, config)
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
    path = write_media(tmp_path / "hour.wav", np.zeros(10 * RATE, "f4"))
    content = path.read_bytes().split(b"data")[0] + b"data" + struct.pack("<I", 3600 * 2 * RATE)
    path.write_bytes(content)
    with path.open("r+b") as stream:
        stream.truncate(len(content) + 3600 * 2 * RATE)
    assert code_of(path) == "too_long"


LIMITS = configs.load("recording", RecordingConfig)
STILLS = [np.full((64, 64, 3), 20 * i, np.uint8) for i in range(12)]


def live(path: Path) -> Path:
    """The webm without its duration, as a browser's recorder writes it."""
    movie = bytearray(path.read_bytes())
    at = movie.index(b"\x44\x89\x88")  # Duration, 8 bytes: made an element that is passed over
    movie[at : at + 11] = b"\xec\x89" + bytes(9)
    path.write_bytes(movie)
    return path


def test_a_browsers_webm_without_a_duration_is_accepted_at_its_true_length(tmp_path, write_media):
    path = tmp_path / "a.webm"
    live(write_media(path, tone(3, rate=48_000), rate=48_000, frames=STILLS, fps=4))
    with av.open(str(path)) as container:
        assert container.duration is None
    assert open_recording(path).duration_s == pytest.approx(3, abs=0.05)


def test_what_states_no_duration_is_refused_where_it_passes_the_longest_answer(
    tmp_path, write_media
):
    limits = LIMITS.model_copy(update={"max_duration_s": 2.5})
    with_sound = live(
        write_media(tmp_path / "a.webm", tone(4, rate=48_000), rate=48_000, frames=STILLS, fps=3)
    )
    mute = live(write_media(tmp_path / "b.webm", None, frames=STILLS, fps=3))
    assert code_of(with_sound, limits) == code_of(mute, limits) == "too_long"


def test_frames_end_at_the_longest_answer(tmp_path, write_media):
    path = write_media(tmp_path / "a.mp4", None, frames=STILLS, fps=2)
    short = LIMITS.model_copy(update={"max_duration_s": 2.0})
    recording = replace(open_recording(path), config=short)
    assert [frame.time_s for frame in recording.frames(2)] == [0, 0.5, 1, 1.5, 2]


def test_a_playlist_that_names_another_file_is_not_opened(tmp_path, write_media):
    write_media(tmp_path / "secret.mp3", tone(3))
    playlist = tmp_path / "x.m3u8"
    playlist.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\nsecret.mp3\n#EXT-X-ENDLIST\n"
    )
    concat = tmp_path / "x.mp4"
    concat.write_text("ffconcat version 1.0\nfile secret.mp3\n")
    for path in (playlist, concat):
        with av.open(str(path)) as container:  # FFmpeg itself follows it
            assert container.streams.audio
        assert code_of(path) == "not_media"


def aac(path: Path, waveform: np.ndarray, rate: int, layout: str) -> bytes:
    """A bare AAC stream, as WeChat's recorder writes it."""
    with av.open(str(path), "w", format="adts") as container:
        stream = container.add_stream("aac", rate=rate)
        stream.layout = layout
        channels = {"mono": 1, "stereo": 2}[layout]
        frame = av.AudioFrame.from_ndarray(
            np.tile(waveform, (channels, 1)), format="fltp", layout=layout
        )
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


def test_sound_whose_rate_and_channels_change_on_the_way_is_read_to_its_end(tmp_path):
    path = tmp_path / "a.aac"
    first = aac(path, tone(2, 220), RATE, "mono")
    path.write_bytes(first + aac(path, tone(2, 440, rate=44_100), 44_100, "stereo"))
    waveform = open_recording(path).waveform
    assert waveform is not None
    assert len(waveform) == pytest.approx(4 * RATE, abs=0.2 * RATE)
    assert dominant_hz(waveform[: int(1.8 * RATE)]) == pytest.approx(220, abs=1)
    assert dominant_hz(waveform[int(2.2 * RATE) : 4 * RATE]) == pytest.approx(440, abs=1)


def test_a_length_that_is_only_guessed_from_the_bit_rate_refuses_nobody(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.2, 5 * RATE).astype("f4")
    aac(tmp_path / "a.aac", np.concatenate([np.zeros(10 * RATE, "f4"), noise]), RATE, "mono")
    with av.open(str(tmp_path / "a.aac")) as container:
        assert container.duration > 100 * av.time_base  # FFmpeg's guess
    assert open_recording(tmp_path / "a.aac").duration_s == pytest.approx(15, abs=0.2)


def test_ogg_whose_channels_change_on_the_way_is_refused(tmp_path, write_media):
    mono = write_media(tmp_path / "m.opus", tone(3, rate=48_000), rate=48_000)
    stereo = write_media(tmp_path / "s.opus", tone(3, rate=48_000), rate=48_000, layout="stereo")
    path = tmp_path / "both.opus"
    path.write_bytes(mono.read_bytes() + stereo.read_bytes())
    assert code_of(path) == "truncated"


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", b"avc1"), (".webm", b"V_VP8")])
def test_a_picture_nothing_can_decode_leaves_the_sound(suffix, codec, tmp_path, write_media):
    path = tmp_path / f"a{suffix}"
    write_media(path, tone(3, rate=48_000), rate=48_000, frames=STILLS, fps=4)
    path.write_bytes(path.read_bytes().replace(codec, b"zzzzz"[: len(codec)]))
    recording = open_recording(path)
    assert recording.waveform is not None
    assert recording.video_problem is not None
    assert recording.video_problem[0] == "no_video"
    assert list(recording.frames(5)) == []


def wave_header(path: Path, offset: int, value: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + len(value)] = value
    path.write_bytes(content)


def test_a_wave_of_nonsense_rate_or_a_hundred_channels_has_no_sound(tmp_path, write_media):
    rate = write_media(tmp_path / "r.wav", tone(3))
    wave_header(rate, 24, struct.pack("<I", 1 << 30))
    channels = write_media(tmp_path / "c.wav", tone(3))
    wave_header(channels, 22, struct.pack("<H", 100))
    wave_header(channels, 32, struct.pack("<H", 200))
    for path in (rate, channels):
        recording = open_recording(path)
        assert recording.waveform is None
        assert recording.audio_problem is not None
        assert recording.audio_problem[0] == "no_audio"


def amr(frames: int) -> bytes:
    """AMR at 12.2 kbit/s: a header byte and 31 bytes every 20 ms (RFC 4867)."""
    return b"#!AMR\n" + (b"\x3c" + bytes(31)) * frames


def test_amr_lasts_a_fiftieth_of_a_second_a_frame(tmp_path):
    path = tmp_path / "voice.amr"
    path.write_bytes(amr(200))
    recording = open_recording(path)
    assert recording.duration_s == pytest.approx(4, abs=0.03)
    assert recording.waveform is not None
    assert len(recording.waveform) == pytest.approx(4 * RATE, abs=500)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (amr(200)[: 6 + 100 * 32 + 9], "truncated"),
        (amr(50), "too_short"),
        (amr(200)[:5], "not_media"),
        (amr(1000), "too_long"),
    ],
)
def test_amr_that_is_cut_short_or_long_says_which(content, code, tmp_path):
    path = tmp_path / "voice.amr"
    path.write_bytes(content)
    assert code_of(path, LIMITS.model_copy(update={"max_duration_s": 15})) == code


def test_a_small_silk_file_of_hours_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.silk"
    path.write_bytes(b"\x02#!SILK_V3" + bytes(2) * 5_000_000)
    tracemalloc.start()
    assert code_of(path) == "too_long"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # decoded it is 28 hours, 3 GB


def test_silk_that_breaks_off_is_refused(tmp_path):
    path = tmp_path / "voice.silk"
    path.write_bytes(silk(tone(3))[:-5])
    assert code_of(path) == "truncated"


DAMAGED = (".mp4", ".webm", ".ogg", ".mp3", ".aac", ".wav", ".flac", ".amr", ".silk")


@pytest.mark.parametrize("suffix", DAMAGED)
def test_whatever_is_cut_or_flipped_is_a_recording_or_refused(suffix, tmp_path, write_media):
    whole = small(tmp_path / f"whole{suffix}", write_media)
    path = tmp_path / f"damaged{suffix}"
    for seed in range(60):
        random = np.random.default_rng(seed)
        content = np.frombuffer(whole, np.uint8).copy()
        if seed % 3 == 0:
            content = content[: random.integers(1, len(content))]
        ends = min(len(content), 400) if seed % 2 else len(content)  # headers, or anywhere
        flips = random.integers(0, ends, size=random.choice([1, 5, 50]))
        content[flips] = random.integers(0, 256, size=len(flips))
        path.write_bytes(content.tobytes())
        with contextlib.suppress(UnusableRecording):
            recording = open_recording(path)
            assert recording.waveform is not None or recording.audio_problem is not None
            assert all(frame.image.shape[2] == 3 for frame in recording.frames(5))


def small(path: Path, write_media: Callable[..., Path]) -> bytes:
    """Three seconds, with a picture where the container has one."""
    if path.suffix == ".amr":
        return amr(150)
    if path.suffix == ".silk":
        return silk(tone(3))
    if path.suffix == ".aac":
        return aac(path, tone(3), RATE, "mono")
    frames = STILLS[:6] if path.suffix in {".mp4", ".webm"} else None
    sound = tone(3, rate=48_000)
    return write_media(path, sound, rate=48_000, frames=frames, fps=2).read_bytes()


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


QUARTER_CLOCKWISE = (0, 1 << 16, 0, -1 << 16, 0, 0, 120 << 16, 0, 1 << 30)
"""What a phone held upright writes: x' = 120 - y, y' = x, so the top edge goes to the right.
Source: ISO 14496-12, section 6.2.2."""


def test_a_rotated_phone_video_comes_upright(tmp_path, write_media):
    image = np.zeros((120, 160, 3), np.uint8)
    image[:60] = 255
    path = write_media(tmp_path / "turned.mp4", None, frames=[image] * 5, fps=2)
    movie = bytearray(path.read_bytes())
    matrix = movie.index(b"tkhd") + 44
    movie[matrix : matrix + 36] = struct.pack(">9i", *QUARTER_CLOCKWISE)
    path.write_bytes(movie)
    frame = next(open_recording(path).frames(1)).image
    assert frame.shape == (160, 120, 3)
    assert frame[:, :50].mean() < 10
    assert frame[:, 70:].mean() > 245


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
    assert quality(waveform, 0, 1000 / RATE)["clipping_ratio"] == pytest.approx(0.1)


def test_silence_around_the_speech_does_not_dilute_its_clipping():
    speech = tone(1)
    speech[:800] = 1.0
    waveform = np.concatenate([speech, np.zeros(9 * RATE, "f4")])
    assert quality(waveform, 0, 1)["clipping_ratio"] == pytest.approx(0.05)
    assert audio_quality(waveform, [])["clipping_ratio"] == pytest.approx(0.005)


def test_noise_below_4_khz_has_a_bandwidth_of_4_khz():
    from scipy.signal import firwin, lfilter

    white = np.random.default_rng(0).normal(0, 0.1, 5 * RATE)
    low = lfilter(firwin(801, 4000, fs=RATE, window=("kaiser", 12)), 1, white).astype("f4")
    assert quality(low, 0.1, 5)["bandwidth_hz"] == pytest.approx(4000, abs=150)


def retimed(
    whole: Path,
    path: Path,
    *,
    kind: str = "audio",
    kept: Callable[[float], bool] = lambda time_s: True,
    later_s: Callable[[float], float] = lambda time_s: 0.0,
) -> Path:
    """The tracks of `whole`, some packets of one kind left out or moved in time."""
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        tracks = {stream: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.pts is None or packet.dts is None:
                continue
            if packet.stream.type == kind:
                time_s = float(packet.pts * packet.time_base)
                if not kept(time_s):
                    continue
                later = round(later_s(time_s) / packet.time_base)
                packet.pts, packet.dts = packet.pts + later, packet.dts + later
            packet.stream = tracks[packet.stream]
            target.mux(packet)
    return path


@pytest.fixture(params=[".mp4", ".webm", ".ogg"])
def ten_seconds(request, tmp_path, write_media) -> Path:
    """A tone, with a picture where the container has one."""
    path = tmp_path / f"whole{request.param}"
    frames = None if path.suffix == ".ogg" else STILLS[:10]
    return write_media(path, tone(10, rate=48_000), rate=48_000, frames=frames, fps=1)


def loudest(waveform: np.ndarray | None, start_s: float, end_s: float) -> float:
    assert waveform is not None
    return float(np.abs(waveform[int(start_s * RATE) : int(end_s * RATE)]).max())


def test_sound_that_was_not_sent_for_three_seconds_is_silence_of_three_seconds(ten_seconds):
    path = ten_seconds.with_stem("gap")
    recording = open_recording(retimed(ten_seconds, path, kept=lambda time_s: not 4 <= time_s < 7))
    assert recording.duration_s == pytest.approx(10, abs=0.05)
    assert loudest(recording.waveform, 4.1, 6.9) == 0
    assert loudest(recording.waveform, 3.8, 3.9) == pytest.approx(0.3, abs=0.03)
    assert loudest(recording.waveform, 7.1, 7.2) == pytest.approx(0.3, abs=0.03)
    assert dominant_hz(recording.waveform[int(7.1 * RATE) :]) == pytest.approx(220, abs=1)
    content = path.read_bytes()
    path.write_bytes(content[: int(0.7 * len(content))])
    assert code_of(path) in {"truncated", "not_media"}


def test_sound_that_starts_three_seconds_after_the_picture_is_heard_three_seconds_later(
    ten_seconds,
):
    late = retimed(ten_seconds, ten_seconds.with_stem("late"), later_s=lambda time_s: 3)
    recording = open_recording(late)
    if ten_seconds.suffix == ".ogg":  # nothing comes before its sound
        assert recording.duration_s == pytest.approx(10, abs=0.05)
        return
    assert recording.duration_s == pytest.approx(13, abs=0.05)
    assert loudest(recording.waveform, 0, 2.95) == 0
    assert loudest(recording.waveform, 3.1, 3.2) == pytest.approx(0.3, abs=0.03)
    assert [frame.time_s for frame in recording.frames(1)] == pytest.approx(range(10), abs=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_picture_that_starts_after_the_sound_is_seen_at_its_time(suffix, tmp_path, write_media):
    path = tmp_path / f"a{suffix}"
    write_media(path, tone(6, rate=48_000), rate=48_000, frames=STILLS[:3], fps=1)
    late = retimed(path, path.with_stem("late"), kind="video", later_s=lambda time_s: 3)
    recording = open_recording(late)
    assert recording.duration_s == pytest.approx(6, abs=0.05)
    assert [frame.time_s for frame in recording.frames(1)] == pytest.approx([3, 4, 5], abs=0.05)


def test_a_track_that_starts_forty_milliseconds_late_is_left_as_it_is(ten_seconds):
    late = retimed(ten_seconds, ten_seconds.with_stem("late"), later_s=lambda time_s: 0.04)
    assert np.array_equal(open_recording(late).waveform, open_recording(ten_seconds).waveform)


def test_sound_whose_clock_goes_back_is_kept_to_its_last_second(tmp_path, write_media):
    path = write_media(tmp_path / "a.webm", tone(10, rate=48_000), rate=48_000)
    movie = bytearray(path.read_bytes())
    second = movie.index(b"\x1f\x43\xb6\x75", movie.index(b"\x1f\x43\xb6\x75") + 4)
    at = movie.index(b"\xe7\x82", second) + 2  # the cluster's time in milliseconds, 2 bytes
    assert int.from_bytes(movie[at : at + 2], "big") >= 4500
    movie[at : at + 2] = (2000).to_bytes(2, "big")
    path.write_bytes(movie)
    recording = open_recording(live(path))
    assert recording.duration_s == pytest.approx(10, abs=0.05)
    assert dominant_hz(recording.waveform) == pytest.approx(220, abs=1)


def test_a_clock_that_leaps_two_hours_is_refused_without_two_hours_of_silence(ten_seconds):
    path = ten_seconds.with_stem("leap")
    retimed(ten_seconds, path, later_s=lambda time_s: 7200 if time_s > 5 else 0)
    if path.suffix == ".webm":
        live(path)
    tracemalloc.start()
    assert code_of(path) == "too_long"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # the silence is 460 MB


@pytest.mark.parametrize("suffix", [".mp4", ".ogg"])
def test_a_hole_in_the_middle_of_a_file_is_no_silence_but_damage(suffix, tmp_path, write_media):
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * 48_000).astype("f4")
    path = write_media(tmp_path / f"a{suffix}", noise, rate=48_000)
    content = bytearray(path.read_bytes())
    start, end = int(0.4 * len(content)), int(0.7 * len(content))
    content[start:end] = bytes(end - start)
    path.write_bytes(content)
    assert code_of(path) == "truncated"


def test_the_bandwidth_of_many_blocks_is_that_of_the_whole_and_needs_no_more_memory():
    from scipy.signal import butter, sosfilt

    white = np.random.default_rng(0).normal(0, 0.1, 100 * RATE)
    falling = sosfilt(butter(12, 3000, fs=RATE, output="sos"), white).astype("f4")
    tracemalloc.start()
    found = quality(falling, 0, 100)["bandwidth_hz"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    frames = np.lib.stride_tricks.sliding_window_view(falling, 1024)[::512]
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(1024), axis=1)) ** 2, axis=0)
    within = np.flatnonzero(power > 1e-6 * power.max())
    assert found == within[-1] * RATE / 1024
    assert peak < 50e6  # the spectra of the whole are 75 MB


def test_the_real_recordings_open_with_sound_and_picture(shared_data):
    for name in ("fluent_man.mp4", "halting_woman.mp4", "browser_capture.webm"):
        recording: Recording = open_recording(shared_data / "recordings" / name)
        assert recording.waveform is not None
        assert recording.video_problem is None
        frames = list(recording.frames(1))
        assert len(frames) == pytest.approx(recording.duration_s, abs=1)
