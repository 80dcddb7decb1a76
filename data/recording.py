"""Media file → waveform, frames and what the recording allows.

PyAV's FFmpeg reads the containers of `CONTAINERS`, SILK has its own library. Audio and
video are read in two passes over the file, each in order, so an hour of video never
sits in memory.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pysilk
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame
from pydantic import Field

import configs
from data.assets import file_sha256
from data.contract import SAMPLE_RATE, Quality, Record, UnusableRecording
from data.truncation import ends_early, states_length

Waveform = npt.NDArray[np.float32]
"""(samples,) mono at SAMPLE_RATE, full scale is 1."""

Image = npt.NDArray[np.uint8]

CONTAINERS = ("mov", "matroska", "mp3", "wav", "flac", "ogg", "amr", "aac")
"""FFmpeg's names: mov is mp4, m4a and 3gp too, matroska is webm. Others are not opened:
its playlists (HLS, concat) would read other files of this machine, or of the net."""

CLOCKED = ("mov", "matroska", "ogg")
"""Those that keep the time of each packet. In the others FFmpeg counts the packets that it
finds, and what is missing is damage."""

FROM_ZERO = ("matroska", "ogg")
"""Those that state the time they end at, wherever they start; mov states how long it lasts."""

GAP_S = 0.05
"""A track that starts later than this, or pauses for longer (muted, lost on the way, silence
that was not sent), is filled with silence. Delays of encoders and rounded times are shorter."""

ROUNDED_S = 0.002
"""Matroska keeps times in whole milliseconds, so frames may seem to come before their tick."""

Problem = tuple[str, str]
"""(code, sentence) why a track is not used."""

NO_AUDIO_TRACK = ("no_audio_track", "The recording has no audio track.")

RATES_HZ = (4_000, 384_000)
"""Lowest and highest sample rate that is resampled; a rate of a gigahertz in the header of a
small file takes the resampler a minute."""

CHANNELS = 8
"""Most that are averaged: PyAV reads past the end of a frame that has more, and crashes."""

SILK_HEADERS = (b"#!SILK_V3", b"\x02#!SILK_V3")
SILK_PACKET_S = 0.02
"""Shortest a SILK packet decodes to; an empty one is filled in."""

SPECTRA = 1000
"""Computed at once: 20 MB. Those of 800 s at once took 410."""

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
    """One picture, upright; converted to RGB only where it is looked at.

    picture : as decoded, or (height, width, 3) uint8 RGB
    side : longest side `image` is scaled down to, pixels
    """

    time_s: float
    picture: VideoFrame | Image = field(repr=False)
    side: int = 0

    @cached_property
    def image(self) -> Image:
        """(height, width, 3) uint8 RGB."""
        if isinstance(self.picture, np.ndarray):
            return self.picture
        width, height = self.picture.width, self.picture.height
        scale = min(1.0, self.side / max(width, height))
        image = self.picture.to_ndarray(
            format="rgb24",
            width=max(2, round(width * scale)),
            height=max(2, round(height * scale)),
            threads=1,
        )
        return _turned(image.astype(np.uint8, copy=False), self.picture.rotation)

    @property
    def luma(self) -> Image:
        """(height, width) uint8 in the size that was recorded; cheap: nothing is converted."""
        if isinstance(self.picture, np.ndarray):
            return self.picture[..., 1]
        layout = self.picture.format
        if layout.is_rgb or not layout.is_planar or layout.components[0].bits != 8:
            return self.image[..., 1]
        plane = self.picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        return _turned(rows[:, : plane.width], self.picture.rotation)


def _turned(image: Image, rotation: int) -> Image:
    turns = (rotation // 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


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
    audio_problem: Problem | None
    video_problem: Problem | None
    width: int | None
    height: int | None
    config: RecordingConfig = field(repr=False)

    def frames(self, rate_hz: float) -> Iterator[Frame]:
        """Frames nearest after each tick of `rate_hz`, in order; nothing without video.

        Their times and the waveform's count from where the first of both starts. They end
        where the picture cannot be read on, and at `max_duration_s`.
        """
        if self.video_problem is None:
            yield from thinned(_frames(self.path, self.config), rate_hz)


@dataclass(frozen=True)
class _Tracks:
    """What a container says of itself. *_s : where it and its sound end, counted from where the
    recording starts; None where it does not say.
    """

    audio_problem: Problem | None
    video_problem: Problem | None
    width: int | None
    height: int | None
    stated_s: float | None
    stated_audio_s: float | None


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
    tracks = _tracks(path, config)
    if tracks.stated_s is not None and tracks.stated_s > config.max_duration_s:
        raise _too_long(tracks.stated_s, config)
    sound, reached_s = _read(path, config)
    waveform, audio_problem = sound.waveform, tracks.audio_problem
    if waveform is None and audio_problem is None:
        audio_problem = ("no_audio", "The audio track holds no sound that can be decoded.")
    _require_whole(path, tracks, sound, reached_s, config)
    duration_s = sound.duration_s or tracks.stated_s or reached_s
    if waveform is not None and duration_s < config.min_duration_s:
        raise _too_short(duration_s, config)
    return Recording(
        path=path,
        sha256=file_sha256(path),
        duration_s=duration_s,
        waveform=waveform,
        audio_problem=audio_problem,
        video_problem=tracks.video_problem,
        width=tracks.width,
        height=tracks.height,
        config=config,
    )


def audio_quality(waveform: Waveform, segments: list[tuple[float, float]]) -> dict[str, float]:
    """Clipping, signal-to-noise and bandwidth of the parts where someone speaks.

    segments : (start, end) of speech in seconds; without any, clipping is of the whole
    snr_db : level of speech over level outside it, at most 60; absent when less than
        0.3 s lies outside speech
    """
    spoken = np.zeros(len(waveform), dtype=bool)
    for start_s, end_s in segments:
        spoken[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)] = True
    heard = waveform[spoken] if spoken.any() else waveform
    quality = {
        "clipping_ratio": float(np.mean(np.abs(heard) >= FULL_SCALE)),
        "speech_s": float(spoken.sum() / SAMPLE_RATE),
    }
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
    power = np.zeros(size // 2 + 1)
    for first in range(0, len(frames), SPECTRA):
        block = frames[first : first + SPECTRA] * np.hanning(size)
        power += np.sum(np.abs(np.fft.rfft(block, axis=1)) ** 2, axis=0)
    level_db = 10 * np.log10(np.maximum(power, 1e-20) / max(float(power.max()), 1e-20))
    return float(np.flatnonzero(level_db > floor_db)[-1] * SAMPLE_RATE / size)


def _open(path: Path) -> av.container.InputContainer:
    allowed = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
    try:
        return av.open(
            f"file:{path.resolve()}", container_options=allowed, metadata_errors="replace"
        )
    except (av.FFmpegError, OSError) as error:
        raise UnusableRecording(
            "not_media",
            "The file is not a recording that can be read, or it is cut off before its index. "
            "Send mp4, webm, mov, m4a, mp3, aac, wav, flac, ogg, opus, amr or silk.",
        ) from error


def _tracks(path: Path, config: RecordingConfig) -> _Tracks:
    with _open(path) as container:
        audio = next(iter(container.streams.audio), None)
        video = next(iter(container.streams.video), None)
        if audio is None and video is None:
            raise UnusableRecording("no_tracks", "The file has neither audio nor video.")
        stated = states_length(path, container.format.name)
        size = None if video is None or video.codec_context is None else (video.width, video.height)
        return _Tracks(
            audio_problem=None
            if audio
            else ("no_audio_track", "The recording has no audio track."),
            video_problem=_video_problem(video is not None, size, config),
            width=size[0] if size else None,
            height=size[1] if size else None,
            stated_s=_stated_s(container) if stated else None,
            stated_audio_s=_stated_audio_s(audio, container) if stated and audio else None,
        )


def _is_one_of(names: tuple[str, ...], container: av.container.InputContainer) -> bool:
    return not set(names).isdisjoint(container.format.name.split(","))


def _origin_s(container: av.container.InputContainer) -> float:
    """Time at which the first of the tracks that are read starts: second 0 of the recording."""
    used = [*container.streams.audio[:1], *container.streams.video[:1]]
    return min((start_s for stream in used if (start_s := _start_s(stream)) is not None), default=0)


def _start_s(stream: av.stream.Stream) -> float | None:
    if stream.start_time is None or stream.time_base is None:
        return None
    return float(stream.start_time * stream.time_base)


def _stated_s(container: av.container.InputContainer) -> float | None:
    if not container.duration:
        return None
    starts_s = _origin_s(container) if _is_one_of(FROM_ZERO, container) else 0.0
    return container.duration / av.time_base - starts_s


def _stated_audio_s(stream: av.AudioStream, container: av.container.InputContainer) -> float | None:
    if stream.duration is None or stream.time_base is None:
        return None
    starts_s = 0.0 if _is_one_of(FROM_ZERO, container) else _start_s(stream) or 0.0
    return starts_s + float(stream.duration * stream.time_base) - _origin_s(container)


def _require_whole(
    path: Path, tracks: _Tracks, sound: _Sound, reached_s: float, config: RecordingConfig
) -> None:
    """Raises UnusableRecording where the file says it is longer than what could be read.

    Silence that was not sent counts as read, sound that is damaged does not.
    """
    if ends_early(path):
        raise UnusableRecording(
            "truncated", "The file breaks off in the middle of its data. Send it again."
        )
    stated_s, read_s = tracks.stated_s, reached_s
    if tracks.stated_audio_s and sound.duration_s:
        stated_s, read_s = tracks.stated_audio_s, sound.duration_s
    read_s -= sound.lost_s
    if stated_s and read_s < config.truncated_below * stated_s:
        raise UnusableRecording(
            "truncated",
            f"The file says it lasts {stated_s:.1f} s but only {read_s:.1f} s could be read; it "
            "was cut off on the way. Send it again.",
        )


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
    has_track: bool, size: tuple[int, int] | None, config: RecordingConfig
) -> Problem | None:
    """size : (width, height), None where nothing here decodes the track."""
    if not has_track:
        return "no_video", "The recording has no video track."
    if size is None:
        return "no_video", "The video track is in a format that cannot be decoded."
    width, height = size
    if width * height > config.max_pixels:
        return (
            "video_too_large",
            f"The video has {width}×{height} pixels; at most {config.max_pixels} pixels a frame "
            "are read. The sound is scored, the picture is not.",
        )
    if width * height == 0:
        return "no_video", "The video track has no picture."
    return None


class _Sound:
    """Decoded frames, whose format may change on the way → one waveform.

    Silence stands where nothing was sent. Sound whose time lies before the end of what came
    before it is a clock that went back: it follows, nothing is dropped.

    origin_s : time of the waveform's first sample; None where frames have no times of their own
    lost_s : seconds of packets that could not be decoded and have silence in their place
    """

    def __init__(self, origin_s: float | None, config: RecordingConfig) -> None:
        self.lost_s = 0.0
        self._origin_s = origin_s
        self._config = config
        self._end_s = 0.0
        self._format: tuple[str, str, int] | None = None
        self._resampler: AudioResampler | None = None
        self._blocks: list[Waveform] = []
        self._samples = 0

    @property
    def duration_s(self) -> float:
        return self._samples / SAMPLE_RATE

    @property
    def waveform(self) -> Waveform | None:
        """Mean of the channels; None where nothing was decoded."""
        if not self._samples:
            return None
        return np.concatenate(self._blocks).astype(np.float32, copy=False)

    def add(self, packet: av.Packet[Any]) -> None:
        try:
            for frame in packet.decode():
                if isinstance(frame, AudioFrame) and _is_plausible(frame):
                    self._add(frame)
        except av.FFmpegError:
            if self._origin_s is not None:
                self.lost_s += _length_s(packet)

    def _add(self, frame: AudioFrame) -> None:
        if self._origin_s is not None and frame.time is not None:
            self._fill(frame.time - self._origin_s)
        found = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or found != self._format:
            self.finish()
            self._resampler = AudioResampler(format="fltp", rate=SAMPLE_RATE)
            self._format = found
        self._keep(self._resampler.resample(frame))
        self._end_s += frame.samples / frame.sample_rate

    def _fill(self, time_s: float) -> None:
        """Silence up to `time_s`, where the sound so far ends before. Raises too_long."""
        if time_s > self._config.max_duration_s:
            raise _too_long(time_s, self._config)
        if time_s - self._end_s <= GAP_S:
            return
        self.finish()
        missing = max(0, round(time_s * SAMPLE_RATE) - self._samples)
        self._blocks.append(np.zeros(missing, np.float32))
        self._samples += missing
        self._end_s = time_s

    def finish(self) -> None:
        """Take what the resampler still holds."""
        if self._resampler is not None:
            self._keep(self._resampler.resample(None))
            self._resampler = None

    def _keep(self, blocks: list[AudioFrame]) -> None:
        for block in blocks:
            self._blocks.append(block.to_ndarray().mean(axis=0))
            self._samples += len(self._blocks[-1])


def _is_plausible(frame: AudioFrame) -> bool:
    low, high = RATES_HZ
    return low <= frame.sample_rate <= high and frame.layout.nb_channels <= CHANNELS


def _read(path: Path, config: RecordingConfig) -> tuple[_Sound, float]:
    """The sound, and the time the last packet of sound or picture ends; broken ones are skipped."""
    reached_s = 0.0
    try:
        with _open(path) as container:
            used = [*container.streams.audio[:1], *container.streams.video[:1]]
            origin_s = _origin_s(container)
            sound = _Sound(origin_s if _is_one_of(CLOCKED, container) else None, config)
            for packet in container.demux(used):
                reached_s = max(reached_s, _end_s(packet) - origin_s)
                if packet.stream.type == "audio":
                    sound.add(packet)
                if max(sound.duration_s, reached_s) > config.max_duration_s:
                    raise _too_long(max(sound.duration_s, reached_s), config)
        sound.finish()
    except av.FFmpegError as error:
        raise UnusableRecording(
            "truncated",
            f"The file is damaged: only its first {reached_s:.1f} s can be read. Send it again.",
        ) from error
    return sound, reached_s


def _end_s(packet: av.Packet[Any]) -> float:
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float(packet.pts * packet.time_base) + _length_s(packet)


def _length_s(packet: av.Packet[Any]) -> float:
    return float((packet.duration or 0) * packet.time_base) if packet.time_base else 0.0


def thinned(frames: Iterable[Frame], rate_hz: float) -> Iterator[Frame]:
    """Of frames in order, the first after each tick of `rate_hz`."""
    next_tick = 0.0
    for frame in frames:
        if frame.time_s + ROUNDED_S >= next_tick:
            next_tick = (np.floor((frame.time_s + ROUNDED_S) * rate_hz) + 1) / rate_hz
            yield frame


def _frames(path: Path, config: RecordingConfig) -> Iterator[Frame]:
    with contextlib.suppress(av.FFmpegError), _open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # the other cores listen; threads cost a third more
        stream.codec_context.options = {"max_pixels": str(config.max_pixels)}
        origin_s = _origin_s(container)
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                continue
            for frame in decoded:
                if frame.time is None:
                    continue
                time_s = frame.time - origin_s
                if time_s > config.max_duration_s:
                    return
                yield Frame(time_s, frame, config.frame_side)


def _is_silk(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(10).startswith(SILK_HEADERS)


def _from_silk(path: Path, config: RecordingConfig) -> Recording:
    """SILK, the voice format of WeChat clients. Its decoder accepts garbage: check what comes."""
    coded = path.read_bytes()
    _require_whole_silk(coded, config)
    decoded = io.BytesIO()
    try:
        pysilk.decode(io.BytesIO(coded), decoded, SAMPLE_RATE)
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
        video_problem=_video_problem(False, None, config),
        width=None,
        height=None,
        config=config,
    )


def _require_whole_silk(coded: bytes, config: RecordingConfig) -> None:
    """Raises too_long or truncated from the lengths of the packets, before any is decoded."""
    at, packets = coded.index(b"V3") + 2, 0
    while at + 2 <= len(coded):
        length = int.from_bytes(coded[at : at + 2], "little", signed=True)
        if length < 0:  # the mark of the end
            return
        at += 2 + length
        packets += 1
        if packets * SILK_PACKET_S > config.max_duration_s:
            raise _too_long(packets * SILK_PACKET_S, config)
    if at != len(coded):
        raise UnusableRecording("truncated", "The SILK recording breaks off. Send it again.")
