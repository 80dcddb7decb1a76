"""The same answer recorded worse: level, noise, other voices, codec, silence, room and speed.

What a version says under each is told in its card, how poor a signal widens its intervals is
learned from it, and versions learn to score under those that leave one person speaking.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
import torchaudio.functional as ops

import configs
from data.contract import SAMPLE_RATE, Record
from data.recording import RecordingConfig, Waveform, open_recording


class Codec(Record):
    """How a file is written. bit_rate : bits a second; 0: the encoder's own."""

    name: str
    suffix: str
    sample_rate: int
    layout: str = "mono"
    bit_rate: int = 0


AMR = Codec(name="libopencore_amrnb", suffix=".amr", sample_rate=8000, bit_rate=12_200)
OPUS = Codec(name="libopus", suffix=".ogg", sample_rate=16_000, bit_rate=16_000)
AAC = Codec(name="aac", suffix=".m4a", sample_rate=8000, layout="stereo", bit_rate=32_000)
"""WeChat: an official account's voice message, a browser's recorder at its least, and the
recorder of a mini-program as it is set without a word."""


@dataclass(frozen=True)
class Others:
    """Who else may be heard. babble : many at once; talker : one at a time."""

    babble: Waveform
    talker: Waveform


@dataclass(frozen=True)
class Condition:
    """A way to record worse.

    change : waveform, who else may be heard, seed → waveform
    learned : whether versions learn from it too: not where little is left of it after the
        level is normalised and silence is cut, nor where two people speak
    """

    name: str
    change: Callable[[Waveform, Others, int], Waveform]
    codec: bool = False
    learned: bool = True


def _gained(waveform: Waveform, others: Others, seed: int, *, gain_db: float) -> Waveform:
    """Louder may clip, as it does in a microphone."""
    louder: Waveform = np.clip(waveform * 10 ** (gain_db / 20), -1, 1).astype(np.float32)
    return louder


def _noisy(waveform: Waveform, others: Others, seed: int, *, snr_db: float) -> Waveform:
    noise = np.random.default_rng(seed).normal(size=len(waveform)).astype(np.float32)
    return _mixed(waveform, noise, snr_db)


def _babbling(waveform: Waveform, others: Others, seed: int, *, snr_db: float) -> Waveform:
    return _mixed(waveform, _from_somewhere(others.babble, len(waveform), seed), snr_db)


def _talked_over(waveform: Waveform, others: Others, seed: int, *, snr_db: float) -> Waveform:
    return _mixed(waveform, _from_somewhere(others.talker, len(waveform), seed), snr_db)


def _from_somewhere(sound: Waveform, length: int, seed: int) -> Waveform:
    first = np.random.default_rng(seed).integers(len(sound))
    return np.resize(np.roll(sound, -first), length)


def _mixed(waveform: Waveform, noise: Waveform, snr_db: float) -> Waveform:
    """Noise from the first sample to the last, relative to the mean power of the recording."""
    tensors = [torch.from_numpy(a.astype(np.float32))[None] for a in (waveform, noise)]
    mixed = ops.add_noise(*tensors, torch.tensor([float(snr_db)]))[0].numpy()
    return _unclipped(mixed)


def _unclipped(waveform: Waveform) -> Waveform:
    peak = float(np.abs(waveform).max())
    return (waveform * (0.99 / peak) if peak > 0.99 else waveform).astype(np.float32)


def _silent_ends(waveform: Waveform, others: Others, seed: int) -> Waveform:
    silence = np.zeros(3 * SAMPLE_RATE, np.float32)
    return np.concatenate([silence, waveform, silence])


REVERBERATION_S = 0.4
"""Time in which the sound of a furnished room falls by 60 dB."""


def _in_room(waveform: Waveform, others: Others, seed: int) -> Waveform:
    """Noise that dies away behind a direct sound of the same energy (Polack 1988)."""
    times_s = np.arange(round(REVERBERATION_S * SAMPLE_RATE)) / SAMPLE_RATE
    tail = np.random.default_rng(seed).normal(size=len(times_s))
    tail *= 10 ** (-3 * times_s / REVERBERATION_S)
    tail[: SAMPLE_RATE // 200] = 0  # the first reflection comes after 5 ms
    tail /= np.sqrt((tail**2).sum())
    tail[0] = 1
    tensors = [torch.from_numpy(a.astype(np.float32)) for a in (waveform, tail)]
    return _unclipped(ops.fftconvolve(*tensors)[: len(waveform)].numpy())


def _at_speed(waveform: Waveform, others: Others, seed: int, *, factor: float) -> Waveform:
    """Tempo and pitch together, as a recorder whose clock is wrong."""
    changed, _ = ops.speed(torch.from_numpy(waveform)[None], SAMPLE_RATE, factor)
    faster: Waveform = changed[0].numpy()
    return faster


def opened(path: Path) -> Waveform | None:
    """The sound of a file, however short; None where it has none."""
    config = configs.load("recording", RecordingConfig, min_duration_s=0.1)
    return open_recording(path, config).waveform


def _coded(waveform: Waveform, others: Others, seed: int, *, codec: Codec) -> Waveform:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"answer{codec.suffix}"
        encode(waveform, path, codec)
        found = opened(path)
    assert found is not None, "a file of sound has sound"
    return found


def encode(waveform: Waveform, path: Path, codec: Codec) -> None:
    """The waveform as a file of that codec."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec.name, rate=codec.sample_rate)
        assert isinstance(stream, av.AudioStream), f"{codec.name} is no codec of sound"
        stream.layout = codec.layout
        if codec.bit_rate:
            stream.bit_rate = codec.bit_rate
        samples = (np.clip(waveform, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 0
        resampler = av.AudioResampler(
            format=stream.format.name, layout=codec.layout, rate=codec.sample_rate,
            frame_size=stream.codec_context.frame_size or None,
        )  # fmt: skip
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


CONDITIONS = (
    *(Condition(f"gain {g:+d} dB", partial(_gained, gain_db=g), learned=False) for g in (12, -12)),
    *(Condition(f"white noise {n} dB", partial(_noisy, snr_db=n)) for n in (20, 10, 5)),
    *(Condition(f"babble {n} dB", partial(_babbling, snr_db=n)) for n in (20, 10, 5)),
    *(
        Condition(f"another voice {n} dB", partial(_talked_over, snr_db=n), learned=False)
        for n in (20, 10, 0)
    ),
    Condition("AMR 12.2 kbit/s", partial(_coded, codec=AMR), codec=True),
    Condition("Opus 16 kbit/s", partial(_coded, codec=OPUS), codec=True),
    Condition("AAC 8 kHz stereo", partial(_coded, codec=AAC), codec=True),
    Condition("3 s of silence at both ends", _silent_ends, learned=False),
    Condition("room, 0.4 s", _in_room),
    *(Condition(f"speed {f:.2f}", partial(_at_speed, factor=f)) for f in (0.95, 1.05)),
)
