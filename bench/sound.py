"""Seconds to score a minute of speech without a picture, warm, and where they go."""

from __future__ import annotations

import tempfile
import time
import wave
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.progress import track

from bench.measure import REQUEST, console, spread, starter_state, timed
from data.console import console as aside
from data.contract import SAMPLE_RATE
from data.recording import Waveform, open_recording
from data.speech import sound_of, speech_features

if TYPE_CHECKING:
    from serving.scorer import Scorer

SECONDS = 60.0

GOAL_S = 4.0
"""For a minute on 2 cores."""


def sound(path: Path, repeats: int) -> dict[str, object]:
    """Print and return what scoring takes, and what its steps take one after the other."""
    from serving.scorer import Scorer

    waveform = open_recording(path).waveform
    assert waveform is not None, "the measured recording has sound"
    minute = np.resize(waveform, round(SECONDS * SAMPLE_RATE))
    whole, cpu, steps = [], [], list[dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder, starter_state(), Scorer.load() as scorer:
        file = Path(folder) / "minute.wav"
        with wave.open(str(file), "wb") as stream:
            stream.setnchannels(1)
            stream.setsampwidth(2)
            stream.setframerate(SAMPLE_RATE)
            stream.writeframes((np.clip(minute, -1, 1) * 32767).astype("<i2").tobytes())
        scorer.score(file, REQUEST)
        for _ in track(range(repeats), "scoring", console=aside):
            begun_s = time.process_time()
            scored, seconds = timed(lambda: scorer.score(file, REQUEST))
            cpu.append(time.process_time() - begun_s)
            assert any(score.part == "speech" for score in scored.scorecard.scores)
            whole.append(seconds)
            steps.append(_steps(scorer, minute))
    parts = {name: spread([step[name] for step in steps]).median for name in steps[0]}
    console.print(f"{SECONDS:g} s of sound: {spread(whole)} s, goal {GOAL_S:g} s")
    for name, seconds in parts.items():
        console.print(f"  {name}: {seconds:.2f} s")
    return {
        "file": path.name,
        "duration_s": SECONDS,
        "total_s": asdict(spread(whole)),
        "cpu_s": asdict(spread(cpu)),
        "steps_s": parts,
        "goal_s": GOAL_S,
    }


def _steps(scorer: Scorer, waveform: Waveform) -> dict[str, float]:
    """Seconds of each step of the speech part, run alone."""
    listening, listen_s = timed(lambda: scorer.listener.listen(waveform))
    decoded, decode_s = timed(
        lambda: scorer.recogniser.decode(listening, expected=REQUEST.language)
    )
    heard, sound_s = timed(lambda: sound_of(listening))
    _, features_s = timed(lambda: speech_features(listening, decoded, heard))
    return {
        "find and encode": listen_s,
        "words": decode_s,
        "pitch and level": sound_s,
        "features": features_s,
    }
