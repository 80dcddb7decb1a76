"""The usual stack: transformers Whisper, librosa.pyin, MediaPipe on every frame.

Where a choice could be made it favours the peer: greedy decoding, no voice activity, no
head, pyin's coarse default step, one face landmarker that looks for one face, as many torch
threads as are fastest at the moment, nothing compiled or loaded inside the measured time.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np

from bench.measure import timed
from data.assets import fetch
from data.contract import SAMPLE_RATE
from data.recording import Waveform, open_recording

INSTALL = "make bench (or pip install -c configs/constraints.txt -e '.[serve,train,bench]')"

WINDOW_S = 30
"""Whisper in transformers encodes windows of 30 s, the last one padded."""

F0_HZ = (65.0, 500.0)

START, END, FIRST_TEXT = 50258, 50257, 50364
"""Whisper base, multilingual: start of transcript, end of text, first id after the special ones."""


ALIGNMENT_HEADS = [[3, 1], [4, 2], [4, 3], [4, 7], [5, 1], [5, 2], [5, 4], [5, 6]]
"""Whisper base: layer and head of the cross attention that words are timed by."""


def missing() -> list[str]:
    """Packages of the usual stack that are not installed."""
    return [name for name in ("transformers", "torch", "librosa", "cv2") if find_spec(name) is None]


@dataclass(frozen=True)
class PeerRun:
    """Seconds of each part, one after the other. frames : pictures looked at."""

    sound_s: float
    words_s: float
    pitch_s: float
    face_s: float
    frames: int

    @property
    def total_s(self) -> float:
        """Seconds of the whole."""
        return self.sound_s + self.words_s + self.pitch_s + self.face_s


class Peer:
    """The three models, loaded and warm. A context manager: the landmarker must be closed."""

    def __init__(self, tokens_per_window: int) -> None:
        """tokens_per_window : tokens that each 30 s window is made to generate."""
        self.tokens = tokens_per_window
        self.whisper, self.log_mel = _whisper()
        self.landmarker = landmarker()
        self.threads = 1
        self._clock_ms = 0
        self._warm()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.landmarker.close()

    def run(self, path: Path) -> PeerRun:
        """Everything once, part after part."""
        waveform, sound_s = timed(lambda: open_recording(path).waveform)
        assert waveform is not None, "the measured recording has sound"
        _, words_s = timed(lambda: self.words(waveform))
        _, pitch_s = timed(lambda: self.pitch(waveform))
        frames, face_s = timed(lambda: self.faces(path))
        return PeerRun(sound_s, words_s, pitch_s, face_s, frames)

    def words(self, waveform: Waveform, tokens: int | None = None) -> int:
        """Tokens generated with their times, `tokens` for each window of 30 s."""
        import torch

        wanted, generated = tokens or self.tokens, 0
        for start in range(0, len(waveform), WINDOW_S * SAMPLE_RATE):
            piece = waveform[start : start + WINDOW_S * SAMPLE_RATE]
            mel = self.log_mel(piece, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            with torch.inference_mode():
                found = self.whisper.generate(
                    mel.input_features,
                    min_new_tokens=wanted,
                    max_new_tokens=wanted,
                    num_beams=1,
                    do_sample=False,
                    use_cache=True,
                    return_dict_in_generate=True,
                    return_token_timestamps=True,
                )
            generated += int(found["sequences"].shape[-1])
        return generated

    def pitch(self, waveform: Waveform) -> float:
        """Median F0 in Hz."""
        import librosa

        low_hz, high_hz = F0_HZ
        f0_hz, _, _ = librosa.pyin(waveform, fmin=low_hz, fmax=high_hz, sr=SAMPLE_RATE)
        return float(np.nanmedian(f0_hz)) if np.isfinite(f0_hz).any() else float("nan")

    def faces(self, path: Path, most: int | None = None) -> int:
        """Frames looked at: all of them, or the first `most`."""
        import cv2
        import mediapipe as mp

        video = cv2.VideoCapture(str(path))
        looked = 0
        try:
            while looked != most:
                read, picture = video.read()
                if not read:
                    break
                image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                self._clock_ms += 33  # must increase, also from one recording to the next
                self.landmarker.detect_for_video(
                    mp.Image(image_format=mp.ImageFormat.SRGB, data=image), self._clock_ms
                )
                looked += 1
        finally:
            video.release()
        return looked

    def _warm(self) -> None:
        """librosa compiles pyin at its first call; torch and MediaPipe allocate at theirs."""
        second = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
        self.pitch(second)
        self.words(second, tokens=2)

    def choose_threads(self) -> None:
        """Let torch use as many threads as are fastest now; call it before each `run`.

        Where other work holds a core, torch's threads wait for each other hundreds of times
        a token: twenty times slower with two than with one was seen.
        """
        import torch

        waveform, seconds = np.zeros(SAMPLE_RATE, np.float32), {}
        for self.threads in (os.cpu_count() or 1, 1):
            torch.set_num_threads(self.threads)
            seconds[self.threads] = timed(lambda: self.words(waveform, tokens=6))[1]
        self.threads = min(seconds, key=seconds.__getitem__)
        torch.set_num_threads(self.threads)


def _whisper() -> tuple[Any, Any]:
    """Whisper base with random weights, float32, and what makes its input.

    A hub need not be reachable, and time does not depend on the values of the weights.
    """
    import torch

    transformers: Any = import_module("transformers")  # half of what is called has no types
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=51865,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        num_mel_bins=80,
    )
    model = transformers.WhisperForConditionalGeneration(config).float().eval()
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=START,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        suppress_tokens=list(range(END, FIRST_TEXT)),
        max_length=448,
        return_timestamps=False,
        is_multilingual=False,
        alignment_heads=ALIGNMENT_HEADS,
        median_filter_width=7,
    )
    return model, transformers.WhisperFeatureExtractor(feature_size=80)


def landmarker() -> Any:
    """FaceLandmarker as its guide shows it for video: one face, blendshapes, pose."""
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(fetch("face_landmarker.task"))),
        running_mode=vision.RunningMode.VIDEO,
        num_faces=1,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    return vision.FaceLandmarker.create_from_options(options)
