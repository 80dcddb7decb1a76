"""Waveform → where someone speaks, and one encoder pass that words and speech share.

The level is normalised first, so gain changes nothing downstream. Speech is cut into
windows at its pauses; each window is encoded once by Whisper's encoder with silence
behind it (without at least some seconds of silence its decoder invents words).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import ctranslate2
import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.vad import VadOptions, get_speech_timestamps
from pydantic import Field
from scipy.ndimage import median_filter

import configs
from data import assets, decoder, encoder
from data.contract import SAMPLE_RATE, SPEECH_LAYERS, Record
from data.decoder import Decoder
from data.encoder import Encoder, Precision
from data.recording import Waveform

ENCODER_RATE = 50
"""Encoder outputs a second."""

Item = TypeVar("Item")
Result = TypeVar("Result")

Segment = tuple[float, float]
"""(start, end) in seconds from the start of the recording."""


class ListeningConfig(Record):
    """configs/listening.yaml."""

    encoder: str = Field(description="asset name, or a folder with a CTranslate2 Whisper")
    compute_type: Precision
    window_s: float = Field(gt=0, le=25, description="longest piece encoded at once")
    padding_s: float = Field(ge=0, description="silence behind each window")
    margin_s: float = Field(ge=0, description="sound kept before and after each window")
    min_pause_s: float = Field(gt=0, description="a silence this long separates two segments")
    min_segment_s: float = Field(gt=0, description="speech shorter than this is noise")
    level_db: float = Field(description="level the loud frames are brought to, dBFS")
    sounding_db: float = Field(
        gt=0, description="quieter than the loudest by more is not this person's speech"
    )
    silence_db: float = Field(description="loud frames below this are silence, dBFS")


@dataclass(frozen=True)
class Window:
    """A stretch of the recording and its encoder output.

    encoding : (1, frames, width) of the last layer as CTranslate2 keeps it, padding included
    states : (SPEECH_LAYERS, outputs, width) at ENCODER_RATE, only the stretch itself
    """

    start_s: float
    end_s: float
    encoding: ctranslate2.StorageView
    states: npt.NDArray[np.float16]


@dataclass(frozen=True)
class Listening:
    """What was heard: `segments` of speech and the encoded `windows` that hold them.

    waveform : level-normalised
    """

    waveform: Waveform
    segments: tuple[Segment, ...]
    windows: tuple[Window, ...]


def identity(config: ListeningConfig | None = None) -> str:
    """Encoder and settings in one word: what features and caches depend on."""
    config = config or configs.load("listening", ListeningConfig)
    digest = hashlib.sha256(
        f"{config.model_dump_json()} {encoder.GRAPH} {decoder.GRAPH}".encode()
    ).hexdigest()[:8]
    return f"{Path(config.encoder).name}-{config.compute_type}-{digest}"


def encoder_folder(config: ListeningConfig) -> Path:
    """Folder of the Whisper that listens, fetched if need be."""
    folder = Path(config.encoder)
    return folder if folder.is_dir() else assets.fetch(config.encoder)


class Listener:
    """Voice activity and encoder, loaded once."""

    def __init__(self, config: ListeningConfig | None = None, at_once: int = 2) -> None:
        """at_once : windows worked on side by side, one thread each.

        More threads for a window would wait for each other: with two of them and another
        process on the machine, 40 s took 28 CPU s for 11.
        """
        self.at_once = at_once
        self.config = config or configs.load("listening", ListeningConfig)
        self.folder = encoder_folder(self.config)
        self.whisper = WhisperModel(
            str(self.folder),
            device="cpu",
            compute_type=self.config.compute_type,
            cpu_threads=1,
            num_workers=at_once,
            local_files_only=True,
        )

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """`work` of every item, in their order, `at_once` of them side by side."""
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(work, items))

    @cached_property
    def encoder(self) -> Encoder:
        """Gives every layer, for the words and for the speech model."""
        return Encoder(self.folder, self.config.compute_type)

    @cached_property
    def decoder(self) -> Decoder:
        """Tells how sure the words are, token by token."""
        return Decoder(self.folder, self.config.compute_type)

    def listen(self, waveform: Waveform) -> Listening:
        """Segments and encoded windows; both empty where nobody speaks."""
        level_db = loud_level_db(waveform, self.config.sounding_db)
        if level_db < self.config.silence_db:
            return Listening(waveform, (), ())
        gain = 10 ** ((self.config.level_db - level_db) / 20)
        normalised = (waveform * gain).astype(np.float32)
        segments = self._segments(normalised)
        stretches = cut_at_pauses(segments, longest_s=self.config.window_s)
        windows = self.each(lambda stretch: self._window(normalised, stretch), stretches)
        return Listening(normalised, segments, tuple(windows))

    def _segments(self, waveform: Waveform) -> tuple[Segment, ...]:
        options = VadOptions(
            min_silence_duration_ms=round(self.config.min_pause_s * 1000),
            min_speech_duration_ms=round(self.config.min_segment_s * 1000),
            speech_pad_ms=0,
        )
        found = get_speech_timestamps(waveform, options)
        return tuple((part["start"] / SAMPLE_RATE, part["end"] / SAMPLE_RATE) for part in found)

    def mel(self, waveform: Waveform, stretch: Segment) -> npt.NDArray[np.float32]:
        """(bands, frames) of the stretch, with silence behind it; frames are even."""
        start_s, end_s = stretch
        piece = waveform[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)]
        silence = np.zeros(int(self.config.padding_s * SAMPLE_RATE), dtype=np.float32)
        mel = self.whisper.feature_extractor(np.concatenate([piece, silence]), padding=0)
        return np.ascontiguousarray(mel[:, : mel.shape[1] // 2 * 2])

    def _window(self, waveform: Waveform, stretch: Segment) -> Window:
        """The stretch of a level-normalised waveform with a margin around it, encoded alone."""
        margin_s, last_s = self.config.margin_s, len(waveform) / SAMPLE_RATE
        start_s = max(0.0, stretch[0] - margin_s)
        end_s = min(last_s, stretch[1] + margin_s)
        layers = self.encoder(self.mel(waveform, (start_s, end_s)))
        outputs = max(1, round((end_s - start_s) * ENCODER_RATE))
        states = layers[np.array(SPEECH_LAYERS) - 1, :outputs].astype(np.float16)
        encoding = ctranslate2.StorageView.from_array(np.ascontiguousarray(layers[-1:]))
        return Window(start_s, end_s, encoding, states)


def loud_level_db(waveform: Waveform, sounding_db: float) -> float:
    """Level of the loud tenth of what sounds, dBFS of 20 ms frames; -inf for digital silence.

    What sounds lies within `sounding_db` of the loudest tenth of a second, so that
    neither a click nor minutes of silence around a short answer move the level.
    """
    size = SAMPLE_RATE // 50
    if len(waveform) < size:
        return float("-inf")
    frames = waveform[: len(waveform) // size * size].reshape(-1, size)
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    loudest = float(median_filter(power, size=5, mode="nearest").max())
    if loudest <= 0:
        return float("-inf")
    sounding = power[power > loudest * 10 ** (-sounding_db / 10)]
    return float(10 * np.log10(np.percentile(sounding, 90)))


def cut_at_pauses(segments: Sequence[Segment], *, longest_s: float) -> list[Segment]:
    """Stretches from speech to speech, each at most `longest_s`, cut at the longest pause.

    A segment that has no pause and is longer is cut into equal parts.
    """
    if not segments:
        return []
    start_s, end_s = segments[0][0], segments[-1][1]
    if end_s - start_s <= longest_s:
        return [(start_s, end_s)]
    if len(segments) == 1:
        edges = np.linspace(start_s, end_s, int(np.ceil((end_s - start_s) / longest_s)) + 1)
        return [(float(a), float(b)) for a, b in pairwise(edges)]
    pauses = [after[0] - before[1] for before, after in pairwise(segments)]
    middle = (start_s + end_s) / 2
    reach_s = end_s - start_s

    def worth(i: int) -> float:
        """Long pauses first; among like ones the nearer to the middle."""
        centre = (segments[i][1] + segments[i + 1][0]) / 2
        return pauses[i] * (1 - abs(centre - middle) / reach_s)

    cut = max(range(len(pauses)), key=worth) + 1
    return [
        *cut_at_pauses(segments[:cut], longest_s=longest_s),
        *cut_at_pauses(segments[cut:], longest_s=longest_s),
    ]
