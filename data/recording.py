"""Media file → waveform, frames and what the recording allows.

Everything PyAV's FFmpeg decodes is read (mp4, webm, mov, m4a, mp3, wav, flac, ogg,
opus, amr, …) and SILK by its own library. Audio and video are read in two passes
over the file, each in order, so an hour of video never sits in memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pysilk
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame
from pydantic import Field

import configs
from data.assets import file_sha256
from data.contract import SAMPLE_RATE, Quality, Record, UnusableRecording

Waveform = npt.NDArray[np.float32]
"""(samples,) mono at SAMPLE_RATE, full scale is 1."""

SILK_HEADERS = (b"#!SILK_V3", b"\x02#!SILK_V3")
FULL_SCALE = 0.999
"""A sample at or above this counts as clipped."""


class RecordingConfig(Record):
    """configs/recording.yaml."""

    min_duration_s: float = Field(gt=0)
    max_duration_s: float = Field(gt=0)
    max_pixels: int = Field(gt=0, description="width × height of a frame that is still decoded")
    frame_side: int = Field(gt=0, description="longest side frames are scaled down to, pixels")
    truncated_below: float = Field(
        gt=0, le=1, description="share of its stated duration a complete file decodes to"
    )


@dataclass(frozen=True)
class Frame:
    """One picture. image : (height, width, 3) uint8 RGB, upright."""

    time_s: float
    image: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Recording:
    """A media file that was opened and whose audio was decoded.

    waveform : None when there is no usable audio; `audio_problem` says why
    video_problem : (code, sentence) when there are no usable frames, else None
    """

    path: Path
    sha256: str
    duration_s: float
    waveform: Waveform | None
    audio_problem: tuple[str, str] | None
    video_problem: tuple[str, str] | None
    width: int | None
    height: int | None
    frame_side: int = field(repr=False, default=640)

    def frames(self, rate_hz: float) -> Iterator[Frame]:
        """Frames nearest after each tick of `rate_hz`, in order; nothing without video."""
        if self.video_problem is None:
            yield from _frames(self.path, rate_hz, self.frame_side)


def open_recording(path: Path, config: RecordingConfig | None = None) -> Recording:
    """The recording at `path`, its audio decoded, its video ready to be read.

    Raises UnusableRecording: empty_file, not_media, no_tracks, too_short, too_long,
    truncated.
    """
    config = config or configs.load("recording", RecordingConfig)
    if path.stat().st_size == 0:
        raise UnusableRecording("empty_file", "The file has 0 bytes; send the recording again.")
    if _is_silk(path):
        return _from_silk(path, config)
    if _is_cut_wave(path):
        raise UnusableRecording("truncated", "The WAVE file is shorter than its header says.")
    with _open(path) as container:
        if not container.streams.audio and not container.streams.video:
            raise UnusableRecording("no_tracks", "The file has neither audio nor video.")
        stated_s = _stated_duration(container)
        if stated_s is not None and stated_s > config.max_duration_s:
            raise _too_long(stated_s, config)
        video = container.streams.video[0] if container.streams.video else None
        width, height = (video.width, video.height) if video else (None, None)
        has_audio = bool(container.streams.audio)
        stated_audio_s = _stream_duration(container.streams.audio[0]) if has_audio else None
    waveform, audio_problem = _decode_audio(path, config) if has_audio else (None, _NO_AUDIO)
    audio_s = len(waveform) / SAMPLE_RATE if waveform is not None else 0.0
    if (
        stated_audio_s
        and waveform is not None
        and audio_s < config.truncated_below * stated_audio_s
    ):
        raise UnusableRecording(
            "truncated",
            f"The file says it holds {stated_audio_s:.1f} s of sound but only {audio_s:.1f} s "
            "could be read; it was cut off on the way. Send it again.",
        )
    duration_s = audio_s or stated_s or 0.0
    if waveform is not None and duration_s < config.min_duration_s:
        raise _too_short(duration_s, config)
    return Recording(
        path=path,
        sha256=file_sha256(path),
        duration_s=duration_s,
        waveform=waveform,
        audio_problem=audio_problem,
        video_problem=_video_problem(width, height, config),
        width=width,
        height=height,
        frame_side=config.frame_side,
    )


_NO_AUDIO = ("no_audio_track", "The recording has no audio track.")


def audio_quality(waveform: Waveform, segments: list[tuple[float, float]]) -> dict[str, float]:
    """Clipping, signal-to-noise and bandwidth of the parts where someone speaks.

    segments : (start, end) of speech in seconds
    snr_db : level of speech over level outside it, at most 60; absent when less than
        0.3 s lies outside speech
    """
    quality = {"clipping_ratio": float(np.mean(np.abs(waveform) >= FULL_SCALE))}
    spoken = np.zeros(len(waveform), dtype=bool)
    for start_s, end_s in segments:
        spoken[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)] = True
    quality["speech_s"] = float(spoken.sum() / SAMPLE_RATE)
    if not spoken.any():
        return quality
    quality["bandwidth_hz"] = _bandwidth_hz(waveform[spoken])
    rest = waveform[~spoken]
    if len(rest) >= 0.3 * SAMPLE_RATE:
        speech_power = float(np.mean(waveform[spoken] ** 2))
        noise_power = float(np.mean(rest**2))
        ratio_db = 10 * np.log10(max(speech_power, 1e-12) / max(noise_power, 1e-12))
        quality["snr_db"] = float(np.clip(ratio_db, -20, 60))
    return quality


def base_quality(recording: Recording) -> Quality:
    """The part of the quality record that needs no analysis."""
    return Quality(duration_s=recording.duration_s, width=recording.width, height=recording.height)


def _bandwidth_hz(speech: Waveform, floor_db: float = -60.0) -> float:
    """Highest frequency whose mean power is within 60 dB of the strongest.

    60 dB lies below the weakest fricatives of full-band speech and above what a
    resampler leaves past the band of an 8 kHz recording.
    """
    size = 1024
    if len(speech) < size:
        return SAMPLE_RATE / 2
    frames = np.lib.stride_tricks.sliding_window_view(speech, size)[:: size // 2]
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2, axis=0)
    level_db = 10 * np.log10(np.maximum(power, 1e-20) / max(float(power.max()), 1e-20))
    return float(np.flatnonzero(level_db > floor_db)[-1] * SAMPLE_RATE / size)


def _open(path: Path) -> av.container.InputContainer:
    try:
        return av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise UnusableRecording(
            "not_media",
            "The file is not a recording that can be read, or it is cut off before its index. "
            "Send mp4, webm, mov, m4a, mp3, wav, flac, ogg, opus, amr or silk.",
        ) from error


def _stated_duration(container: av.container.InputContainer) -> float | None:
    return container.duration / av.time_base if container.duration else None


def _stream_duration(stream: av.AudioStream) -> float | None:
    if stream.duration is None or stream.time_base is None:
        return None
    return float(stream.duration * stream.time_base)


def _too_long(duration_s: float, config: RecordingConfig) -> UnusableRecording:
    return UnusableRecording(
        "too_long",
        f"The recording lasts {duration_s:.0f} s; one answer may last "
        f"{config.max_duration_s:.0f} s. Send each answer as its own recording.",
    )


def _too_short(duration_s: float, config: RecordingConfig) -> UnusableRecording:
    return UnusableRecording(
        "too_short",
        f"The recording lasts {duration_s:.1f} s; at least {config.min_duration_s:.0f} s are "
        "needed.",
    )


def _video_problem(
    width: int | None, height: int | None, config: RecordingConfig
) -> tuple[str, str] | None:
    if width is None or height is None:
        return "no_video", "The recording has no video track."
    if width * height > config.max_pixels:
        return (
            "video_too_large",
            f"The video has {width}×{height} pixels; at most {config.max_pixels} pixels a frame "
            "are read. The sound is scored, the picture is not.",
        )
    if width * height == 0:
        return "no_video", "The video track has no picture."
    return None


def _decode_audio(
    path: Path, config: RecordingConfig
) -> tuple[Waveform | None, tuple[str, str] | None]:
    """Mean of the channels, float32 at SAMPLE_RATE; broken packets are passed over."""
    resampler = AudioResampler(format="fltp", rate=SAMPLE_RATE)
    blocks: list[Waveform] = []
    samples = 0
    with _open(path) as container:
        for packet in container.demux(audio=0):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                for block in resampler.resample(frame):
                    blocks.append(block.to_ndarray().mean(axis=0))
                    samples += len(blocks[-1])
            if samples > config.max_duration_s * SAMPLE_RATE:
                raise _too_long(samples / SAMPLE_RATE, config)
    if blocks:
        blocks += [block.to_ndarray().mean(axis=0) for block in resampler.resample(None)]
    if not samples:
        return None, ("no_audio", "The audio track holds no sound that can be decoded.")
    return np.concatenate(blocks).astype(np.float32, copy=False), None


def _frames(path: Path, rate_hz: float, side: int) -> Iterator[Frame]:
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        next_tick, first_s = 0.0, None
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                continue
            for frame in decoded:
                if frame.time is None:
                    continue
                first_s = frame.time if first_s is None else first_s
                time_s = frame.time - first_s
                if time_s + 1e-6 >= next_tick:
                    next_tick = (np.floor(time_s * rate_hz + 1e-6) + 1) / rate_hz
                    yield Frame(time_s, _upright(frame, side))


def _upright(frame: VideoFrame, side: int) -> npt.NDArray[np.uint8]:
    scale = min(1.0, side / max(frame.width, frame.height))
    image: npt.NDArray[np.uint8] = frame.to_ndarray(
        format="rgb24",
        width=max(2, round(frame.width * scale)),
        height=max(2, round(frame.height * scale)),
        threads=1,
    ).astype(np.uint8, copy=False)
    turns = (frame.rotation // 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _is_silk(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(10).startswith(SILK_HEADERS)


def _is_cut_wave(path: Path) -> bool:
    """FFmpeg believes the file's size; only the RIFF header knows what was meant."""
    with path.open("rb") as stream:
        header = stream.read(12)
    if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
        return False
    meant = int.from_bytes(header[4:8], "little")
    # 0 and all ones are what a recorder writes that does not know the length yet
    return 0 < meant < 0xFFFFFFFF and path.stat().st_size < 0.99 * (meant + 8)


def _from_silk(path: Path, config: RecordingConfig) -> Recording:
    """SILK, the voice format of WeChat clients. Its decoder accepts garbage: check what comes."""
    decoded = io.BytesIO()
    try:
        pysilk.decode(io.BytesIO(path.read_bytes()), decoded, SAMPLE_RATE)
    except Exception as error:  # the library raises bare C errors
        raise UnusableRecording("not_media", "The SILK recording cannot be decoded.") from error
    samples = np.frombuffer(decoded.getvalue(), dtype="<i2")
    waveform = samples.astype(np.float32) / np.float32(32768)
    duration_s = len(waveform) / SAMPLE_RATE
    if duration_s < config.min_duration_s:
        raise _too_short(duration_s, config)
    if duration_s > config.max_duration_s:
        raise _too_long(duration_s, config)
    return Recording(
        path=path,
        sha256=file_sha256(path),
        duration_s=duration_s,
        waveform=waveform,
        audio_problem=None,
        video_problem=("no_video", "The recording has no video track."),
        width=None,
        height=None,
    )
